//! A memo of lines: long texts such as scripts and event contexts repeat line by line.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::engine::hits::NeedleHits;
use crate::engine::memo::{Memo, MemoLimits, MemoLookup};

/// A line can be a command of the maximum length in Windows, 32,767 characters.
const LIMITS: MemoLimits = MemoLimits {
    value_bytes: 32 << 10,
    arena_bytes: 2 << 20,
};

/// Maximum number of distinct hits. Beyond it, or beyond the bytes below, the memo is cleared.
const HITS_MAX: usize = 65_536;

/// Maximum size of the hits. One long line may have thousands.
const HITS_BYTES_MAX: usize = 2 << 20;

/// Needle hits by line.
#[derive(Debug)]
pub(crate) struct LineMemo {
    memo: Memo,
    hits: Vec<NeedleHits>,
    hits_bytes: usize,
    /// Index into `hits`.
    index: HashMap<NeedleHits, u32, FixedState>,
    new: NeedleHits,
}

impl Default for LineMemo {
    fn default() -> Self {
        Self {
            memo: Memo::new(LIMITS),
            hits: Vec::new(),
            hits_bytes: 0,
            index: HashMap::default(),
            new: NeedleHits::default(),
        }
    }
}

impl LineMemo {
    /// The hits of the line; calls `scan` if the memo does not have them.
    pub(crate) fn get_or_scan(
        &mut self,
        line: &str,
        scan: impl FnOnce(&mut NeedleHits),
    ) -> &NeedleHits {
        let hash = match self.memo.get(line.as_bytes()) {
            MemoLookup::Known(at) => return self.hits.get(at as usize).unwrap_or(&self.new),
            MemoLookup::Unknown(hash) => Some(hash),
            MemoLookup::Uncached => None,
        };
        scan(&mut self.new);
        if let Some(hash) = hash {
            let is_full = self.hits_bytes + self.new.bytes() > HITS_BYTES_MAX;
            if is_full || self.hits.len() >= HITS_MAX {
                self.clear();
            }
            let next = self.hits.len() as u32; // Below HITS_MAX.
            let at = *self.index.entry(self.new.clone()).or_insert_with(|| {
                self.hits.push(self.new.clone());
                self.hits_bytes += self.new.bytes();
                next
            });
            if !self.memo.insert(hash, line.as_bytes(), at) {
                self.clear();
            }
        }
        &self.new
    }

    pub(crate) fn clear(&mut self) {
        self.memo.clear();
        self.hits.clear();
        self.hits_bytes = 0;
        self.index.clear();
    }

    pub(crate) fn bytes(&self) -> usize {
        self.memo.bytes() + self.hits_bytes
    }
}
