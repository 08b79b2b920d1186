//! Backfill: new rules read events that the journal already holds.
//!
//! ```text
//!  control entries ─ start ─► batches to read ─► queue ─ some in each epoch ─► workers
//!                                                                                │ rows
//!  progress (for people)                          committer ◄─ output buffer ◄───┘
//! ```

mod output_buffer;
mod progress;
mod queue;
mod start;

pub use output_buffer::BackfillOutputBuffer;
pub use progress::{BackfillProgress, BackfillTracker};
pub use queue::{BACKFILL_EVENTS_PER_EPOCH, BackfillQueue, BackfillStep};
pub use start::backfill_start;
