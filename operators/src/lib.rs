//! The operators of the graph: collections in, collections out. No I/O, clock, lock or actor.

pub mod decode;

pub mod backfills;

pub mod clock;

pub mod correlate;

pub mod alerts;

pub mod sources;

pub mod note;

pub mod source_problem;

pub mod texts;

pub mod reference;

pub mod steps;

mod epochs;

pub use alerts::alerts;
pub use backfills::Backfills;
pub use clock::{ClockUpdate, TenantClock, TenantClocks, clocks};
pub use correlate::{
    CorrelateNote, CorrelationCounts, Correlator, Directive, WhatIfOutput, correlate,
};
pub use decode::{BatchContext, EmitOptions, Work, decode};
pub use note::{BatchNote, Note};
pub use source_problem::{SourceProblem, SourceProblemCounts};
pub use sources::{SourceNote, sources};
pub use steps::count_steps_in;
pub use texts::AlertTexts;
pub use weir_detect::{
    BookUpdate, PlanChange, RuleBook, WHAT_IFS_MAX, WhatIf, names_affecting_others,
};
