//! The events of one group in order of time: appended at the end, merged when late, forgotten at the front.

use super::fault::{self, Fault};
use weir_schema::{EventId, EventTime, EvidenceItem, FactValue, Plan, Position};

/// One event of a group, with the members of the plan that it matched, or what it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub time: i64,
    pub event: EventId,
    pub position: Position,
    pub mark: Mark,
}

/// What a plan's condition reads of an event: the members that it matched, a bit each, or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub [u64; 2]);

impl std::hash::Hash for Mark {
    /// A word is enough to tell most marks apart.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0] ^ self.0[1].rotate_left(32));
    }
}

impl Mark {
    pub fn member(member: u16) -> Self {
        Self([1 << (usize::from(member) % Plan::MEMBERS_MAX), 0])
    }

    pub fn members(self) -> u64 {
        self.0[0]
    }

    pub fn decimal(self) -> i128 {
        FactValue(self.0).decimal().0
    }
}

impl Entry {
    pub fn item(&self) -> EvidenceItem {
        EvidenceItem {
            time: EventTime(self.time),
            event: self.event,
            position: self.position,
        }
    }

    /// Whether both are of one delivery, so that they are one entry of several members. What comes
    /// from other plans is an event of its own each time.
    fn is_same_event(&self, other: &Self) -> bool {
        let own = self.mark.0[1] | other.mark.0[1];
        own == 0
            && self.time == other.time
            && self.event == other.event
            && (self.position == other.position || fault::active(Fault::MultiplicityIgnored))
    }
}

/// A run of entries, sorted but for what was appended since the last [`Run::settle`].
///
/// Entries before `head` are forgotten; the space is given back once they are half of it, so that
/// forgetting costs O(1) an entry.
#[derive(Debug, Default)]
pub struct Run {
    entries: Vec<Entry>,
    head: usize,
    sorted: usize,
}

impl Run {
    /// The same entries, without the space of those that are forgotten.
    pub fn copy(&self) -> Self {
        Self {
            entries: self.entries().to_vec(),
            head: 0,
            sorted: self.sorted - self.head,
        }
    }

    /// Appends an entry in any order; it counts from the next [`Run::settle`] on.
    pub fn push(&mut self, entry: Entry) {
        if self.entries.len() == self.entries.capacity() {
            // Most groups have one event or a few: grow from one, not from four.
            let more = self.entries.len().clamp(1, 1 << 16);
            self.entries.reserve_exact(more);
        }
        self.entries.push(entry);
    }

    /// Sorts what was appended into place, joins the members of one delivery, and reports the
    /// times of the new entries, ascending.
    pub fn settle(&mut self, times: &mut Vec<i64>) {
        let sorted = self.sorted;
        if sorted == self.entries.len() {
            return;
        }
        if self.entries.len() - sorted > 1 {
            self.entries[sorted..].sort_unstable();
            self.join_members(sorted);
        }
        times.extend(self.entries[sorted..].iter().map(|entry| entry.time));
        let first = self.entries[sorted];
        if sorted > self.head && self.entries[sorted - 1] > first {
            let at = self.head + self.entries[self.head..sorted].partition_point(|e| *e <= first);
            // Two ascending runs: the stable sort finds and merges them.
            self.entries[at..].sort();
        }
        self.sorted = self.entries.len();
    }

    fn join_members(&mut self, from: usize) {
        let mut kept = from;
        for next in from + 1..self.entries.len() {
            if self.entries[kept].is_same_event(&self.entries[next]) {
                self.entries[kept].mark.0[0] |= self.entries[next].mark.0[0];
            } else {
                kept += 1;
                self.entries[kept] = self.entries[next];
            }
        }
        self.entries.truncate(kept + 1);
    }

    /// Drops the entries that are no end of a silence longer than `w`, nor can become one: those
    /// whose neighbours are no further apart than that. Looks at what `from` can have changed.
    pub fn thin(&mut self, from: i64, w: i64) {
        let start = self.head + self.before(from);
        let before = |entries: &[Entry], place: usize| {
            let earlier = place.checked_sub(1).filter(|earlier| *earlier >= self.head);
            earlier.map(|earlier| entries[earlier].time)
        };
        let mut kept = start;
        let mut last = before(&self.entries, start);
        let mut next = start;
        while next < self.entries.len() {
            let time = self.entries[next].time;
            let tied = self.entries[next..].iter();
            let end = next + tied.take_while(|entry| entry.time == time).count();
            let after = self.entries.get(end).map(|entry| entry.time);
            let is_end = match (last, after) {
                (Some(last), Some(after)) => after.saturating_sub(last) > w,
                _ => true,
            };
            if is_end {
                self.entries.copy_within(next..end, kept);
                kept += end - next;
                last = Some(time);
            }
            next = end;
        }
        self.entries.truncate(kept);
        self.sorted = kept;
    }

    /// Takes an entry out again; it must be settled. Returns whether it was there.
    pub fn pull(&mut self, entry: &Entry) -> bool {
        let place = self.head + self.entries().partition_point(|known| known < entry);
        let found = self.entries.get(place) == Some(entry);
        if found {
            self.entries.remove(place);
            self.sorted = self.entries.len();
        }
        found
    }

    /// What was appended since the last [`Run::settle`], in any order.
    pub fn pushed(&self) -> &[Entry] {
        &self.entries[self.sorted..]
    }

    /// The entries that are not forgotten, in order of (time, event, position).
    pub fn entries(&self) -> &[Entry] {
        &self.entries[self.head..]
    }

    /// How many entries there are, with those appended since the last [`Run::settle`].
    pub fn len_with_pushed(&self) -> usize {
        self.entries.len() - self.head
    }

    pub fn is_empty(&self) -> bool {
        self.head == self.entries.len()
    }

    /// How many entries lie before `time`.
    pub fn before(&self, time: i64) -> usize {
        // Most questions are about the newest entries: gallop from the end.
        let entries = self.entries();
        let mut width = 1;
        while width < entries.len() && entries[entries.len() - width].time >= time {
            width *= 2;
        }
        let low = entries.len().saturating_sub(width);
        low + entries[low..].partition_point(|entry| entry.time < time)
    }

    /// As [`Self::before`], where the answer is likely still `guess`.
    pub fn before_near(&self, time: i64, guess: usize) -> usize {
        let entries = self.entries();
        let holds = |place: usize, low: bool| match entries.get(place) {
            Some(entry) => (entry.time < time) == low,
            None => !low,
        };
        if guess <= entries.len() && holds(guess, false) && (guess == 0 || holds(guess - 1, true)) {
            return guess;
        }
        self.before(time)
    }

    /// How many entries lie at or before `time`.
    pub fn up_to(&self, time: i64) -> usize {
        match time.checked_add(1) {
            Some(next) => self.before(next),
            None => self.entries().len(),
        }
    }

    /// Forgets the entries before `time`; returns how many.
    pub fn forget_before(&mut self, time: i64) -> usize {
        // What goes is little beside what stays: gallop from the front.
        let entries = self.entries();
        let mut width = 1;
        while width < entries.len() && entries[width - 1].time < time {
            width *= 2;
        }
        let high = width.min(entries.len());
        let forgotten = entries[..high].partition_point(|entry| entry.time < time);
        self.head += forgotten;
        if self.head * 2 >= self.entries.len() {
            self.entries.drain(..self.head);
            self.sorted -= self.head;
            self.head = 0;
            if self.entries.capacity() > 4 * self.entries.len() {
                self.entries.shrink_to(self.entries.len() * 2);
            }
        }
        forgotten
    }

    /// Drops the entries at or after `time`.
    pub fn truncate_from(&mut self, time: i64) {
        let keep = self.head + self.before(time);
        self.entries.truncate(keep);
        self.sorted = keep;
    }

    /// Drops what was appended since the last [`Run::settle`] and is at or after `time`.
    pub fn drop_pushed_from(&mut self, time: i64) {
        let mut place = 0;
        let sorted = self.sorted;
        self.entries.retain(|entry| {
            place += 1;
            place <= sorted || entry.time < time
        });
    }

    pub fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}
