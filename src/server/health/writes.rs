//! Whether the journal writer works, and which acknowledged events have no results yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use weir_schema::{Epoch, ReceiveTime};

/// Ages of epochs that are known: 20 minutes of the shortest epochs. Beyond, neighbours share one
/// age, that of the oldest.
const EPOCHS_MAX: usize = 65_536;

/// Records what the journal writer does. The writer sets it, and health checks read it.
#[derive(Debug)]
pub struct JournalWrites {
    started: Instant,
    /// The first and the last failure since the last success.
    outage: Mutex<Option<WriteOutage>>,
    /// Why the writer has ended for good.
    end: OnceLock<String>,
    /// Calls of the journal that returned, successful or not.
    steps: AtomicU64,
    unjudged: Mutex<UnjudgedEpochs>,
    /// When the oldest batch was appended that waits for its sync.
    unsynced: Mutex<Option<Instant>>,
}

/// Failing writes of the journal.
#[derive(Clone, Debug)]
pub struct WriteOutage {
    pub since: Instant,
    pub message: String,
}

impl Default for JournalWrites {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            outage: Mutex::default(),
            end: OnceLock::new(),
            steps: AtomicU64::new(0),
            unjudged: Mutex::default(),
            unsynced: Mutex::default(),
        }
    }
}

impl JournalWrites {
    /// Begins with the epochs of earlier runs, whose events were received at these times.
    #[must_use]
    pub fn resume(earlier: &EarlierEpochs, now: ReceiveTime) -> Self {
        let writes = Self::default();
        let age = |received: ReceiveTime| Age(received.0.min(now.0).saturating_sub(now.0));
        let mut unjudged = UnjudgedEpochs::default();
        for (epoch, received) in &earlier.sealed {
            unjudged.seal(*epoch, age(*received));
        }
        unjudged.open = earlier.open.map(age);
        *writes.lock_unjudged() = unjudged;
        writes
    }

    /// Records a batch that was appended, and waits for its sync.
    pub fn appended(&self, now: Instant) {
        self.lock_unsynced().get_or_insert(now);
    }

    /// Records that no batch waits for its sync any more.
    pub fn nothing_waits(&self) {
        *self.lock_unsynced() = None;
    }

    /// Records a sync that succeeded, of these epochs and of a part of the next one.
    pub fn succeeded(&self, synced: &mut SyncedEpochs) {
        *self.lock() = None;
        self.step();
        self.nothing_waits();
        if synced.is_changed {
            let mut unjudged = self.lock_unjudged();
            for (epoch, since) in synced.sealed.drain(..) {
                unjudged.seal(epoch, self.age(since));
            }
            unjudged.open = synced.open.map(|since| self.age(since));
            synced.open_before = synced.open;
            synced.is_changed = false;
        }
    }

    /// Records a sync that failed at `now` and will be repeated.
    pub fn failed(&self, message: String, now: Instant) {
        self.step();
        let mut outage = self.lock();
        let since = outage.as_ref().map_or(now, |outage| outage.since);
        *outage = Some(WriteOutage { since, message });
    }

    /// Records that the writer must not write again.
    pub fn end(&self, why: String) {
        let _ = self.end.set(why);
    }

    /// Records a call of the journal that returned.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// The failures since the last success.
    #[must_use]
    pub fn outage(&self) -> Option<WriteOutage> {
        self.lock().clone()
    }

    /// Why the writer has ended for good.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        self.end.get().cloned()
    }

    /// The age at `now` of the oldest event in the journal after `judged`, the last epoch with
    /// results, durable or waiting for its sync.
    #[must_use]
    pub fn behind(&self, judged: Epoch, now: Instant) -> Duration {
        let durable = self.lock_unjudged().oldest_after(judged);
        let unsynced = self.lock_unsynced().map(|since| self.age(since));
        let oldest = durable.into_iter().chain(unsynced).min();
        let age = |oldest: Age| self.age(now).0.saturating_sub(oldest.0);
        Duration::from_nanos(oldest.map_or(0, age).try_into().unwrap_or(0))
    }

    fn age(&self, at: Instant) -> Age {
        let since = at.saturating_duration_since(self.started).as_nanos();
        Age(i64::try_from(since).unwrap_or(i64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Option<WriteOutage>> {
        // The value is replaced whole, so a panic elsewhere leaves nothing half-done.
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_unsynced(&self) -> MutexGuard<'_, Option<Instant>> {
        // The value is replaced whole.
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_unjudged(&self) -> MutexGuard<'_, UnjudgedEpochs> {
        // At worst an age is missing after a panic elsewhere.
        self.unjudged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nanoseconds after the start of the process, which no change of the clock moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Age(i64);

/// Neighbouring epochs, with the age of the first event of the first.
#[derive(Clone, Copy, Debug)]
struct EpochSpan {
    last: Epoch,
    first: Age,
    epochs: u64,
}

/// Durable epochs with events.
#[derive(Debug)]
struct UnjudgedEpochs {
    sealed: VecDeque<EpochSpan>,
    /// Epochs that share one age. Doubles whenever there are too many spans.
    span_max: u64,
    /// The first event of the epoch that is not sealed.
    open: Option<Age>,
}

impl Default for UnjudgedEpochs {
    fn default() -> Self {
        Self {
            sealed: VecDeque::new(),
            span_max: 1,
            open: None,
        }
    }
}

impl UnjudgedEpochs {
    fn seal(&mut self, epoch: Epoch, first: Age) {
        if self.sealed.is_empty() {
            self.span_max = 1;
        }
        if self.sealed.len() >= EPOCHS_MAX {
            self.span_max *= 2;
            for span in std::mem::take(&mut self.sealed) {
                self.append(span);
            }
        }
        let epochs = 1;
        let last = epoch;
        self.append(EpochSpan {
            last,
            first,
            epochs,
        });
    }

    fn append(&mut self, next: EpochSpan) {
        match self.sealed.back_mut() {
            Some(span) if span.epochs + next.epochs <= self.span_max => {
                span.last = next.last;
                span.epochs += next.epochs;
            }
            _ => self.sealed.push_back(next), // The first, or the span before is full.
        }
    }

    fn oldest_after(&mut self, judged: Epoch) -> Option<Age> {
        while self
            .sealed
            .pop_front_if(|span| span.last <= judged)
            .is_some()
        {}
        self.sealed.front().map(|span| span.first).or(self.open)
    }
}

/// The epochs that the writer has appended and not synced. Private to the writer's thread.
#[derive(Debug, Default)]
pub struct SyncedEpochs {
    sealed: Vec<(Epoch, Instant)>,
    open: Option<Instant>,
    /// `open` after the last sync that succeeded.
    open_before: Option<Instant>,
    is_changed: bool,
}

impl SyncedEpochs {
    /// Records a batch that was appended at `now`.
    pub fn append(&mut self, now: Instant) {
        if self.open.is_none() {
            self.open = Some(now);
            self.is_changed = true;
        }
    }

    /// Records a seal. An epoch without events waits for nothing.
    pub fn seal(&mut self, epoch: Epoch) {
        if let Some(first) = self.open.take() {
            self.sealed.push((epoch, first));
            self.is_changed = true;
        }
    }

    /// Forgets what was appended since the last sync that succeeded.
    pub fn discard(&mut self) {
        self.sealed.clear();
        self.open = self.open_before;
        self.is_changed = false;
    }
}

/// The epochs with events of earlier runs, each with the time at which its first was received.
#[derive(Debug, Default)]
pub struct EarlierEpochs {
    sealed: VecDeque<(Epoch, ReceiveTime)>,
    open: Option<ReceiveTime>,
}

impl EarlierEpochs {
    pub fn add_batch(&mut self, received: ReceiveTime) {
        self.open.get_or_insert(received);
    }

    /// Seals an epoch. Only the newest [`EPOCHS_MAX`] are kept: earlier ones were judged long ago,
    /// or their ledger is being rebuilt.
    pub fn seal(&mut self, epoch: Epoch) {
        let Some(first) = self.open.take() else {
            return;
        };
        if self.sealed.len() >= EPOCHS_MAX {
            self.sealed.pop_front();
        }
        self.sealed.push_back((epoch, first));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_oldest_durable_event_without_results_decides() {
        let writes = JournalWrites::default();
        let start = writes.started;
        let mut synced = SyncedEpochs::default();
        let behind = |judged, at| writes.behind(Epoch(judged), start + second(at));
        assert_eq!(behind(0, 100), second(0), "nothing waits");
        synced.append(start + second(10));
        assert_eq!(behind(0, 20), second(0), "it is not acknowledged");
        writes.succeeded(&mut synced);
        assert_eq!(
            behind(0, 20),
            second(10),
            "an epoch that is not sealed counts"
        );
        synced.append(start + second(11));
        synced.seal(Epoch(1));
        synced.append(start + second(12));
        synced.seal(Epoch(2));
        synced.seal(Epoch(3)); // Ticks only.
        writes.succeeded(&mut synced);
        assert_eq!(behind(0, 20), second(10));
        assert_eq!(behind(1, 20), second(8));
        assert_eq!(behind(3, 20), second(0));
    }

    #[test]
    fn discarded_epochs_do_not_count() {
        let writes = JournalWrites::default();
        let start = writes.started;
        let mut synced = SyncedEpochs::default();
        synced.append(start);
        synced.seal(Epoch(1));
        synced.append(start);
        synced.discard();
        writes.failed("disk full".to_owned(), start);
        assert_eq!(writes.behind(Epoch(0), start + second(9)), second(0));
        synced.append(start + second(5));
        synced.seal(Epoch(1));
        writes.succeeded(&mut synced);
        assert_eq!(writes.behind(Epoch(0), start + second(9)), second(4));
    }

    #[test]
    fn epochs_of_earlier_runs_count_by_their_receipt() {
        let mut earlier = EarlierEpochs::default();
        let at = |seconds: i64| ReceiveTime(seconds * 1_000_000_000);
        for (epoch, received) in [(1, 100), (2, 160)] {
            earlier.add_batch(at(received));
            earlier.seal(Epoch(epoch));
        }
        let writes = JournalWrites::resume(&earlier, at(200));
        assert_eq!(writes.behind(Epoch(0), writes.started), second(100));
        assert_eq!(
            writes.behind(Epoch(1), writes.started + second(1)),
            second(41)
        );
        // A clock that was set back makes nothing late.
        let writes = JournalWrites::resume(&earlier, at(50));
        assert_eq!(writes.behind(Epoch(0), writes.started), second(0));
    }

    #[test]
    fn a_long_backlog_takes_bounded_space() {
        let mut unjudged = UnjudgedEpochs::default();
        for n in 0..10 * EPOCHS_MAX as i64 {
            unjudged.seal(Epoch(n as u64), Age(n));
        }
        assert!(unjudged.sealed.len() <= EPOCHS_MAX);
        for judged in (0..10 * EPOCHS_MAX as u64 - 1).step_by(997) {
            let oldest = unjudged.oldest_after(Epoch(judged)).expect("a later epoch");
            assert!(oldest.0 <= judged as i64 + 1, "never younger than it is");
            assert!(oldest.0 >= judged as i64 - 64, "{judged}: {oldest:?}");
        }
    }
}
