//! The server's clock in the journal: its jumps, and repairs of receive times under a wrong clock.

use serde::{Deserialize, Serialize};

use crate::id::{BatchSeq, Epoch};
use crate::time::{ReceiveTime, Span};

/// A jump of the wall clock against the time since boot that is larger is journaled.
pub const CLOCK_JUMP_MIN: Span = Span::seconds(2);

/// How long a server goes by the clock from before a jump. Then it believes the new one.
pub const CLOCK_DOUBT: Span = Span::seconds(3_600);

/// A jump of the wall clock, or the end of the doubt about one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJump {
    pub kind: ClockJumpKind,
    /// The wall clock as it would be without the jump.
    pub before: ReceiveTime,
    /// The wall clock after the jump.
    pub after: ReceiveTime,
    /// The receive time that other entries have at this place.
    pub received: ReceiveTime,
}

/// The kinds of entries about jumps. Journaled: append new ones only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClockJumpKind {
    /// It jumped. Receive times follow the time since boot until the jump is taken back or believed.
    Doubted,
    /// It jumped back to where it would be without the jumps before.
    TakenBack,
    /// It stayed where it jumped to for [`CLOCK_DOUBT`]: from here on receive times follow it.
    Believed,
    /// The run begins before the last receive time in the journal.
    StartedBefore,
    /// The run begins long after the last receive time: the clock is wrong, or Weir was long off.
    StartedFarAfter,
}

impl ClockJump {
    /// The size of the jump; below zero if the clock was set back.
    #[must_use]
    pub fn size(&self) -> Span {
        self.after.since(self.before)
    }
}

/// The repair of receive times: the entries of a stretch are read with other ones.
///
/// Every reader of the journal applies the repairs that it holds before anything else, also to
/// entries that precede them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRepair {
    /// The number of this repair in the journal, from 1.
    pub number: u32,
    /// The stretch: epochs, both included ...
    pub from: Epoch,
    pub to: Epoch,
    /// ... and their batches, from the first up to the one before the second.
    pub batches_from: BatchSeq,
    pub batches_to: BatchSeq,
    /// Added to each receive time.
    pub shift: Span,
    /// When the repair was ordered, by the clock of then.
    pub received: ReceiveTime,
}
