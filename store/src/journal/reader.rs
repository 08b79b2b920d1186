//! Reads durable entries: sealed epochs as they come, batches by ordinal, or everything in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_schema::{Batch, BatchSeq, Control, Entry, Epoch, SealedEpoch};

use super::JournalError;
use super::block_reader::BlockReader;
use super::entry::NumberedEntry;
use super::index::SharedIndex;

/// Decoded blocks in the look-up cache. The evidence of one alert, 100 frames, rarely needs more.
const CACHE_BLOCKS_MAX: usize = 16;
/// Most bytes of these blocks; the newest block always stays.
const CACHE_BYTES_MAX: usize = 32 << 20;

/// Reads a journal, also while it is written. Clones share their look-up cache.
#[derive(Clone)]
pub struct JournalReader {
    shared: Arc<SharedIndex>,
    cache: Arc<Mutex<VecDeque<CachedBlock>>>,
}

/// The batches of a decoded block.
struct CachedBlock {
    first_batch: u64,
    raw_bytes: usize,
    batches: Vec<Arc<Batch>>,
}

impl std::fmt::Debug for JournalReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalReader").finish_non_exhaustive()
    }
}

impl JournalReader {
    pub(crate) fn new(shared: Arc<SharedIndex>) -> Self {
        Self {
            shared,
            cache: Arc::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> Arc<SharedIndex> {
        Arc::clone(&self.shared)
    }

    /// The epoch of the last durable seal; `Epoch(0)` for none.
    #[must_use]
    pub fn last_sealed(&self) -> Epoch {
        Epoch(self.shared.lock().end.sealed)
    }

    /// Whether the writer is gone. Its durable entries can still be read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Makes all later seals use epochs above `epoch`.
    ///
    /// Returns true if readers can read all epochs up to `epoch`. False: such a seal is pending,
    /// and the writer is about to sync or discard it.
    #[must_use]
    pub fn raise_floor(&self, epoch: Epoch) -> bool {
        let mut index = self.shared.lock();
        index.floor = index.floor.max(epoch.0);
        index.sealing.is_none_or(|sealing| sealing > epoch.0)
    }

    /// Ends the wait of every cursor. A cursor that is not waiting does not wait the next time.
    pub fn wake(&self) {
        self.shared.lock().wakes += 1;
        self.shared.signal.notify_all();
    }

    /// A cursor that starts at epoch `from`, or at the next one that the journal has.
    #[must_use]
    pub fn cursor(&self, from: Epoch) -> EpochCursor {
        let start = self.shared.lock().before_epoch(from.0);
        EpochCursor {
            blocks: match start {
                Some(start) => BlockReader::at(Arc::clone(&self.shared), start),
                None => BlockReader::from_start(Arc::clone(&self.shared)),
            },
            shared: Arc::clone(&self.shared),
            from,
            open: OpenEpoch::default(),
            ready: VecDeque::new(),
            wakes_seen: 0,
        }
    }

    /// The batch with this ordinal.
    pub fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, JournalError> {
        let recent = self.shared.recent().batch(seq);
        if let Some(batch) = recent.or_else(|| self.cached_batch(seq)) {
            return Ok(batch);
        }
        let index = self.shared.lock();
        if seq.0 >= index.end.next_batch {
            return Err(JournalError::NoSuchBatch { batch: seq });
        }
        let start = index.last_mark(|mark| mark.first_batch <= seq.0);
        drop(index);
        let lost = JournalError::BatchLost { batch: seq };
        let Some(start) = start else {
            return Err(lost);
        };
        let mut blocks = BlockReader::at(Arc::clone(&self.shared), start);
        while let Some(block) = blocks.current()? {
            if block.header.first_batch > seq.0 {
                break;
            }
            if block.header.next_batch() <= seq.0 {
                blocks.skip(&block);
                continue;
            }
            let batches: Vec<_> = blocks
                .read_entries(&block)?
                .into_iter()
                .filter_map(NumberedEntry::into_batch)
                .collect();
            let index = (seq.0 - block.header.first_batch) as usize;
            let found = batches.get(index).map(|(_, batch)| Arc::clone(batch));
            self.cache_block(CachedBlock {
                first_batch: block.header.first_batch,
                raw_bytes: block.header.raw_bytes as usize,
                batches: batches.into_iter().map(|(_, batch)| batch).collect(),
            });
            return found.ok_or(lost);
        }
        Err(lost)
    }

    /// All durable batches in order; ends after an error.
    pub fn batches(
        &self,
    ) -> impl Iterator<Item = Result<(BatchSeq, Arc<Batch>), JournalError>> + use<> {
        self.numbered_entries().filter_map(|read| match read {
            Ok(entry) => entry.into_batch().map(Ok),
            Err(error) => Some(Err(error)),
        })
    }

    /// All durable entries in order; ends after an error.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, JournalError>> + use<> {
        self.numbered_entries()
            .map(|read| read.map(NumberedEntry::into_entry))
    }

    fn numbered_entries(
        &self,
    ) -> impl Iterator<Item = Result<NumberedEntry, JournalError>> + use<> {
        let mut blocks = BlockReader::from_start(Arc::clone(&self.shared));
        let mut read = VecDeque::new();
        let mut ended = false;
        std::iter::from_fn(move || {
            while read.is_empty() && !ended {
                match next_block(&mut blocks) {
                    Ok(Some(entries)) => read.extend(entries),
                    Ok(None) => ended = true,
                    Err(error) => {
                        ended = true;
                        return Some(Err(error));
                    }
                }
            }
            read.pop_front().map(Ok)
        })
    }

    fn cached_batch(&self, seq: BatchSeq) -> Option<Arc<Batch>> {
        let mut cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let at = cached.iter().position(|block| block.get(seq).is_some())?;
        let block = cached.remove(at)?;
        let batch = block.get(seq).cloned();
        cached.push_back(block);
        batch
    }

    fn cache_block(&self, block: CachedBlock) {
        let mut cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cached.retain(|other| other.first_batch != block.first_batch);
        cached.push_back(block);
        while cached.len() > CACHE_BLOCKS_MAX
            || cached.len() > 1
                && cached.iter().map(|b| b.raw_bytes).sum::<usize>() > CACHE_BYTES_MAX
        {
            cached.pop_front();
        }
    }
}

impl CachedBlock {
    fn get(&self, seq: BatchSeq) -> Option<&Arc<Batch>> {
        let index = seq.0.checked_sub(self.first_batch)?;
        self.batches.get(usize::try_from(index).ok()?)
    }
}

/// Follows the journal, one sealed epoch at a time.
pub struct EpochCursor {
    shared: Arc<SharedIndex>,
    blocks: BlockReader,
    from: Epoch,
    open: OpenEpoch,
    /// Epochs that the last block closed.
    ready: VecDeque<SealedEpoch>,
    /// The wakes that this cursor has already returned for.
    wakes_seen: u64,
}

/// Entries after the last seal.
#[derive(Default)]
struct OpenEpoch {
    controls: Vec<Control>,
    batches: Vec<(BatchSeq, Arc<Batch>)>,
}

impl std::fmt::Debug for EpochCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EpochCursor").finish_non_exhaustive()
    }
}

impl EpochCursor {
    /// The next epoch whose seal is durable.
    ///
    /// Waits for it up to `wait`, or until the writer is gone or [`JournalReader::wake`] is called,
    /// and then returns `None`. After an error, the next call retries the same block.
    pub fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, JournalError> {
        let deadline = Instant::now().checked_add(wait);
        loop {
            if let Some(epoch) = self.ready.pop_front() {
                return Ok(Some(epoch));
            }
            match self.blocks.current()? {
                // A block that ends within an epoch cannot be skipped: that epoch may be wanted.
                Some(block) if block.header.sealed < self.from.0 && block.header.unsealed == 0 => {
                    self.open = OpenEpoch::default();
                    self.blocks.skip(&block);
                }
                Some(block) => {
                    for entry in self.blocks.read_entries(&block)? {
                        self.push(entry);
                    }
                }
                None if self.wait_for_more(deadline) => {}
                None => return Ok(None),
            }
        }
    }

    /// Whether the writer is gone. Its durable entries can still be read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    fn push(&mut self, entry: NumberedEntry) {
        match entry {
            NumberedEntry::Control(control) => self.open.controls.push(control),
            NumberedEntry::Batch(seq, batch) => self.open.batches.push((seq, batch)),
            NumberedEntry::Seal(epoch) => {
                let open = std::mem::take(&mut self.open);
                if epoch >= self.from {
                    self.ready.push_back(SealedEpoch {
                        epoch,
                        controls: open.controls,
                        follower_controls: Vec::new(),
                        batches: open.batches,
                    });
                }
            }
        }
    }

    /// Waits for a block to read; false at the deadline, when woken, or if none will follow.
    fn wait_for_more(&mut self, deadline: Option<Instant>) -> bool {
        let mut index = self.shared.lock();
        loop {
            if index.block_at(self.blocks.position()).is_some() {
                return true;
            }
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if index.closed || left.is_zero() || index.wakes != self.wakes_seen {
                self.wakes_seen = index.wakes;
                return false;
            }
            let waited = self.shared.signal.wait_timeout(index, left);
            index = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn next_block(blocks: &mut BlockReader) -> Result<Option<Vec<NumberedEntry>>, JournalError> {
    match blocks.current()? {
        Some(block) => blocks.read_entries(&block).map(Some),
        None => Ok(None),
    }
}
