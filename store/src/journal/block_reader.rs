//! Reads durable blocks in order, from memory or from their files.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use weir_schema::Entry;

use super::JournalError;
use super::entry::NumberedEntry;
use super::format::{BLOCK_HEADER_BYTES, BlockHeader, Unpacker, unpack};
use super::index::{BlockLocation, SegmentOffset, SharedIndex};

/// Steps through the journal block by block.
pub(crate) struct BlockReader {
    shared: Arc<SharedIndex>,
    position: SegmentOffset,
    file: Option<(Arc<PathBuf>, File)>,
    unpacker: Unpacker,
}

/// The block at a reader's position.
pub(crate) struct CurrentBlock {
    pub header: BlockHeader,
    location: BlockLocation,
}

impl BlockReader {
    pub fn at(shared: Arc<SharedIndex>, position: SegmentOffset) -> Self {
        Self {
            shared,
            position,
            file: None,
            unpacker: Unpacker::default(),
        }
    }

    /// A reader at the first block.
    pub fn from_start(shared: Arc<SharedIndex>) -> Self {
        let start = SegmentOffset {
            segment: 0,
            offset: 0,
        };
        Self::at(shared, start)
    }

    pub fn position(&self) -> SegmentOffset {
        self.position
    }

    /// Reads the header of the block at the position; `None` at the durable end.
    pub fn current(&mut self) -> Result<Option<CurrentBlock>, JournalError> {
        let Some(location) = self.shared.lock().block_at(self.position) else {
            return Ok(None);
        };
        self.position = location.start;
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        self.read(&location, 0, &mut bytes)?;
        let header = BlockHeader::decode(&bytes).filter(|header| {
            location.start.offset.saturating_add(header.block_bytes()) <= location.segment_end
        });
        match header {
            Some(header) => Ok(Some(CurrentBlock { header, location })),
            None => Err(damaged(&location)),
        }
    }

    /// Moves to the block after `block`.
    pub fn skip(&mut self, block: &CurrentBlock) {
        self.position.offset = block.location.start.offset + block.header.block_bytes();
    }

    /// Reads the entries of `block` and moves to the next block.
    pub fn read_entries(
        &mut self,
        block: &CurrentBlock,
    ) -> Result<Vec<NumberedEntry>, JournalError> {
        let header = &block.header;
        let recent = self.shared.recent().block(header.first_entry);
        if let Some(entries) = recent {
            self.skip(block);
            return Ok(entries);
        }
        let mut payload = vec![0; header.payload_bytes as usize];
        self.read(&block.location, BLOCK_HEADER_BYTES as u64, &mut payload)?;
        if crc32c::crc32c(&payload) != header.payload_crc {
            return Err(damaged(&block.location));
        }
        let entries =
            unpack(&mut self.unpacker, header, &payload).ok_or_else(|| damaged(&block.location))?;
        self.skip(block);
        let mut next_batch = header.first_batch;
        let number = |entry| {
            let is_batch = matches!(entry, Entry::Batch(_));
            let numbered = NumberedEntry::new(entry, next_batch);
            next_batch += u64::from(is_batch);
            numbered
        };
        Ok(entries.into_iter().map(number).collect())
    }

    /// Fills `bytes` from the block, starting `from` bytes after the block's start.
    fn read(
        &mut self,
        block: &BlockLocation,
        from: u64,
        bytes: &mut [u8],
    ) -> Result<(), JournalError> {
        let failed = |source: io::Error| {
            // The file is shorter than the durable part that the index knows.
            if source.kind() == ErrorKind::UnexpectedEof {
                return damaged(block);
            }
            if let Some(faults) = &self.shared.read_faults {
                faults.inc();
            }
            JournalError::disk("read", &block.path, source)
        };
        let file = match self.file.take() {
            Some((path, file)) if path == block.path => file,
            _ => File::open(&*block.path).map_err(failed)?, // The first block of a segment.
        };
        let read = file.read_exact_at(bytes, block.start.offset + from);
        self.file = Some((Arc::clone(&block.path), file));
        read.map_err(failed)
    }
}

fn damaged(block: &BlockLocation) -> JournalError {
    JournalError::Damaged {
        segment: block.path.to_path_buf(),
        offset: block.start.offset,
    }
}
