//! The nouns of Weir: every type that crosses a crate boundary. Imports nothing of ours.

pub mod time;

pub mod id;

pub mod journal;

pub mod event;

pub mod observable;

pub mod rule;

pub mod alert;

pub mod agent;

pub mod alert_frame;

pub mod frames;

pub mod journald;

pub mod json;

pub mod records;

pub mod said;

pub mod what_if;

pub mod zeek;

pub use alert::{
    AlertRecord, AlertRow, AlertState, Cause, Change, ChangeKind, Commit, Evidence, EvidenceItem,
    GroupField,
};
pub use event::{Event, LogSource, Problem, Value};
pub use frames::Frames;
pub use id::{
    AlertId, BatchSeq, Epoch, EventId, GroupKey, PlanId, Position, RuleId, RuleVersion, SourceKey,
    TenantKey, WhatIfId,
};
pub use journal::{
    Batch, Control, Delivered, Delivery, Entry, Format, HeldBack, SealedEpoch, SourceBounds,
    TimeBounds, Transport,
};
pub use journald::{ExportFault, JournalExport};
pub use observable::{Observable, ObservableKind, OcsfClass, Role};
pub use records::Records;
pub use rule::{
    Bound, Chain, Decimal, Each, Fact, FactValue, Feed, Hearer, Level, Link, Member, Plan,
    PlanKind, Statistic, ValueBound,
};
pub use time::{EventTime, ReceiveTime, Span};
pub use what_if::{Basis, RuleChange};
pub use zeek::{HEADER_BYTES_MAX as ZEEK_HEADER_BYTES_MAX, ZeekLog};
