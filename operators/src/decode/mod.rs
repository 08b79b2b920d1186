//! Frames to facts: decodes the frames of a batch and runs the rules over each event.
//!
//! ```text
//!   work ─► control entries ─► rules ──────────► directives, rule rows
//!        └► batches ─► frames ─► events ─► detector ─► facts, chain facts, links
//!                                       └► observations, source notes, notes
//! ```
//!
//! Pure per frame. The control entries of an epoch precede its batches, so an epoch's events meet
//! the rules of that epoch. Earlier batches that a new rule must see come again as
//! [`Work::Backfill`], in the same epoch or, if they are many, over several ([`crate::backfills`]).

mod context;
mod decoder;
mod marked_frames;
mod operator;
mod output;
mod source_batch;

use std::sync::Arc;

use weir_schema::{Batch, BatchSeq, Control, Epoch, Stopwatch};

pub use context::BatchContext;
pub use operator::{DecodeStreams, decode};
pub use output::RuleRow;

/// One item of a worker's work, processed in order within an epoch.
#[derive(Clone, Debug)]
pub enum Work {
    /// A control entry. Given to every worker, before the batches of the epoch.
    Control(Arc<Control>),
    /// A control entry from the journal of a process that does not lead; only clocks and sources
    /// use it. Given to one worker.
    FollowerControl(Arc<Control>),
    /// Given to one worker.
    Batch(BatchSeq, Arc<Batch>),
    /// The backfill of the plans that this epoch installs takes several epochs. Given to every
    /// worker, before the control entries.
    StepwiseBackfill,
    /// A batch of an earlier epoch, for the plans installed in the named epoch. Given to one
    /// worker.
    Backfill(Epoch, BatchSeq, Arc<Batch>),
    /// The backfill of the plans installed in the named epoch is complete. Given to every worker.
    EndBackfill(Epoch),
}

/// Selects the notes to emit besides those of batches.
#[derive(Clone, Debug, Default)]
pub struct EmitOptions {
    pub matches: bool,
    pub events: bool,
    pub problems: bool,
    /// JSON field that holds the event time; it takes precedence over the customary ones.
    pub time_field: Option<String>,
    /// Measures the working time of rules; `None`: it is not measured.
    pub stopwatch: Option<Stopwatch>,
}
