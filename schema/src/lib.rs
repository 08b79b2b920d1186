//! The nouns of Weir: every type that crosses a crate boundary. Imports nothing of ours.

#![forbid(unsafe_op_in_unsafe_fn)]

pub mod time;

pub mod id;

pub mod journal;

pub mod event;

pub mod rule;

pub mod alert;

pub mod agent;

pub use alert::{
    AlertRow, AlertState, Cause, Change, ChangeKind, Evidence, EvidenceItem, GroupField,
};
pub use event::{Event, LogSource, Problem, Value};
pub use id::{
    AlertId, BatchSeq, Epoch, EventId, GroupKey, PlanId, Position, RuleId, RuleVersion, SourceKey,
    TenantKey,
};
pub use journal::{Batch, Control, Delivery, Entry, Format, Transport};
pub use rule::{Bound, Fact, Level, Member, Plan, PlanKind};
pub use time::{EventTime, ReceiveTime, Span};
