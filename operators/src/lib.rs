//! The operators of the graph: collections in, collections out. No I/O, no clock, no lock, no actor.

pub mod decode;

pub mod clock;

pub mod correlate;

pub mod alerts;

pub mod past;

pub mod sources;

pub mod texts;

pub mod reference;

pub use alerts::alerts;
pub use clock::{Clock, Clocks, Move, clocks};
pub use correlate::{CorrelateNote, Correlator, Counts, Directive, Tried, correlate};
pub use decode::{BatchNote, Emit, Note, Reading, Work, decode};
pub use past::Pasts;
pub use sources::{SourceNote, Trouble, Troubles, sources};
pub use texts::Texts;
pub use weir_detect::{Applied, PlanChange, RuleBook, WHAT_IFS_MAX, WhatIf, bears_on_others};
