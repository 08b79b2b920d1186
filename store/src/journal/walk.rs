//! Walks over the durable blocks in order, reading each from its file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use weir_schema::{Batch, BatchSeq, Control, Entry, Epoch};

use super::JournalError;
use super::format::{BLOCK_HEADER_BYTES, BlockHeader, Unpacker, unpack};
use super::index::{BlockPlace, Place, Shared};

/// An entry as readers use it: batches are shared, and know their ordinal.
#[derive(Clone, Debug)]
pub(crate) enum ReadEntry {
    Batch(BatchSeq, Arc<Batch>),
    Control(Control),
    Seal(Epoch),
}

/// A place in the journal that moves on from block to block.
pub(crate) struct Walk {
    shared: Arc<Shared>,
    place: Place,
    file: Option<(Arc<PathBuf>, File)>,
    unpacker: Unpacker,
}

/// The block that a walk stands at.
pub(crate) struct AtBlock {
    pub header: BlockHeader,
    place: BlockPlace,
}

impl Walk {
    pub fn from(shared: Arc<Shared>, place: Place) -> Self {
        Self {
            shared,
            place,
            file: None,
            unpacker: Unpacker::default(),
        }
    }

    /// From the first block.
    pub fn from_start(shared: Arc<Shared>) -> Self {
        let start = Place {
            segment: 0,
            offset: 0,
        };
        Self::from(shared, start)
    }

    pub fn place(&self) -> Place {
        self.place
    }

    /// The block here; `None` at the durable end.
    pub fn block(&mut self) -> Result<Option<AtBlock>, JournalError> {
        let Some(place) = self.shared.lock().block_at(self.place) else {
            return Ok(None);
        };
        self.place = place.place;
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        self.read(&place, 0, &mut bytes)?;
        let header = BlockHeader::decode(&bytes).filter(|header| {
            place.place.offset.saturating_add(header.block_bytes()) <= place.segment_end
        });
        match header {
            Some(header) => Ok(Some(AtBlock { header, place })),
            None => Err(damaged(&place)),
        }
    }

    /// Goes to the block after `block`.
    pub fn skip(&mut self, block: &AtBlock) {
        self.place.offset = block.place.place.offset + block.header.block_bytes();
    }

    /// Reads the entries of `block` and goes to the one after it.
    pub fn take(&mut self, block: &AtBlock) -> Result<Vec<ReadEntry>, JournalError> {
        let header = &block.header;
        let recent = self.shared.recent().block(header.first_entry);
        if let Some(entries) = recent {
            self.skip(block);
            return Ok(entries);
        }
        let mut payload = vec![0; header.payload_bytes as usize];
        self.read(&block.place, BLOCK_HEADER_BYTES as u64, &mut payload)?;
        if crc32c::crc32c(&payload) != header.payload_crc {
            return Err(damaged(&block.place));
        }
        let entries =
            unpack(&mut self.unpacker, header, &payload).ok_or_else(|| damaged(&block.place))?;
        self.skip(block);
        let mut next_batch = header.first_batch;
        let read = |entry| match entry {
            Entry::Batch(batch) => {
                let seq = BatchSeq(next_batch);
                next_batch += 1;
                ReadEntry::Batch(seq, batch)
            }
            Entry::Control(control) => ReadEntry::Control(control),
            Entry::Seal { epoch } => ReadEntry::Seal(epoch),
        };
        Ok(entries.into_iter().map(read).collect())
    }

    fn read(&mut self, at: &BlockPlace, from: u64, bytes: &mut [u8]) -> Result<(), JournalError> {
        let failed = |source| JournalError::disk("read", &at.path, source);
        let file = match self.file.take() {
            Some((path, file)) if path == at.path => file,
            _ => File::open(&*at.path).map_err(failed)?, // Another segment, or the first.
        };
        let read = file.read_exact_at(bytes, at.place.offset + from);
        self.file = Some((Arc::clone(&at.path), file));
        read.map_err(failed)
    }
}

fn damaged(place: &BlockPlace) -> JournalError {
    JournalError::Damaged {
        segment: place.path.to_path_buf(),
        offset: place.place.offset,
    }
}
