//! What is remembered of one spool of an agent, and how a batch is taken back out of it.

use std::collections::VecDeque;

use weir_schema::Batch;

/// Remembered events of a spool: more than an agent sends unacknowledged (8 batches of 1,000), 8
/// bytes each.
pub const FINGERPRINTS_PER_SPOOL: usize = 8_192;

/// Conflicting events of a spool that are recognised when they come again, 16 bytes each.
pub const CONFLICTS_PER_SPOOL: usize = 256;

#[derive(Clone, Debug, Default)]
pub(crate) struct SpoolHistory {
    /// All events before it are known.
    pub next: u64,
    /// Of the events before `next`, the last of them last.
    pub fingerprints: VecDeque<u64>,
    /// (sequence, fingerprint) of events kept beside another.
    conflicts: VecDeque<(u64, u64)>,
    /// When it was last heard, in deliveries.
    pub last_delivery: u64,
}

/// What a batch changed in its spool. Not a copy of the spool: a commit may hold thousands of
/// batches.
#[derive(Debug, Default)]
pub(crate) struct SpoolChanges {
    /// `None`: the spool was new.
    pub next_before: Option<u64>,
    fingerprints_added: usize,
    fingerprints_dropped: Vec<u64>,
    conflicts_added: usize,
    conflicts_dropped: Vec<(u64, u64)>,
}

pub(crate) enum EventNovelty {
    New,
    Duplicate,
    Conflict,
}

impl SpoolChanges {
    /// A trail that starts where `spool` is; `None`: there is no such spool yet.
    pub fn from(spool: Option<&SpoolHistory>) -> Self {
        Self {
            next_before: spool.map(|spool| spool.next),
            ..Self::default()
        }
    }
}

impl SpoolHistory {
    /// Notes an event at or before `next`.
    pub fn record(
        &mut self,
        sequence: u64,
        frame: &[u8],
        changes: &mut SpoolChanges,
    ) -> EventNovelty {
        let fingerprint = fingerprint(frame);
        if sequence >= self.next {
            self.push_fingerprint(fingerprint, changes);
            self.next = sequence.saturating_add(1);
            return EventNovelty::New;
        }
        let back = usize::try_from(self.next - sequence).unwrap_or(usize::MAX);
        let at = self.fingerprints.len().checked_sub(back);
        let same = at.is_none_or(|at| self.fingerprints.get(at) == Some(&fingerprint));
        if same || self.conflicts.contains(&(sequence, fingerprint)) {
            return EventNovelty::Duplicate;
        }
        if self.conflicts.len() >= CONFLICTS_PER_SPOOL {
            changes.conflicts_dropped.extend(self.conflicts.pop_front());
        }
        self.conflicts.push_back((sequence, fingerprint));
        changes.conflicts_added += 1;
        EventNovelty::Conflict
    }

    fn push_fingerprint(&mut self, fingerprint: u64, changes: &mut SpoolChanges) {
        if self.fingerprints.len() >= FINGERPRINTS_PER_SPOOL {
            changes
                .fingerprints_dropped
                .extend(self.fingerprints.pop_front());
        }
        self.fingerprints.push_back(fingerprint);
        changes.fingerprints_added += 1;
    }

    pub fn revert(&mut self, next: u64, changes: SpoolChanges) {
        self.next = next;
        undo_queue(
            &mut self.fingerprints,
            changes.fingerprints_added,
            changes.fingerprints_dropped,
        );
        undo_queue(
            &mut self.conflicts,
            changes.conflicts_added,
            changes.conflicts_dropped,
        );
    }

    pub fn observe(&mut self, first: u64, batch: &Batch) {
        if first > self.next {
            // The spool was forgotten once, or the journal's start is gone: go on from here.
            self.fingerprints.clear();
            self.next = first;
        }
        let mut changes = SpoolChanges::default();
        for (sequence, frame) in (first..).zip(&batch.frames) {
            self.record(sequence, frame, &mut changes);
        }
    }
}

/// Takes `added` from the end, and puts back at the front what was `dropped` there for them.
fn undo_queue<T>(queue: &mut VecDeque<T>, added: usize, mut dropped: Vec<T>) {
    // Of more than a queueful added, the first were dropped again: they are not put back.
    let own = added.saturating_sub(queue.len());
    dropped.truncate(dropped.len().saturating_sub(own));
    queue.truncate(queue.len().saturating_sub(added));
    for item in dropped.into_iter().rev() {
        queue.push_front(item);
    }
}

fn fingerprint(frame: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&blake3::hash(frame).as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}
