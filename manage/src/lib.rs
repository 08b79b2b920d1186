//! Edits of rules by people and files, turned into control entries of the journal.
//!
//! ```text
//! rule files ──folders──► RequestedRules ──compare──► RuleChanges ──► journal ──► graph
//! API ──edit──tried on a copy of the rules──► control entries ──────────▲
//! ```
//!
//! The registry follows every control entry of the journal, so it knows which rules are active.
//! One edit runs at a time: it is decided, journaled, and then followed.

mod document;
mod origin;
mod ports;

mod files;
mod folders;

mod active;
mod compare;
mod load;
mod registry;

mod edit;
mod follow;
mod what_if;

pub mod settings;

pub use active::RuleSuspension;
pub use document::{RuleFileDocument, members_first};
pub use edit::{EditUnavailable, RuleEditError, RuleEditor};
pub use files::{RuleFileError, RuleFiles, read_all, read_path};
pub use follow::{RuleFollower, log_outcome, wait_until_applied};
pub use load::{LoadOutcome, RuleCandidate, SourcePosition, deduplicate, load, source_position};
pub use ports::{AppendFailed, ControlJournal, EditClock, GraphProgress, WhatIfStage};
pub use registry::{RegisteredRule, ResumeAction, RuleRegistry};
pub use what_if::{RequestedWhatIf, WhatIfEdit};

pub use compare::{RequestedRules, RuleChanges};
