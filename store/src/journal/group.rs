//! Encodes entries into pending blocks, then compresses and chains the blocks of a group commit.

use weir_schema::Entry;

use super::JournalError;
use super::entry::NumberedEntry;
use super::format::{BLOCK_RAW_BYTES_TARGET, BlockHeader, ENTRY_BYTES_MAX, JournalEnd, Packer};
use super::recent::RecentBlock;

/// Bytes of a frame in memory besides its content.
const FRAME_OVERHEAD_BYTES: usize = size_of::<usize>();

/// A block that is not written yet.
pub(crate) struct PendingBlock {
    raw: Vec<u8>,
    entries: Vec<NumberedEntry>,
    entries_bytes: usize,
    first: JournalEnd,
    after: JournalEnd,
}

impl PendingBlock {
    /// An empty block after the journal's `end`; `buffer` is an empty buffer for its bytes.
    pub fn new(end: JournalEnd, buffer: Vec<u8>) -> Self {
        Self {
            raw: buffer,
            entries: Vec::new(),
            entries_bytes: 0,
            first: end,
            after: end,
        }
    }

    pub fn is_full(&self) -> bool {
        self.raw.len() >= BLOCK_RAW_BYTES_TARGET
    }

    /// Converts the block for readers; also returns its empty buffer for another block.
    pub fn into_recent(self) -> (RecentBlock, Vec<u8>) {
        let block = RecentBlock {
            first_entry: self.first.next_entry,
            first_batch: self.first.next_batch,
            bytes: self.entries_bytes,
            entries: self.entries,
        };
        let mut buffer = self.raw;
        buffer.clear();
        (block, buffer)
    }

    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Encodes one more entry and returns its size. `after` is the journal's end after the entry.
    pub fn push(&mut self, entry: &Entry, after: JournalEnd) -> Result<usize, JournalError> {
        let before = self.raw.len();
        let encoded = postcard::to_io(entry, &mut self.raw).map(|_| ());
        let bytes = self.raw.len() - before;
        let checked = match encoded {
            Err(error) => Err(JournalError::Encode(error)),
            Ok(()) if bytes > ENTRY_BYTES_MAX => Err(JournalError::EntryTooLarge {
                bytes,
                limit: ENTRY_BYTES_MAX,
            }),
            Ok(()) => Ok(bytes),
        };
        match checked {
            Ok(_) => {
                if let Entry::Batch(batch) = entry {
                    let frames = &batch.frames;
                    self.entries_bytes += frames.bytes() + frames.len() * FRAME_OVERHEAD_BYTES;
                }
                let numbered = NumberedEntry::new(entry.clone(), self.after.next_batch);
                self.entries.push(numbered);
                self.after = after;
            }
            Err(_) => self.raw.truncate(before),
        }
        checked
    }
}

/// The blocks of one group commit, as they are written.
pub(crate) struct BlockGroup {
    pub bytes: Vec<u8>,
    /// Header of each block, with the block's offset in `bytes`.
    pub blocks: Vec<(u64, BlockHeader)>,
}

impl BlockGroup {
    /// Packs blocks for the segment with this salt. The first block continues `chain`.
    pub fn encode(
        pending: &[PendingBlock],
        packer: &mut Packer,
        salt: u64,
        chain: [u8; 32],
    ) -> Result<Self, JournalError> {
        let mut chain = chain;
        let mut group = Self {
            bytes: Vec::new(),
            blocks: Vec::with_capacity(pending.len()),
        };
        for block in pending {
            let (codec, payload) = packer.pack(&block.raw).map_err(JournalError::Compress)?;
            // No cast truncates: sizes are at most `BLOCK_RAW_BYTES_MAX`, and an entry has at least
            // one byte.
            let mut header = BlockHeader {
                codec,
                salt,
                payload_bytes: payload.len() as u32,
                raw_bytes: block.raw.len() as u32,
                entries: (block.after.next_entry - block.first.next_entry) as u32,
                batches: (block.after.next_batch - block.first.next_batch) as u32,
                first_entry: block.first.next_entry,
                first_batch: block.first.next_batch,
                sealed: block.after.sealed,
                unsealed: block.after.unsealed,
                received: block.after.received,
                payload_crc: crc32c::crc32c(payload),
                chain,
            };
            header.chain = header.link(&chain, payload);
            chain = header.chain;
            group.blocks.push((group.bytes.len() as u64, header));
            group.bytes.extend(header.encode());
            group.bytes.extend(payload);
        }
        Ok(group)
    }
}
