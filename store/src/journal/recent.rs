//! Caches the newest blocks as they were appended, so that close followers do not read the disk.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_schema::{Batch, BatchSeq};

use super::entry::NumberedEntry;

/// A durable block.
pub(crate) struct RecentBlock {
    pub first_entry: u64,
    pub first_batch: u64,
    pub bytes: usize,
    pub entries: Vec<NumberedEntry>,
}

/// The newest blocks, up to a limit of bytes.
pub(crate) struct RecentBlocks {
    bytes_max: usize,
    bytes: usize,
    blocks: VecDeque<RecentBlock>,
}

impl RecentBlocks {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            blocks: VecDeque::new(),
        }
    }

    /// Adds the block that follows all those here, and drops the oldest ones over the limit.
    pub fn push(&mut self, block: RecentBlock) {
        self.bytes += block.bytes;
        self.blocks.push_back(block);
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.blocks.pop_front()
        {
            self.bytes -= oldest.bytes;
        }
    }

    /// The entries of the block whose first entry is `first_entry`.
    pub fn block(&self, first_entry: u64) -> Option<Vec<NumberedEntry>> {
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
            NumberedEntry::Batch(ordinal, batch) if *ordinal == seq => Some(Arc::clone(batch)),
            _ => None,
        })
    }
}
