//! Entries on their way to the disk: encoded into blocks, then compressed and chained as a group.

use weir_schema::Entry;

use super::JournalError;
use super::format::{BLOCK_RAW_BYTES_TARGET, BlockHeader, ENTRY_BYTES_MAX, JournalEnd, Packer};
use super::recent::{RecentBlock, read_entry};
use super::walk::ReadEntry;

/// A block that is not written yet.
pub(crate) struct PendingBlock {
    raw: Vec<u8>,
    entries: Vec<ReadEntry>,
    entries_bytes: usize,
    first: JournalEnd,
    after: JournalEnd,
}

impl PendingBlock {
    /// An empty block, to be filled from where the journal stands; `room` is memory for it.
    pub fn new(end: JournalEnd, room: Vec<u8>) -> Self {
        Self {
            raw: room,
            entries: Vec::new(),
            entries_bytes: 0,
            first: end,
            after: end,
        }
    }

    pub fn is_full(&self) -> bool {
        self.raw.len() >= BLOCK_RAW_BYTES_TARGET
    }

    /// What it is to readers, and its memory for another block.
    pub fn written(self) -> (RecentBlock, Vec<u8>) {
        let block = RecentBlock {
            first_entry: self.first.next_entry,
            first_batch: self.first.next_batch,
            bytes: self.entries_bytes,
            entries: self.entries,
        };
        let mut room = self.raw;
        room.clear();
        (block, room)
    }

    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Encodes one more entry, after which the journal stands at `after`; returns its size.
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
                let (read, bytes) = read_entry(entry, self.after.next_batch);
                self.entries.push(read);
                self.entries_bytes += bytes;
                self.after = after;
            }
            Err(_) => self.raw.truncate(before),
        }
        checked
    }
}

/// A group as it goes to the disk.
pub(crate) struct Group {
    pub bytes: Vec<u8>,
    /// Each block with its place in `bytes`.
    pub blocks: Vec<(u64, BlockHeader)>,
}

impl Group {
    /// Packs blocks for the segment of this salt, as the successors of `chain`.
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
            // None of these is over `BLOCK_RAW_BYTES_MAX`, and an entry takes at least one byte.
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
