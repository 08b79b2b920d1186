//! The past that new rules are to see: what of it each epoch hands on, and how far that is.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use weir_schema::{BatchSeq, Epoch};

/// Events that an epoch has together with those of the past that it hands on, and then no further
/// batch: some 10 ms of work for one core, and epochs are sealed 20 ms apart, so that the graph keeps up
/// with them. It bears on results (when an alert is raised), so that it is no setting.
pub const PAST_EVENTS: u64 = 4_000;

/// A part of those is of the past however many events the epoch has: a full epoch of 10,000 takes a
/// twentieth longer, and a busy server comes to the end, too.
const PAST_SHARE: u64 = 8;

/// Where more pasts wait, the first is handed on whole, so that what they hold is bounded: sixteen
/// bytes for each batch.
const PASTS_MAX: usize = 64;

/// How far it is; wall time for people alone.
#[derive(Clone, Copy, Debug)]
pub struct Backfill {
    /// The epoch in which the rules were put.
    pub epoch: Epoch,
    /// Batches handed on, of all that hold events that the new rules see.
    pub batches: u64,
    pub batches_total: u64,
    pub events: u64,
    began: Instant,
    /// The epoch with the last of it.
    ends: Option<Epoch>,
}

impl Backfill {
    /// Events handed on a second, so far.
    #[must_use]
    pub fn events_per_second(&self) -> f64 {
        let seconds = self.began.elapsed().as_secs_f64();
        if seconds > 0.0 {
            self.events as f64 / seconds
        } else {
            0.0
        }
    }
}

/// The backfills under way.
#[derive(Default)]
pub struct Backfilling(Mutex<Vec<Backfill>>);

impl Backfilling {
    /// All of them as one.
    #[must_use]
    pub fn now(&self) -> Option<Backfill> {
        let all = self.lock();
        let (first, rest) = all.split_first()?;
        Some(rest.iter().fold(*first, |sum, one| Backfill {
            batches: sum.batches + one.batches,
            batches_total: sum.batches_total + one.batches_total,
            events: sum.events + one.events,
            ..sum
        }))
    }

    pub(crate) fn begin(&self, epoch: Epoch, batches: usize) {
        self.lock().push(Backfill {
            epoch,
            batches: 0,
            batches_total: batches as u64,
            events: 0,
            began: Instant::now(),
            ends: None,
        });
    }

    /// A batch of the past that began with `began` was handed on.
    pub(crate) fn step(&self, began: Epoch, events: usize) {
        for one in self.lock().iter_mut().filter(|one| one.epoch == began) {
            one.batches += 1;
            one.events += events as u64;
        }
    }

    /// `epoch` has the last of it.
    pub(crate) fn ends(&self, began: Epoch, epoch: Epoch) {
        for one in self.lock().iter_mut().filter(|one| one.epoch == began) {
            one.ends = Some(epoch);
        }
    }

    /// An epoch is done: what it waited for is over.
    pub(crate) fn done(&self, epoch: u64) {
        self.lock()
            .retain(|one| one.ends.is_none_or(|ends| ends.0 > epoch));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Backfill>> {
        // It is only read by people: a count that lags, after a panic elsewhere, is the worst of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pasts that are still to be handed on, one after the other. What an epoch hands on is a function of
/// what those before it did and of the batches, so that a replay does the same.
#[derive(Debug)]
pub struct Queue {
    waiting: VecDeque<Past>,
    /// Events that an epoch has with them.
    room: u64,
}

#[derive(Debug)]
struct Past {
    began: Epoch,
    /// Each with how many events it has.
    batches: VecDeque<(BatchSeq, u32)>,
}

/// What one epoch hands on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Each with the epoch whose rules are to see it.
    pub batches: Vec<(Epoch, BatchSeq)>,
    /// The pasts of these epochs are handed on whole with it.
    pub through: Vec<Epoch>,
}

impl Queue {
    pub fn new(room: u64) -> Self {
        Self {
            waiting: VecDeque::new(),
            room,
        }
    }

    pub fn add(&mut self, began: Epoch, batches: Vec<(BatchSeq, u32)>) {
        if !batches.is_empty() {
            let batches = batches.into();
            self.waiting.push_back(Past { began, batches });
        }
    }

    /// The next step of an epoch that has events of its own; all that is left, where it waits for
    /// that.
    pub fn step(&mut self, own: u64, all: bool) -> Step {
        let mut step = Step::default();
        let room = self.room.saturating_sub(own).max(self.room / PAST_SHARE);
        let mut events = 0;
        loop {
            let many = self.waiting.len() > PASTS_MAX;
            let Some(past) = self.waiting.front_mut() else {
                return step;
            };
            while let Some((batch, held)) = past.batches.front().copied() {
                if !all && !many && events >= room {
                    return step;
                }
                events += u64::from(held);
                step.batches.push((past.began, batch));
                past.batches.pop_front();
            }
            step.through.push(past.began);
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasts_are_handed_on_one_after_the_other_in_steps_of_bounded_size() {
        let batches = |all: &[(u64, u32)]| {
            let batch = |(seq, events): &(u64, u32)| (BatchSeq(*seq), *events);
            all.iter().map(batch).collect::<Vec<_>>()
        };
        let mut queue = Queue::new(10);
        queue.add(Epoch(3), batches(&[(0, 4), (1, 9), (2, 1), (3, 0)]));
        queue.add(Epoch(5), Vec::new());
        queue.add(Epoch(6), batches(&[(1, 9), (2, 1), (7, 30), (8, 1)]));
        let step = |queue: &mut Queue, all: bool| {
            let Step { batches, through } = queue.step(0, all);
            let batches: Vec<(u64, u64)> = batches.iter().map(|(e, b)| (e.0, b.0)).collect();
            let through: Vec<u64> = through.iter().map(|epoch| epoch.0).collect();
            (batches, through)
        };
        assert_eq!(step(&mut queue, false), (vec![(3, 0), (3, 1)], vec![]));
        let next = (vec![(3, 2), (3, 3), (6, 1)], vec![3]);
        assert_eq!(step(&mut queue, false), next);
        assert_eq!(step(&mut queue, false), (vec![(6, 2), (6, 7)], vec![]));
        assert_eq!(step(&mut queue, true), (vec![(6, 8)], vec![6]));
        assert_eq!(step(&mut queue, false), (vec![], vec![]));
        // Of an epoch that is full already only a part is of the past.
        queue.add(Epoch(9), batches(&[(0, 1), (1, 1), (2, 1), (3, 1)]));
        assert_eq!(queue.step(8, false).batches.len(), 2);
        assert_eq!(queue.step(100, false).batches.len(), 1);
        for epoch in 10..=10 + PASTS_MAX as u64 {
            queue.add(Epoch(epoch), batches(&[(0, 50), (1, 50), (2, 50)]));
        }
        let step = queue.step(0, false);
        assert_eq!((step.batches.len(), step.through.len()), (1 + 3, 2));
    }
}
