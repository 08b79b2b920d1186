//! Where the durable blocks are, shared by the writer with all readers.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::format::{BlockHeader, JournalEnd, SEGMENT_HEADER_BYTES};
use super::recent::Recent;

/// One block in so many bytes is remembered; from it, readers walk from header to header. This
/// bounds the index to 24 bytes for each 256 KiB of journal: 10 MB for 100 GB.
const MARK_EVERY_BYTES: u64 = 256 << 10;

/// A block that a search may start at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub offset: u64,
    pub first_batch: u64,
    /// The last epoch that was sealed before it.
    pub sealed_before: u64,
}

/// A segment that has at least one durable block.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub path: Arc<PathBuf>,
    /// Just after the last durable block.
    pub end: u64,
    pub marks: Vec<Mark>,
    /// Damaged stretches before `end`, as (offset, length), in order.
    pub gaps: Vec<(u64, u64)>,
}

impl Segment {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path: Arc::new(path),
            end: SEGMENT_HEADER_BYTES as u64,
            marks: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Takes in the next block.
    pub fn push(&mut self, offset: u64, header: &BlockHeader, sealed_before: u64) {
        if offset > self.end {
            self.gaps.push((self.end, offset - self.end));
        }
        let far = |mark: &Mark| offset - mark.offset >= MARK_EVERY_BYTES;
        if self.marks.last().is_none_or(far) {
            self.marks.push(Mark {
                offset,
                first_batch: header.first_batch,
                sealed_before,
            });
        }
        self.end = offset + header.block_bytes();
    }
}

/// A place between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub segment: usize,
    pub offset: u64,
}

/// A place where a block starts, and what is needed to read it.
#[derive(Clone, Debug)]
pub(crate) struct BlockPlace {
    pub place: Place,
    pub path: Arc<PathBuf>,
    /// No block of this segment reaches beyond it.
    pub segment_end: u64,
}

#[derive(Debug)]
pub(crate) struct Index {
    pub segments: Vec<Segment>,
    pub end: JournalEnd,
    /// The writer is gone: nothing will follow.
    pub closed: bool,
    /// No epoch up to it is sealed from now on.
    pub floor: u64,
    /// The least number of a seal that is pending.
    pub sealing: Option<u64>,
    /// How often readers were woken for a reason of their own.
    pub wakes: u64,
}

impl Index {
    /// The first block at `place` or after it; `None` at the durable end.
    pub fn block_at(&self, place: Place) -> Option<BlockPlace> {
        let mut place = place;
        loop {
            let segment = self.segments.get(place.segment)?;
            if place.offset == 0 {
                place.offset = segment.marks.first()?.offset;
            }
            if let Ok(gap) = segment
                .gaps
                .binary_search_by_key(&place.offset, |gap| gap.0)
            {
                place.offset += segment.gaps[gap].1;
            }
            if place.offset < segment.end {
                return Some(BlockPlace {
                    place,
                    path: Arc::clone(&segment.path),
                    segment_end: segment.end,
                });
            }
            if place.segment + 1 == self.segments.len() {
                return None;
            }
            place = Place {
                segment: place.segment + 1,
                offset: 0,
            };
        }
    }

    /// The last marked block for which `before` holds; it must hold for a prefix of the marks.
    pub fn last_mark(&self, before: impl Fn(&Mark) -> bool) -> Option<Place> {
        self.last_marked(before).map(|(place, _)| place)
    }

    /// A block from which all of epoch `from` can be read, and all behind it.
    pub fn before_epoch(&self, from: u64) -> Option<Place> {
        // The epoch begins behind the seal of the one before it, whatever its number.
        let (_, last) = self.last_marked(|mark| mark.sealed_before < from)?;
        self.last_mark(|mark| mark.sealed_before < last.sealed_before)
    }

    fn last_marked(&self, before: impl Fn(&Mark) -> bool) -> Option<(Place, Mark)> {
        let holds = |segment: &Segment| segment.marks.first().is_some_and(&before);
        let segment = self.segments.partition_point(holds).checked_sub(1)?;
        let marks = &self.segments[segment].marks;
        let mark = marks.partition_point(&before).checked_sub(1)?;
        let mark = marks[mark];
        let offset = mark.offset;
        Some((Place { segment, offset }, mark))
    }
}

/// The index, and a bell that rings when it grows.
pub(crate) struct Shared {
    index: Mutex<Index>,
    recent: Mutex<Recent>,
    pub grown: Condvar,
}

impl Shared {
    pub fn new(segments: Vec<Segment>, end: JournalEnd, recent_bytes: usize) -> Self {
        Self {
            index: Mutex::new(Index {
                segments,
                end,
                closed: false,
                floor: 0,
                sealing: None,
                wakes: 0,
            }),
            recent: Mutex::new(Recent::new(recent_bytes)),
            grown: Condvar::new(),
        }
    }

    /// The index is whole after every statement that changes it, so a panic elsewhere cannot have
    /// broken it.
    pub fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written last. As whole as the index, and for the same reason.
    pub fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
