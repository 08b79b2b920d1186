//! Reads what is durable: epochs as they are sealed, batches by ordinal, everything in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_schema::{Batch, BatchSeq, Control, Entry, Epoch, SealedEpoch};

use super::JournalError;
use super::index::Shared;
use super::walk::{ReadEntry, Walk};

/// Decoded blocks that are kept for the next look-up: the evidence of one alert, 100 frames, is
/// seldom spread wider.
const KEPT_BLOCKS_MAX: usize = 16;
/// And no more than so many bytes of them, however large their batches are.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// Reads a journal while it is written. Clones share their look-up cache.
#[derive(Clone)]
pub struct JournalReader {
    shared: Arc<Shared>,
    kept: Arc<Mutex<VecDeque<KeptBlock>>>,
}

struct KeptBlock {
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
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            kept: Arc::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The last durable seal; `Epoch(0)` for none.
    #[must_use]
    pub fn last_sealed(&self) -> Epoch {
        Epoch(self.shared.lock().end.sealed)
    }

    /// No epoch up to `epoch` is sealed from now on. True once all that were can be read; until
    /// then the journal is about to grow, or to give up what is pending.
    #[must_use]
    pub fn promise(&self, epoch: Epoch) -> bool {
        let mut index = self.shared.lock();
        index.floor = index.floor.max(epoch.0);
        index.sealing.is_none_or(|sealing| sealing > epoch.0)
    }

    /// Ends the wait of every cursor, or the next one of those that do not wait.
    pub fn wake(&self) {
        self.shared.lock().wakes += 1;
        self.shared.grown.notify_all();
    }

    /// A cursor whose first epoch is `from`, or the first one after it that the journal has.
    #[must_use]
    pub fn cursor(&self, from: Epoch) -> EpochCursor {
        let start = self.shared.lock().before_epoch(from.0);
        EpochCursor {
            walk: match start {
                Some(place) => Walk::from(Arc::clone(&self.shared), place),
                None => Walk::from_start(Arc::clone(&self.shared)),
            },
            shared: Arc::clone(&self.shared),
            from,
            open: OpenEpoch::default(),
            ready: VecDeque::new(),
            woken: 0,
        }
    }

    /// The batch of this ordinal.
    pub fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, JournalError> {
        let recent = self.shared.recent().batch(seq);
        if let Some(batch) = recent.or_else(|| self.kept_batch(seq)) {
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
        let mut walk = Walk::from(Arc::clone(&self.shared), start);
        while let Some(block) = walk.block()? {
            if block.header.first_batch > seq.0 {
                break;
            }
            if block.header.next_batch() <= seq.0 {
                walk.skip(&block);
                continue;
            }
            let batches: Vec<_> = walk
                .take(&block)?
                .into_iter()
                .filter_map(batch_of)
                .collect();
            let place = (seq.0 - block.header.first_batch) as usize;
            let found = batches.get(place).map(|(_, batch)| Arc::clone(batch));
            self.keep(KeptBlock {
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
        self.walk_entries().filter_map(|read| match read {
            Ok(entry) => batch_of(entry).map(Ok),
            Err(error) => Some(Err(error)),
        })
    }

    /// All durable entries in order; ends after an error.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, JournalError>> + use<> {
        self.walk_entries().map(|read| {
            Ok(match read? {
                ReadEntry::Batch(_, batch) => Entry::Batch(batch),
                ReadEntry::Control(control) => Entry::Control(control),
                ReadEntry::Seal(epoch) => Entry::Seal { epoch },
            })
        })
    }

    fn walk_entries(&self) -> impl Iterator<Item = Result<ReadEntry, JournalError>> + use<> {
        let mut walk = Walk::from_start(Arc::clone(&self.shared));
        let mut read = VecDeque::new();
        let mut ended = false;
        std::iter::from_fn(move || {
            while read.is_empty() && !ended {
                match next_block(&mut walk) {
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

    fn kept_batch(&self, seq: BatchSeq) -> Option<Arc<Batch>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|block| block.get(seq).is_some())?;
        let block = kept.remove(at)?;
        let batch = block.get(seq).cloned();
        kept.push_back(block);
        batch
    }

    fn keep(&self, block: KeptBlock) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| other.first_batch != block.first_batch);
        kept.push_back(block);
        while kept.len() > KEPT_BLOCKS_MAX
            || kept.len() > 1 && kept.iter().map(|b| b.raw_bytes).sum::<usize>() > KEPT_BYTES_MAX
        {
            kept.pop_front();
        }
    }
}

impl KeptBlock {
    fn get(&self, seq: BatchSeq) -> Option<&Arc<Batch>> {
        let place = seq.0.checked_sub(self.first_batch)?;
        self.batches.get(usize::try_from(place).ok()?)
    }
}

/// Follows the journal, one sealed epoch at a time.
pub struct EpochCursor {
    shared: Arc<Shared>,
    walk: Walk,
    from: Epoch,
    open: OpenEpoch,
    /// Epochs that the last block closed.
    ready: VecDeque<SealedEpoch>,
    /// How often it was woken so far.
    woken: u64,
}

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
    /// The next epoch whose seal is durable. Waits for it up to `wait`, or until the writer is gone
    /// or someone wakes it, and then says `None`. After an error, the next call tries the same
    /// place again.
    pub fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, JournalError> {
        let deadline = Instant::now().checked_add(wait);
        loop {
            if let Some(epoch) = self.ready.pop_front() {
                return Ok(Some(epoch));
            }
            match self.walk.block()? {
                // Of a block that ends within an epoch the end may be wanted.
                Some(block) if block.header.sealed < self.from.0 && block.header.unsealed == 0 => {
                    self.open = OpenEpoch::default();
                    self.walk.skip(&block);
                }
                Some(block) => {
                    for entry in self.walk.take(&block)? {
                        self.push(entry);
                    }
                }
                None if self.wait_for_more(deadline) => {}
                None => return Ok(None),
            }
        }
    }

    /// Whether the writer is gone; what it made durable can still be read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    fn push(&mut self, entry: ReadEntry) {
        match entry {
            ReadEntry::Control(control) => self.open.controls.push(control),
            ReadEntry::Batch(seq, batch) => self.open.batches.push((seq, batch)),
            ReadEntry::Seal(epoch) => {
                let open = std::mem::take(&mut self.open);
                if epoch >= self.from {
                    self.ready.push_back(SealedEpoch {
                        epoch,
                        controls: open.controls,
                        heard: Vec::new(),
                        batches: open.batches,
                    });
                }
            }
        }
    }

    /// Sleeps until there is a block to read; false at the deadline, or where none will follow.
    fn wait_for_more(&mut self, deadline: Option<Instant>) -> bool {
        let mut index = self.shared.lock();
        loop {
            if index.block_at(self.walk.place()).is_some() {
                return true;
            }
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if index.closed || left.is_zero() || index.wakes != self.woken {
                self.woken = index.wakes;
                return false;
            }
            let waited = self.shared.grown.wait_timeout(index, left);
            index = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn next_block(walk: &mut Walk) -> Result<Option<Vec<ReadEntry>>, JournalError> {
    match walk.block()? {
        Some(block) => walk.take(&block).map(Some),
        None => Ok(None),
    }
}

fn batch_of(entry: ReadEntry) -> Option<(BatchSeq, Arc<Batch>)> {
    match entry {
        ReadEntry::Batch(seq, batch) => Some((seq, batch)),
        ReadEntry::Control(_) | ReadEntry::Seal(_) => None,
    }
}
