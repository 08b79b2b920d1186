//! The queue of backfills, and the part of it that each epoch reads.

use std::collections::VecDeque;

use weir_schema::{BatchSeq, Epoch};

/// Events of an epoch, its own and those of backfills, beyond which it reads no further batch.
///
/// They are some 10 ms of work for one core, and epochs are sealed 20 ms apart, so the graph keeps
/// up with them. Results depend on it (when an alert is raised), so it is not configurable.
pub const BACKFILL_EVENTS_PER_EPOCH: u64 = 4_000;

/// Divisor of the part of those events that backfills always get, however full the epoch is: a full
/// epoch of 10,000 events takes a twentieth longer, and a busy server finishes its backfills, too.
const MIN_SHARE_DIVISOR: u64 = 8;

/// Pending backfills beyond which an epoch reads the first one whole. It bounds their memory:
/// sixteen bytes for each batch.
const PENDING_BACKFILLS_MAX: usize = 64;

/// Backfills to be read, one after the other.
///
/// The part that an epoch reads is a function of the batches and of the parts before, so a replay
/// reads the same.
#[derive(Debug)]
pub struct BackfillQueue {
    pending: VecDeque<PendingBackfill>,
    /// Events of an epoch, together with those of backfills.
    events_per_epoch: u64,
}

#[derive(Debug)]
struct PendingBackfill {
    start: Epoch,
    /// Each batch with its number of events.
    batches: VecDeque<(BatchSeq, u32)>,
}

/// The part of the queue that one epoch reads.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BackfillStep {
    /// Each batch with the epoch whose rules read it.
    pub batches: Vec<(Epoch, BatchSeq)>,
    /// Start epochs of the backfills that end with this step.
    pub completed: Vec<Epoch>,
}

impl BackfillQueue {
    pub fn new(events_per_epoch: u64) -> Self {
        Self {
            pending: VecDeque::new(),
            events_per_epoch,
        }
    }

    /// Adds the batches, each with its number of events, that rules of the epoch `start` must read.
    pub fn add(&mut self, start: Epoch, batches: Vec<(BatchSeq, u32)>) {
        if !batches.is_empty() {
            let batches = batches.into();
            self.pending.push_back(PendingBackfill { start, batches });
        }
    }

    /// Takes the part that an epoch with `own_events` reads; all that is left if `all` is set.
    pub fn step(&mut self, own_events: u64, all: bool) -> BackfillStep {
        let mut step = BackfillStep::default();
        let room = self
            .events_per_epoch
            .saturating_sub(own_events)
            .max(self.events_per_epoch / MIN_SHARE_DIVISOR);
        let mut events = 0;
        loop {
            let many = self.pending.len() > PENDING_BACKFILLS_MAX;
            let Some(first) = self.pending.front_mut() else {
                return step;
            };
            while let Some((batch, batch_events)) = first.batches.front().copied() {
                if !all && !many && events >= room {
                    return step;
                }
                events += u64::from(batch_events);
                step.batches.push((first.start, batch));
                first.batches.pop_front();
            }
            step.completed.push(first.start);
            self.pending.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(all: &[(u64, u32)]) -> Vec<(BatchSeq, u32)> {
        let batch = |(seq, events): &(u64, u32)| (BatchSeq(*seq), *events);
        all.iter().map(batch).collect()
    }

    fn step(queue: &mut BackfillQueue, all: bool) -> (Vec<(u64, u64)>, Vec<u64>) {
        let BackfillStep { batches, completed } = queue.step(0, all);
        let batches = batches.iter().map(|(start, batch)| (start.0, batch.0));
        let completed = completed.iter().map(|epoch| epoch.0);
        (batches.collect(), completed.collect())
    }

    #[test]
    fn backfills_are_read_one_after_the_other_in_bounded_steps() {
        let mut queue = BackfillQueue::new(10);
        queue.add(Epoch(3), batches(&[(0, 4), (1, 9), (2, 1), (3, 0)]));
        queue.add(Epoch(5), Vec::new());
        queue.add(Epoch(6), batches(&[(1, 9), (2, 1), (7, 30), (8, 1)]));
        assert_eq!(step(&mut queue, false), (vec![(3, 0), (3, 1)], vec![]));
        let next = (vec![(3, 2), (3, 3), (6, 1)], vec![3]);
        assert_eq!(step(&mut queue, false), next);
        assert_eq!(step(&mut queue, false), (vec![(6, 2), (6, 7)], vec![]));
        assert_eq!(step(&mut queue, true), (vec![(6, 8)], vec![6]));
        assert_eq!(step(&mut queue, false), (vec![], vec![]));
    }

    #[test]
    fn a_full_epoch_still_reads_the_minimum_share() {
        let mut queue = BackfillQueue::new(10);
        queue.add(Epoch(9), batches(&[(0, 1), (1, 1), (2, 1), (3, 1)]));
        assert_eq!(queue.step(8, false).batches.len(), 2);
        assert_eq!(queue.step(100, false).batches.len(), 1);
    }

    #[test]
    fn too_many_pending_backfills_make_the_first_one_complete_at_once() {
        let mut queue = BackfillQueue::new(10);
        queue.add(Epoch(9), batches(&[(3, 1)]));
        for epoch in 10..=10 + PENDING_BACKFILLS_MAX as u64 {
            queue.add(Epoch(epoch), batches(&[(0, 50), (1, 50), (2, 50)]));
        }
        let step = queue.step(0, false);
        assert_eq!((step.batches.len(), step.completed.len()), (1 + 3, 2));
    }
}
