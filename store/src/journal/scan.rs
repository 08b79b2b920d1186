//! Scans a segment from start to end into valid blocks and damaged byte ranges.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::format::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
    SegmentHeaderError,
};

/// The kind of damage to a part of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The header of a segment is invalid; its blocks may be valid.
    Header,
    /// Bytes that are no valid block, followed by a valid block or a later segment.
    Block,
    /// Entries that are in no segment, although later ones are.
    Missing,
    /// A valid block does not continue the hash chain: the journal was modified.
    Chain,
    /// A block has a valid checksum, but its entries do not match its header.
    Entries,
    /// Bytes at the very end that are no valid block: an unfinished write, or damage that looks
    /// like one.
    Torn,
}

/// A damaged part of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub kind: DamageKind,
    /// File name of the segment.
    pub segment: String,
    pub offset: u64,
    pub length: u64,
    /// Number of the first entry that may be lost.
    pub first_entry: u64,
    /// Number of lost entries; `None` at the end of the journal.
    pub entries_lost: Option<u64>,
    /// Name of the copy in `quarantine/`, if one could be made.
    pub quarantine_copy: Option<String>,
    /// Whether the copy was made at an earlier start.
    pub is_known: bool,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            DamageKind::Header => "damaged header",
            DamageKind::Block => "damaged block",
            DamageKind::Missing => "missing entries",
            DamageKind::Chain => "broken hash chain",
            DamageKind::Entries => "unreadable entries",
            DamageKind::Torn => "unfinished write",
        };
        let (segment, offset, length) = (&self.segment, self.offset, self.length);
        write!(f, "{kind} in {segment} at byte {offset}, {length} bytes; ")?;
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

/// A range of bytes in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub offset: u64,
    pub length: u64,
}

/// A valid block, or damaged bytes up to the next one.
#[derive(Debug)]
pub(crate) enum SegmentRegion {
    Block { offset: u64, header: BlockHeader },
    Damaged(ByteRange),
}

/// Iterates over the regions of one segment.
pub(crate) struct SegmentScan<'a> {
    file: &'a File,
    file_bytes: u64,
    at: u64,
    header: Result<SegmentHeader, SegmentHeaderError>,
    salt: Option<u64>,
    /// Blocks that start with an earlier entry are stale.
    next_entry: u64,
    /// First entry of the next segment. Blocks that reach beyond it were never acknowledged.
    limit: u64,
    payload: Vec<u8>,
}

/// Bytes that a search for the next valid block reads at once.
const SEARCH_BYTES: usize = 256 << 10;
const PAGE_BYTES: usize = 4096;

impl<'a> SegmentScan<'a> {
    /// Scans the segment whose name is entry `next_entry`, up to entry `limit`.
    pub fn new(file: &'a File, next_entry: u64, limit: u64) -> std::io::Result<Self> {
        let file_bytes = file.metadata()?.len();
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let header = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => SegmentHeader::decode(&bytes).and_then(|header| {
                let in_place = header.before.next_entry == next_entry;
                in_place
                    .then_some(header)
                    .ok_or(SegmentHeaderError::Damaged)
            }),
            Err(_) => Err(SegmentHeaderError::Damaged),
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

    pub fn header(&self) -> &Result<SegmentHeader, SegmentHeaderError> {
        &self.header
    }

    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The payload of the block that `next` returned last.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The next region; `None` at the end of the file. Damaged regions are never adjacent.
    pub fn next(&mut self) -> Option<SegmentRegion> {
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
            return Some(SegmentRegion::Block { offset, header });
        }
        self.at = self.search(offset + 1);
        Some(SegmentRegion::Damaged(ByteRange {
            offset,
            length: self.at - offset,
        }))
    }

    /// The block at `offset`, if it is valid apart from its chain. Reads its payload.
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
        // The length is within the file and the limit of `decode`, so damage cannot inflate it.
        self.payload.resize(header.payload_bytes as usize, 0);
        self.file
            .read_exact_at(&mut self.payload, offset + BLOCK_HEADER_BYTES as u64)
            .ok()?;
        (crc32c::crc32c(&self.payload) == header.payload_crc).then_some(header)
    }

    /// Offset of the next valid block at or after `from`, or else the end of the file.
    fn search(&mut self, from: u64) -> u64 {
        let (mut from, mut span) = (from, SEARCH_BYTES);
        let mut buffer = vec![0; SEARCH_BYTES];
        while from < self.file_bytes {
            let wanted = (self.file_bytes - from).min(span as u64) as usize;
            let chunk = &mut buffer[..wanted];
            if self.file.read_exact_at(chunk, from).is_err() {
                // The chunk has a bad sector: continue page by page, and skip the bad page.
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
            // The magic may span two chunks.
            from += wanted.saturating_sub(BLOCK_MAGIC.len() - 1).max(1) as u64;
        }
        self.file_bytes
    }
}
