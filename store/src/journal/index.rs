//! The index of durable blocks, which the writer shares with all readers.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use prometheus::IntCounter;

use super::format::{BlockHeader, JournalEnd, SEGMENT_HEADER_BYTES};
use super::recent::RecentBlocks;
use super::scan::ByteRange;

/// Distance of marked blocks. From a mark, readers step from header to header. The index takes
/// 24 bytes per 256 KiB of journal: 10 MB for 100 GB.
const MARK_EVERY_BYTES: u64 = 256 << 10;

/// A block at which a search may start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockMark {
    pub offset: u64,
    pub first_batch: u64,
    /// The last epoch sealed before the block.
    pub sealed_before: u64,
}

/// The durable blocks of a segment that has at least one.
#[derive(Clone, Debug)]
pub(crate) struct SegmentIndex {
    pub path: Arc<PathBuf>,
    /// Offset after the last durable block.
    pub end: u64,
    pub marks: Vec<BlockMark>,
    /// Damaged parts before `end`, in order.
    pub gaps: Vec<ByteRange>,
}

impl SegmentIndex {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path: Arc::new(path),
            end: SEGMENT_HEADER_BYTES as u64,
            marks: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Adds the next block.
    pub fn push(&mut self, offset: u64, header: &BlockHeader, sealed_before: u64) {
        if offset > self.end {
            self.gaps.push(ByteRange {
                offset: self.end,
                length: offset - self.end,
            });
        }
        let is_distant = |mark: &BlockMark| offset - mark.offset >= MARK_EVERY_BYTES;
        if self.marks.last().is_none_or(is_distant) {
            self.marks.push(BlockMark {
                offset,
                first_batch: header.first_batch,
                sealed_before,
            });
        }
        self.end = offset + header.block_bytes();
    }
}

/// An offset in a segment, between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentOffset {
    /// Index of the segment.
    pub segment: usize,
    pub offset: u64,
}

/// The location of a block.
#[derive(Clone, Debug)]
pub(crate) struct BlockLocation {
    pub start: SegmentOffset,
    pub path: Arc<PathBuf>,
    /// Offset after the last block of the segment.
    pub segment_end: u64,
}

/// The index of all segments, and the state of the writer.
#[derive(Debug)]
pub(crate) struct JournalIndex {
    pub segments: Vec<SegmentIndex>,
    pub end: JournalEnd,
    /// Whether the writer is gone, so that nothing will follow.
    pub closed: bool,
    /// Later seals have a greater epoch than this.
    pub floor: u64,
    /// The lowest epoch of the pending seals.
    pub sealing: Option<u64>,
    /// How often waiting readers were woken without a new block.
    pub wakes: u64,
}

impl JournalIndex {
    /// The first block at `start` or after it; `None` at the durable end.
    pub fn block_at(&self, start: SegmentOffset) -> Option<BlockLocation> {
        let mut start = start;
        loop {
            let segment = self.segments.get(start.segment)?;
            if start.offset == 0 {
                start.offset = segment.marks.first()?.offset;
            }
            if let Ok(gap) = segment
                .gaps
                .binary_search_by_key(&start.offset, |gap| gap.offset)
            {
                start.offset += segment.gaps[gap].length;
            }
            if start.offset < segment.end {
                return Some(BlockLocation {
                    start,
                    path: Arc::clone(&segment.path),
                    segment_end: segment.end,
                });
            }
            if start.segment + 1 == self.segments.len() {
                return None;
            }
            start = SegmentOffset {
                segment: start.segment + 1,
                offset: 0,
            };
        }
    }

    /// The last marked block for which `before` holds; it must hold for a prefix of the marks.
    pub fn last_mark(&self, before: impl Fn(&BlockMark) -> bool) -> Option<SegmentOffset> {
        self.find_last_mark(before).map(|(start, _)| start)
    }

    /// A marked block at or before the first entry of epoch `from`.
    pub fn before_epoch(&self, from: u64) -> Option<SegmentOffset> {
        // The epoch starts after the previous seal, whose epoch may be any lower number.
        let (_, last) = self.find_last_mark(|mark| mark.sealed_before < from)?;
        self.last_mark(|mark| mark.sealed_before < last.sealed_before)
    }

    fn find_last_mark(
        &self,
        before: impl Fn(&BlockMark) -> bool,
    ) -> Option<(SegmentOffset, BlockMark)> {
        let holds = |segment: &SegmentIndex| segment.marks.first().is_some_and(&before);
        let segment = self.segments.partition_point(holds).checked_sub(1)?;
        let marks = &self.segments[segment].marks;
        let mark = marks.partition_point(&before).checked_sub(1)?;
        let mark = marks[mark];
        let offset = mark.offset;
        Some((SegmentOffset { segment, offset }, mark))
    }
}

/// The index and the newest blocks, behind locks, with a signal for waiting readers.
pub(crate) struct SharedIndex {
    index: Mutex<JournalIndex>,
    recent: Mutex<RecentBlocks>,
    /// Counts failed reads of all readers.
    pub read_faults: Option<IntCounter>,
    /// Notified when the index grows, a reader is to wake, or the writer closes.
    pub signal: Condvar,
}

impl SharedIndex {
    pub fn new(
        segments: Vec<SegmentIndex>,
        end: JournalEnd,
        recent_bytes: usize,
        read_faults: Option<IntCounter>,
    ) -> Self {
        Self {
            index: Mutex::new(JournalIndex {
                segments,
                end,
                closed: false,
                floor: 0,
                sealing: None,
                wakes: 0,
            }),
            recent: Mutex::new(RecentBlocks::new(recent_bytes)),
            read_faults,
            signal: Condvar::new(),
        }
    }

    /// Locks the index. Every statement leaves it consistent, so a poisoned lock is harmless.
    pub fn lock(&self) -> MutexGuard<'_, JournalIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the newest blocks. They are as consistent as the index, so poison is harmless too.
    pub fn recent(&self) -> MutexGuard<'_, RecentBlocks> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
