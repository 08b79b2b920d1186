//! The recent events of one agent spool, with the changes needed to revert a batch.

use std::collections::VecDeque;

use weir_schema::Batch;

/// Most fingerprints stored per spool, of 8 bytes each: more than the events that an agent sends
/// without an acknowledgement (8 batches of 1,000).
pub const FINGERPRINTS_PER_SPOOL: usize = 8_192;

/// Most conflicting events stored per spool, of 16 bytes each. They are recognized when repeated.
pub const CONFLICTS_PER_SPOOL: usize = 256;

/// The recent events of one spool.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpoolHistory {
    /// All events before this sequence are known.
    pub next: u64,
    /// Fingerprints of the last events before `next`, oldest first.
    pub fingerprints: VecDeque<u64>,
    /// (sequence, fingerprint) of the events that were journaled beside another one.
    conflicts: VecDeque<(u64, u64)>,
    /// Number of the last delivery to this spool, among the deliveries to all spools.
    pub last_delivery: u64,
}

/// The changes that a batch made to its spool. They are smaller than a copy of the spool: a commit
/// may hold thousands of batches.
#[derive(Debug, Default)]
pub(crate) struct SpoolChanges {
    /// `None` if the spool was new.
    pub next_before: Option<u64>,
    fingerprints_added: usize,
    fingerprints_dropped: Vec<u64>,
    conflicts_added: usize,
    conflicts_dropped: Vec<(u64, u64)>,
}

/// Whether an event was delivered before.
pub(crate) enum EventNovelty {
    New,
    Duplicate,
    Conflict,
}

impl SpoolChanges {
    /// Starts recording the changes to `spool`; `None` if there is no such spool yet.
    pub fn from(spool: Option<&SpoolHistory>) -> Self {
        Self {
            next_before: spool.map(|spool| spool.next),
            ..Self::default()
        }
    }
}

impl SpoolHistory {
    /// Records an event whose sequence is at most `next`.
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
            // The spool was forgotten, or the start of the journal was deleted: continue from here.
            self.fingerprints.clear();
            self.next = first;
        }
        let mut changes = SpoolChanges::default();
        for (sequence, frame) in (first..).zip(&batch.frames) {
            self.record(sequence, frame, &mut changes);
        }
    }
}

/// Removes the `added` items from the back and restores the `dropped` items at the front.
fn undo_queue<T>(queue: &mut VecDeque<T>, added: usize, mut dropped: Vec<T>) {
    // If more items were added than the queue holds, the last of `dropped` are such items, not old
    // ones. They are not restored.
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
