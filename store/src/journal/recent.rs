//! The blocks that were written last, as they were appended: whoever follows closely reads no disk.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_schema::{Batch, BatchSeq, Entry};

use super::walk::ReadEntry;

/// What a frame takes besides its bytes.
const FRAME_OVERHEAD_BYTES: usize = size_of::<usize>();

/// A durable block.
pub(crate) struct RecentBlock {
    pub first_entry: u64,
    pub first_batch: u64,
    pub bytes: usize,
    pub entries: Vec<ReadEntry>,
}

/// As many blocks as may be kept, the newest ones.
pub(crate) struct Recent {
    bytes_max: usize,
    bytes: usize,
    blocks: VecDeque<RecentBlock>,
}

impl Recent {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            blocks: VecDeque::new(),
        }
    }

    /// Takes the block in that was written after all those here.
    pub fn push(&mut self, block: RecentBlock) {
        self.bytes += block.bytes;
        self.blocks.push_back(block);
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.blocks.pop_front()
        {
            self.bytes -= oldest.bytes;
        }
    }

    /// The entries of the block that begins with this one.
    pub fn block(&self, first_entry: u64) -> Option<Vec<ReadEntry>> {
        let at = self
            .blocks
            .binary_search_by_key(&first_entry, |block| block.first_entry);
        Some(self.blocks.get(at.ok()?)?.entries.clone())
    }

    pub fn batch(&self, seq: BatchSeq) -> Option<Arc<Batch>> {
        let after = self
            .blocks
            .partition_point(|block| block.first_batch <= seq.0);
        let block = self.blocks.get(after.checked_sub(1)?)?;
        block.entries.iter().find_map(|entry| match entry {
            ReadEntry::Batch(ordinal, batch) if *ordinal == seq => Some(Arc::clone(batch)),
            _ => None,
        })
    }
}

/// What is kept of an entry, the next batch being `next`, and the bytes that it takes.
pub(crate) fn read_entry(entry: &Entry, next: u64) -> (ReadEntry, usize) {
    match entry {
        Entry::Batch(batch) => {
            let bytes = batch.frames.bytes() + batch.frames.len() * FRAME_OVERHEAD_BYTES;
            (ReadEntry::Batch(BatchSeq(next), Arc::clone(batch)), bytes)
        }
        Entry::Control(control) => (ReadEntry::Control(control.clone()), 0),
        Entry::Seal { epoch } => (ReadEntry::Seal(*epoch), 0),
    }
}
