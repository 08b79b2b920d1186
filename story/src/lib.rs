//! Stories: readable tests of the whole system. Parses them, runs them on a system, and checks or
//! rewrites the expected effects.
//!
//! ```text
//! text ─ parse ─► Story ───────────────────┐
//!                                          ├─ run ─► StoryOutput ─┬─ check ─► StoryFailure, or none
//! RuleSearchPath, System, RunVariant ──────┘                      └─ rewrite ─► text
//! ```
//!
//! The format and its laws are in `docs/stories.md`.

mod clock;

mod tokens;

mod story;

mod effect;

mod event;

mod parse;

mod system;

mod variant;

mod rule_files;

mod net_effects;

mod delivery;

mod runner;

mod check;

mod rewrite;

pub use check::{FailureKind, StoryFailure, StoryMismatch, StoryOutput, check};
pub use clock::{STORY_START, format_time, rfc3339};
pub use effect::{Effect, EffectKind, EffectSign, EffectState};
pub use parse::{STORY_BYTES_MAX, STORY_EVENTS_MAX, parse};
pub use rewrite::rewrite;
pub use rule_files::{RULE_BYTES_MAX, RuleSearchPath, RuleText, replace_value, split_documents};
pub use runner::{run, run_and_check};
pub use story::{
    AtLine, ChangeStep, Chapter, EventPayload, EventStep, Question, StepKind, Story, StoryError,
    StoryStep, SubjectKind,
};
pub use system::{
    EventDelivery, FrameProblem, System, SystemOutput, TENANT, batches, source_name, split_source,
};
pub use variant::{Batching, EventForm, RunVariant, variants_full, variants_quick};
