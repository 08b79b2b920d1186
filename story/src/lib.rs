//! Stories: tests that read. Parses them, tells them to a system, and rewrites what they expect.
//!
//! ```text
//! text ─ parse ─► Story ─┐
//!                        ├─ run ─► Told ─┬─ check ─► Failure, or none
//! Shelf, System, Way ────┘               └─ rewrite ─► text
//! ```
//!
//! The format and its laws are in `docs/stories.md`.

mod clock;

mod words;

mod page;

mod effect;

mod event;

mod parse;

mod system;

mod way;

mod shelf;

mod net;

mod frame;

mod tell;

mod check;

mod rewrite;

pub use check::{Difference, Failure, Told, Wrong, check};
pub use clock::{STORY_BEGINS, rfc3339, show_time};
pub use effect::{Effect, EffectNoun, Sign, State};
pub use page::{
    Ask, ChangeStep, Chapter, EventStep, Noun, Payload, Step, Story, StoryError, What, Written,
};
pub use parse::{STORY_BYTES_MAX, STORY_EVENTS_MAX, parse};
pub use rewrite::rewrite;
pub use shelf::{Document, RULE_BYTES_MAX, Shelf, documents, edit};
pub use system::{Delivery, SaidProblem, Settled, System, TENANT, batches, full_name, tenant_of};
pub use tell::{run, tell};
pub use way::{Batching, Path, Way, ways_full, ways_quick};
