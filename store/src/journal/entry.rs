//! Entries as readers use them, with the ordinals of batches.

use std::sync::Arc;

use weir_schema::{Batch, BatchSeq, Control, Entry, Epoch};

/// An entry whose batch knows its ordinal. Clones share the batch.
#[derive(Clone, Debug)]
pub(crate) enum NumberedEntry {
    Batch(BatchSeq, Arc<Batch>),
    Control(Control),
    Seal(Epoch),
}

impl NumberedEntry {
    /// Numbers an entry; `next_batch` is the ordinal for a batch.
    pub fn new(entry: Entry, next_batch: u64) -> Self {
        match entry {
            Entry::Batch(batch) => Self::Batch(BatchSeq(next_batch), batch),
            Entry::Control(control) => Self::Control(control),
            Entry::Seal { epoch } => Self::Seal(epoch),
        }
    }

    pub fn into_entry(self) -> Entry {
        match self {
            Self::Batch(_, batch) => Entry::Batch(batch),
            Self::Control(control) => Entry::Control(control),
            Self::Seal(epoch) => Entry::Seal { epoch },
        }
    }

    pub fn into_batch(self) -> Option<(BatchSeq, Arc<Batch>)> {
        match self {
            Self::Batch(seq, batch) => Some((seq, batch)),
            Self::Control(_) | Self::Seal(_) => None,
        }
    }
}
