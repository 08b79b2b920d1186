//! The nouns of Weir: types that cross crate boundaries. Imports no other crate of Weir.

pub mod time;

pub mod id;

pub mod frames;

pub mod clock;

pub mod condition;

pub mod control;

pub mod journal;

pub mod repairs;

pub mod ahead;

pub mod event;

pub mod observable;

pub mod rule;

pub mod member_set;

pub mod rule_times;

pub mod time_mark;

pub mod alert;

pub mod outbox;

pub mod agent;

pub mod alert_frame;

pub mod journald;

pub mod hidden;

pub mod json;

pub mod long_frame;

pub mod places;

pub mod reading;

pub mod records;

pub mod weight;

pub mod zeek;

pub use ahead::AheadControls;
pub use alert::{
    AlertRecord, AlertRow, AlertState, Cause, Change, ChangeKind, Commit, Evidence, EvidenceItem,
    GroupField, MarkedEvent,
};
pub use clock::{ClockJump, ClockJumpKind, ClockRepair};
pub use condition::{Condition, ConditionKind};
pub use control::{
    Control, RuleChange, SinkProgress, SourceBounds, TimeBounds, UndeliveredAlert, WatermarkHolder,
};
pub use event::{Event, LogSource, Problem, Value};
pub use frames::Frames;
pub use hidden::{escaped_char, is_hidden_char};
pub use id::{
    AlertId, BatchSeq, Epoch, EventId, GroupKey, HostKey, PlanId, Position, RuleId, RuleVersion,
    SourceKey, TenantKey, WhatIfId,
};
pub use journal::{Batch, Delivery, Entry, Format, SealedEpoch, Transport};
pub use journald::{JournaldExport, JournaldExportError};
pub use long_frame::{FRAME_BYTES_MAX, FrameBuffer, cut_to_cap, is_cut, marker_place};
pub use member_set::MemberSet;
pub use observable::{Observable, ObservableKind, OcsfClass, Role};
pub use places::{Admission, PlaceId, PlaceLimits, PlaceReason, PlaceTable, PlaceUse};
pub use reading::{READING_DIGEST, READING_NUMBER};
pub use records::RecordsReader;
pub use repairs::ClockRepairs;
pub use rule::{
    Basis, Bound, Chain, Decimal, Fact, FactGrain, FactValue, GroupLink, Level, MemberCondition,
    Membership, Plan, PlanKind, PlanOutput, Statistic, ValueBound,
};
pub use rule_times::{RuleTimes, Stopwatch};
pub use time::{EventTime, ReceiveTime, Span};
pub use time_mark::{MarkedTimes, TimeMark};
pub use weight::Weight;
pub use zeek::{HEADER_BYTES_MAX as ZEEK_HEADER_BYTES_MAX, ZeekLog};
