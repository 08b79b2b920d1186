//! Reads a segment from end to end: which blocks hold, and which bytes do not.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::format::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, BadHeader, BlockHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
};

/// What is wrong with a part of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The header of a segment does not hold; its blocks may.
    Header,
    /// Bytes that are no block, before a block that holds or before a later segment.
    Block,
    /// Entries that no segment has, though later ones follow.
    Missing,
    /// A block holds, but was not written after the one before it: somebody changed the journal.
    Chain,
    /// A block holds, but not the entries that it says.
    Entries,
    /// An unfinished write, or damage that cannot be told from one: bytes at the very end that are
    /// no block.
    Torn,
}

/// A part of the journal that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub kind: DamageKind,
    /// File name of the segment.
    pub segment: String,
    pub offset: u64,
    pub length: u64,
    /// Number of the first entry that may be lost.
    pub first_entry: u64,
    /// How many entries are lost; `None` where the end of the journal is.
    pub entries_lost: Option<u64>,
    /// Name of the copy in `quarantine/`, where one could be made.
    pub set_aside: Option<String>,
    /// Whether the copy is from an earlier start.
    pub known: bool,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.kind {
            DamageKind::Header => "damaged header",
            DamageKind::Block => "damaged block",
            DamageKind::Missing => "missing entries",
            DamageKind::Chain => "broken hash chain",
            DamageKind::Entries => "unreadable entries",
            DamageKind::Torn => "unfinished write",
        };
        let (segment, offset, length) = (&self.segment, self.offset, self.length);
        write!(f, "{what} in {segment} at byte {offset}, {length} bytes; ")?;
        match self.entries_lost {
            Some(0) => write!(f, "no entry lost"),
            Some(lost) => write!(f, "{lost} entries lost from number {}", self.first_entry),
            None => write!(
                f,
                "entries from number {} on are not there",
                self.first_entry
            ),
        }
    }
}

/// A stretch of a segment.
#[derive(Debug)]
pub(crate) enum Found {
    Block { offset: u64, header: BlockHeader },
    Bad { offset: u64, length: u64 },
}

/// A walk over the stretches of one segment.
pub(crate) struct SegmentScan<'a> {
    file: &'a File,
    file_bytes: u64,
    at: u64,
    header: Result<SegmentHeader, BadHeader>,
    salt: Option<u64>,
    /// Blocks that start with an earlier entry are stale.
    next_entry: u64,
    /// Blocks that reach beyond it were never acknowledged: the next segment holds these numbers.
    limit: u64,
    payload: Vec<u8>,
}

/// How much a search for the next good block reads at once.
const SEARCH_BYTES: usize = 256 << 10;
const PAGE_BYTES: usize = 4096;

impl<'a> SegmentScan<'a> {
    /// Scans the segment that is named for entry `next_entry`, up to entry `limit`.
    pub fn new(file: &'a File, next_entry: u64, limit: u64) -> std::io::Result<Self> {
        let file_bytes = file.metadata()?.len();
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let header = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => SegmentHeader::decode(&bytes).and_then(|header| {
                let in_place = header.before.next_entry == next_entry;
                in_place.then_some(header).ok_or(BadHeader::Damaged)
            }),
            Err(_) => Err(BadHeader::Damaged),
        };
        Ok(Self {
            file,
            file_bytes,
            at: 0,
            salt: header.as_ref().ok().map(|header| header.salt),
            header,
            next_entry,
            limit,
            payload: Vec::new(),
        })
    }

    pub fn header(&self) -> &Result<SegmentHeader, BadHeader> {
        &self.header
    }

    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The payload of the block that `next` has just found.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The next stretch; `None` at the end of the file. Bad stretches are never next to each other.
    pub fn next(&mut self) -> Option<Found> {
        if self.at == 0 && self.header.is_ok() {
            self.at = SEGMENT_HEADER_BYTES as u64;
        }
        if self.at >= self.file_bytes {
            return None;
        }
        let offset = self.at;
        if offset > 0
            && let Some(header) = self.block_at(offset)
        {
            self.at = offset + header.block_bytes();
            self.next_entry = header.end().next_entry;
            self.salt = Some(header.salt);
            return Some(Found::Block { offset, header });
        }
        self.at = self.search(offset + 1);
        Some(Found::Bad {
            offset,
            length: self.at - offset,
        })
    }

    /// The block at `offset`, if it holds in every respect but the chain. Its payload is kept.
    fn block_at(&mut self, offset: u64) -> Option<BlockHeader> {
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        let header = BlockHeader::decode(&bytes)?;
        let in_place = self.salt.is_none_or(|salt| salt == header.salt)
            && header.first_entry >= self.next_entry
            && header.end().next_entry <= self.limit
            && offset + header.block_bytes() <= self.file_bytes;
        if !in_place {
            return None;
        }
        // Within the file and the limit of `decode`, so no damaged length asks for more.
        self.payload.resize(header.payload_bytes as usize, 0);
        self.file
            .read_exact_at(&mut self.payload, offset + BLOCK_HEADER_BYTES as u64)
            .ok()?;
        (crc32c::crc32c(&self.payload) == header.payload_crc).then_some(header)
    }

    /// Where the next block that holds starts, at `from` or after it; else the end of the file.
    fn search(&mut self, from: u64) -> u64 {
        let (mut from, mut span) = (from, SEARCH_BYTES);
        let mut buffer = vec![0; SEARCH_BYTES];
        while from < self.file_bytes {
            let wanted = (self.file_bytes - from).min(span as u64) as usize;
            let chunk = &mut buffer[..wanted];
            if self.file.read_exact_at(chunk, from).is_err() {
                // Somewhere in it is a bad sector: go on page by page, and leave out the bad one.
                from += if span == PAGE_BYTES {
                    PAGE_BYTES as u64
                } else {
                    0
                };
                span = PAGE_BYTES;
                continue;
            }
            for (i, window) in chunk.windows(BLOCK_MAGIC.len()).enumerate() {
                let offset = from + i as u64;
                if window == BLOCK_MAGIC && self.block_at(offset).is_some() {
                    return offset;
                }
            }
            // A magic may lie across the border of two chunks.
            from += wanted.saturating_sub(BLOCK_MAGIC.len() - 1).max(1) as u64;
        }
        self.file_bytes
    }
}
