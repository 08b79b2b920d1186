//! Stretches of a journal whose receive times come from one setting of the clock.

use std::collections::VecDeque;

use weir_schema::{
    BatchSeq, ClockJump, ClockJumpKind, ClockRepairs, Control, Entry, Epoch, ReceiveTime, Span,
};

/// Newest batches among which the first one after a believed jump is searched.
const RECENT_MAX: usize = 4_096;

/// A stretch: the setting of the clock does not change in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockStretch {
    /// Its epochs, both included.
    pub from: Epoch,
    pub to: Epoch,
    /// Its batches, up to the one before the second.
    pub batches_from: BatchSeq,
    pub batches_to: BatchSeq,
    pub events: u64,
    /// Its first and last receive times, as they are stored.
    pub first: Option<ReceiveTime>,
    pub last: Option<ReceiveTime>,
    /// How far the clock jumped where it begins, if that is known.
    pub jumped: Option<Span>,
}

impl ClockStretch {
    fn new(from: Epoch, batches_from: BatchSeq) -> Self {
        Self {
            from,
            to: from,
            batches_from,
            batches_to: batches_from,
            events: 0,
            first: None,
            last: None,
            jumped: None,
        }
    }

    fn receive(&mut self, received: ReceiveTime) {
        self.first = self.first.or(Some(received));
        self.last = Some(received);
    }
}

/// A batch that may lie behind a jump which is journaled later.
struct RecentBatch {
    epoch: Epoch,
    seq: BatchSeq,
    received: ReceiveTime,
    events: u64,
}

/// Finds the stretches, entry by entry.
pub struct StretchFinder {
    pub stretches: Vec<ClockStretch>,
    pub jumps: Vec<(Epoch, ClockJump)>,
    pub repairs: ClockRepairs,
    next_epoch: Epoch,
    next_batch: BatchSeq,
    recent: VecDeque<RecentBatch>,
    open_repairs: Vec<weir_schema::ClockRepair>,
}

impl Default for StretchFinder {
    fn default() -> Self {
        Self {
            stretches: vec![ClockStretch::new(Epoch(1), BatchSeq(0))],
            jumps: Vec::new(),
            repairs: ClockRepairs::default(),
            next_epoch: Epoch(1),
            next_batch: BatchSeq(0),
            recent: VecDeque::new(),
            open_repairs: Vec::new(),
        }
    }
}

impl StretchFinder {
    /// Follows an entry of the journal.
    pub fn follow(&mut self, entry: &Entry) {
        match entry {
            Entry::Batch(batch) => {
                let (seq, epoch) = (self.next_batch, self.next_epoch);
                self.next_batch = BatchSeq(seq.0 + 1);
                let events = batch.frames.len() as u64;
                let received = batch.received;
                if self.recent.len() == RECENT_MAX {
                    self.recent.pop_front();
                }
                self.recent.push_back(RecentBatch {
                    epoch,
                    seq,
                    received,
                    events,
                });
                let next = self.next_batch;
                let stretch = self.current();
                stretch.receive(received);
                stretch.batches_to = next;
                stretch.events += events;
            }
            Entry::Control(Control::Start { received, .. }) => {
                self.begin(self.next_epoch, self.next_batch);
                self.current().receive(*received);
            }
            Entry::Control(Control::Tick { received }) => self.current().receive(*received),
            Entry::Control(Control::ClockJump(jump)) => self.jump(jump),
            Entry::Control(Control::ClockRepair(repair)) => self.open_repairs.push(*repair),
            Entry::Control(_) => {}
            Entry::Seal { epoch } => {
                self.current().to = *epoch;
                self.next_epoch = Epoch(epoch.0 + 1);
                for repair in self.open_repairs.drain(..) {
                    self.repairs.push(*epoch, repair);
                }
            }
        }
    }

    /// Begins a stretch, unless the present one is empty.
    fn begin(&mut self, epoch: Epoch, batch: BatchSeq) {
        self.recent.clear();
        let current = self.current();
        if current.first.is_some() {
            self.stretches.push(ClockStretch::new(epoch, batch));
        }
    }

    fn jump(&mut self, jump: &ClockJump) {
        self.jumps.push((self.next_epoch, *jump));
        match jump.kind {
            ClockJumpKind::Believed => self.split(jump),
            ClockJumpKind::StartedBefore => self.current().jumped = Some(jump.size()),
            // Receive times did not follow the clock, or nothing is known of it.
            ClockJumpKind::Doubted | ClockJumpKind::TakenBack | ClockJumpKind::StartedFarAfter => {}
        }
    }

    /// Splits the present stretch where receive times began to follow a jump: the entry comes a
    /// moment later.
    fn split(&mut self, jump: &ClockJump) {
        let follows = |batch: &&RecentBatch| {
            batch.received.0.abs_diff(jump.after.0) < batch.received.0.abs_diff(jump.before.0)
        };
        let moved: Vec<RecentBatch> = {
            let count = self.recent.iter().rev().take_while(follows).count();
            self.recent.split_off(self.recent.len() - count).into()
        };
        let first = moved.first();
        let epoch = first.map_or(self.next_epoch, |batch| batch.epoch);
        let batch = first.map_or(self.next_batch, |batch| batch.seq);
        let mut next = ClockStretch::new(epoch, batch);
        next.jumped = Some(jump.size());
        next.receive(first.map_or(jump.received, |batch| batch.received));
        next.receive(jump.received);
        next.batches_to = self.next_batch;
        next.events = moved.iter().map(|batch| batch.events).sum();
        let before = self.current();
        before.to = Epoch(epoch.0.saturating_sub(1));
        before.batches_to = batch;
        before.events -= next.events;
        before.last = Some(jump.before);
        self.stretches.push(next);
        self.recent.clear();
    }

    fn current(&mut self) -> &mut ClockStretch {
        if self.stretches.is_empty() {
            let next = ClockStretch::new(self.next_epoch, self.next_batch);
            self.stretches.push(next);
        }
        let last = self.stretches.len() - 1;
        &mut self.stretches[last]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_schema::{Batch, Format, Frames, TimeBounds, Transport};

    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> ReceiveTime {
        ReceiveTime((1_900_000_000 + seconds) * SECOND)
    }

    fn batch(seconds: i64) -> Entry {
        Entry::Batch(Arc::new(Batch {
            tenant: "default".to_owned(),
            source: "s".to_owned(),
            transport: Transport::Tcp,
            format: Format::Auto,
            peer: None,
            zone: None,
            logsource: None,
            received: at(seconds),
            delivery: None,
            frames: Frames::from([b"a", b"b"]),
        }))
    }

    fn start(seconds: i64) -> Entry {
        Entry::Control(Control::Start {
            version: String::new(),
            bounds: TimeBounds::default(),
            received: at(seconds),
        })
    }

    fn jump(kind: ClockJumpKind, before: i64, after: i64) -> Entry {
        let (before, after) = (at(before), at(after));
        Entry::Control(Control::ClockJump(ClockJump {
            kind,
            before,
            after,
            received: after,
        }))
    }

    fn find(epochs: &[&[Entry]]) -> Vec<ClockStretch> {
        let mut finder = StretchFinder::default();
        for (epoch, entries) in (1..).zip(epochs) {
            entries.iter().for_each(|entry| finder.follow(entry));
            finder.follow(&Entry::Seal {
                epoch: Epoch(epoch),
            });
        }
        finder.stretches
    }

    #[test]
    fn each_start_begins_a_stretch() {
        let ahead = 2 * DAY;
        let found = find(&[
            &[start(0)],
            &[batch(10), batch(11)],
            &[start(ahead)],
            &[batch(ahead + 5)],
            &[start(60), jump(ClockJumpKind::StartedBefore, ahead + 5, 60)],
        ]);
        let stretches: Vec<_> = found
            .iter()
            .map(|one| (one.from.0, one.to.0, one.batches_from.0, one.batches_to.0))
            .collect();
        assert_eq!(stretches, [(1, 2, 0, 2), (3, 4, 2, 3), (5, 5, 3, 3)]);
        assert_eq!(found[1].last, Some(at(ahead + 5)));
        assert_eq!(found[2].jumped, Some(Span::seconds(60 - ahead - 5)));
    }

    #[test]
    fn a_believed_jump_begins_a_stretch_at_the_first_batch_that_follows_it() {
        let found = find(&[
            &[start(0)],
            &[batch(10)],
            &[jump(ClockJumpKind::Doubted, 11, DAY + 11), batch(20)],
            &[batch(3_610), batch(DAY + 3_611)],
            &[
                batch(DAY + 3_612),
                jump(ClockJumpKind::Believed, 3_612, DAY + 3_612),
            ],
            &[batch(DAY + 3_620)],
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].batches_to, found[0].events), (BatchSeq(3), 6));
        assert_eq!((found[1].batches_from, found[1].events), (BatchSeq(3), 6));
        assert_eq!((found[1].from, found[1].to), (Epoch(4), Epoch(6)));
        assert_eq!(found[1].jumped, Some(Span::seconds(DAY)));
    }
}
