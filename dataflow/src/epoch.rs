//! Messages that carry one epoch from the feeder to the other threads.

use weir_operators::Work;
use weir_schema::{Control, Epoch};

/// Work of one epoch for one worker, or a part of that work.
pub struct EpochWork {
    pub epoch: Epoch,
    pub work: Vec<Work>,
    /// Set on the last part of the epoch.
    pub last: bool,
}

/// Control entries of one epoch, for the committer. Sent before the epoch's work.
pub struct EpochControls {
    pub epoch: Epoch,
    pub controls: Vec<Control>,
    /// Whether the backfill of this epoch's rules takes more than one epoch.
    pub stepwise: bool,
    /// Start epochs of the backfills that end with this epoch.
    pub completed: Vec<Epoch>,
}
