//! The events of one group in order of time.
//!
//! Events are appended at the end, merged into place when they are late, and forgotten from the
//! front.

use std::ops::Range;

use weir_schema::{
    EventId, EventTime, EvidenceItem, FactValue, MarkedEvent, Position, Span, TimeMark, Weight,
};

use super::extra_weights::{ExtraWeight, ExtraWeights};
use super::fault::{self, PlantedFault};
use super::marked_times::MarkedTimeSet;

/// One event of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunEntry {
    pub time: EventTime,
    pub event: EventId,
    pub position: Position,
    pub mark: EntryMark,
    pub weight: Weight,
    pub time_mark: Option<TimeMark>,
}

/// The part of an event that a condition reads: its matched members, one bit each, or its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryMark(pub [u64; 2]);

impl std::hash::Hash for EntryMark {
    /// Hashes one word, which is enough to tell most marks apart.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0] ^ self.0[1].rotate_left(32));
    }
}

impl EntryMark {
    pub fn members(self) -> u64 {
        self.0[0]
    }

    pub fn decimal(self) -> i128 {
        FactValue(self.0).decimal().0
    }
}

impl RunEntry {
    pub fn item(&self) -> EvidenceItem {
        EvidenceItem {
            time: self.time,
            event: self.event,
            position: self.position,
        }
    }

    fn extra_weight(&self) -> ExtraWeight {
        ExtraWeight {
            time: self.time,
            weight: self.weight,
        }
    }

    pub fn marked(&self) -> Option<MarkedEvent> {
        let mark = self.time_mark?;
        let item = self.item();
        Some(MarkedEvent { mark, item })
    }

    /// Whether both belong to one delivery, and so become one entry with several members.
    ///
    /// An entry from another plan (`mark.0[1]` is set) is always an event of its own.
    fn is_same_event(&self, other: &Self) -> bool {
        let from_plan = self.mark.0[1] | other.mark.0[1];
        from_plan == 0
            && self.time == other.time
            && self.event == other.event
            && (self.position == other.position || fault::active(PlantedFault::MultiplicityIgnored))
    }
}

/// The entries of one group, ordered by (time, event, position, mark).
///
/// **Invariant.** `entries[head..sorted]` is in order; `entries[sorted..]` was pushed since the
/// last [`EventRun::merge_pushed`] and may be in any order; `entries[..head]` is forgotten.
///
/// **Cost.** The space of forgotten entries is reclaimed once they are half of the vector, so
/// forgetting takes amortized O(1) per entry. Searches gallop from the end where most answers lie.
#[derive(Debug, Default)]
pub struct EventRun {
    entries: Vec<RunEntry>,
    head: usize,
    sorted: usize,
    extra: ExtraWeights,
    /// The times of the sorted entries that have a mark.
    marked: MarkedTimeSet,
}

impl EventRun {
    /// Copies the run without its forgotten entries.
    pub fn copy(&self) -> Self {
        Self {
            entries: self.entries().to_vec(),
            head: 0,
            sorted: self.sorted - self.head,
            extra: self.extra.clone(),
            marked: self.marked.clone(),
        }
    }

    /// Appends an entry in any order. It takes effect at the next [`EventRun::merge_pushed`].
    pub fn push(&mut self, entry: RunEntry) {
        if self.entries.len() == self.entries.capacity() {
            // Most groups have one event or a few, so the vector grows from one and not from four.
            let more = self.entries.len().clamp(1, 1 << 16);
            self.entries.reserve_exact(more);
        }
        self.extra.push(entry.weight);
        self.entries.push(entry);
    }

    /// Sorts the pushed entries into place and joins the members of one delivery.
    ///
    /// Appends the times of the new entries to `times`, ascending.
    pub fn merge_pushed(&mut self, times: &mut Vec<EventTime>) {
        let sorted = self.sorted;
        if sorted == self.entries.len() {
            return;
        }
        if self.entries.len() - sorted > 1 {
            self.entries[sorted..].sort_unstable();
            self.join_members(sorted);
        }
        times.extend(self.entries[sorted..].iter().map(|entry| entry.time));
        for entry in self.entries[sorted..]
            .iter()
            .filter(|entry| entry.time_mark.is_some())
        {
            self.marked.add(entry.time);
        }
        let first = self.entries[sorted];
        if sorted > self.head && self.entries[sorted - 1] > first {
            let at = self.head + self.entries[self.head..sorted].partition_point(|e| *e <= first);
            // The slice is two ascending runs: the stable sort finds and merges them.
            self.entries[at..].sort();
        }
        self.sorted = self.entries.len();
        if self.extra.has_pushed() {
            self.weigh_from(first.time);
        }
    }

    /// Counts the weights of the entries at or after `time` again; all entries must be sorted.
    fn weigh_from(&mut self, time: EventTime) {
        let start = self.head + self.count_before(time);
        let entries = self.entries[start..].iter().map(RunEntry::extra_weight);
        self.extra.replace_from(time, entries);
    }

    fn join_members(&mut self, from: usize) {
        let mut last = from;
        for next in from + 1..self.entries.len() {
            if self.entries[last].is_same_event(&self.entries[next]) {
                self.entries[last].mark.0[0] |= self.entries[next].mark.0[0];
            } else {
                last += 1;
                self.entries[last] = self.entries[next];
            }
        }
        self.entries.truncate(last + 1);
    }

    /// Keeps only the entries that bound a silence longer than `timespan`, or may still do so.
    ///
    /// An entry is dropped if its neighbours are at most `timespan` apart. Looks only at entries at
    /// or after `from`; all entries must be sorted.
    pub fn thin_to_silences(&mut self, from: EventTime, timespan: Span) {
        let start = self.head + self.count_before(from);
        let mut retained = start;
        let mut last = start
            .checked_sub(1)
            .filter(|earlier| *earlier >= self.head)
            .map(|earlier| self.entries[earlier].time);
        let mut next = start;
        while next < self.entries.len() {
            let time = self.entries[next].time;
            let tied = self.entries[next..].iter();
            let end = next + tied.take_while(|entry| entry.time == time).count();
            let after = self.entries.get(end).map(|entry| entry.time);
            let bounds_silence = match (last, after) {
                (Some(last), Some(after)) => after.since(last) > timespan,
                _ => true,
            };
            if bounds_silence {
                self.entries.copy_within(next..end, retained);
                retained += end - next;
                last = Some(time);
            } else {
                self.marked.remove(time);
            }
            next = end;
        }
        self.entries.truncate(retained);
        self.sorted = retained;
        if !self.extra.is_empty() {
            self.weigh_from(from);
        }
    }

    /// Removes an entry; all entries must be sorted. Returns whether it was there.
    pub fn remove(&mut self, entry: &RunEntry) -> bool {
        let place = self.head + self.entries().partition_point(|known| known < entry);
        let found = self.entries.get(place) == Some(entry);
        if found {
            self.entries.remove(place);
            self.sorted = self.entries.len();
            if entry.weight > Weight::ONE {
                self.weigh_from(entry.time);
            }
            let same = self.entries[place..]
                .iter()
                .take_while(|other| other.time == entry.time);
            let before = self.entries[self.head..place].iter().rev();
            let mut tied = same.chain(before.take_while(|other| other.time == entry.time));
            if !tied.any(|other| other.time_mark.is_some()) {
                self.marked.remove(entry.time);
            }
        }
        found
    }

    /// The first event with a mark among the entries from `low` up to, but without, `high`; both
    /// stand between entries of different times.
    pub fn first_marked(&self, low: usize, high: usize) -> Option<MarkedEvent> {
        let entries = self.entries().get(low..high)?;
        let (first, last) = (entries.first()?, entries.last()?);
        let time = self.marked.first_in(first.time, last.time)?;
        let start = entries.partition_point(|entry| entry.time < time);
        entries[start..].iter().find_map(RunEntry::marked)
    }

    /// The entries pushed since the last [`EventRun::merge_pushed`], in any order.
    pub fn pushed(&self) -> &[RunEntry] {
        &self.entries[self.sorted..]
    }

    /// The entries that are not forgotten.
    pub fn entries(&self) -> &[RunEntry] {
        &self.entries[self.head..]
    }

    /// The number of entries, pushed ones included.
    pub fn len_with_pushed(&self) -> usize {
        self.entries.len() - self.head
    }

    pub fn is_empty(&self) -> bool {
        self.head == self.entries.len()
    }

    /// Whether a sorted entry has a weight above one.
    pub fn is_weighted(&self) -> bool {
        !self.extra.is_empty()
    }

    /// The sum of the weights of all entries, pushed ones included.
    pub fn weight_with_pushed(&self) -> u64 {
        self.len_with_pushed() as u64 + self.extra.sum_with_pushed()
    }

    /// The sum of the weights of the sorted entries at `places`.
    ///
    /// The entries of one time must be all inside or all outside.
    pub fn weight(&self, places: Range<usize>) -> u64 {
        let extra_before = |place: usize| match self.entries().get(place) {
            Some(entry) => self.extra.before(entry.time),
            None => self.extra.total(),
        };
        let len = places.len() as u64;
        match self.is_weighted() {
            true => len + extra_before(places.end).saturating_sub(extra_before(places.start)),
            false => len,
        }
    }

    /// The number of entries before `time`.
    pub fn count_before(&self, time: EventTime) -> usize {
        // Most searches are about the newest entries: gallop from the end.
        let entries = self.entries();
        let mut width = 1;
        while width < entries.len() && entries[entries.len() - width].time >= time {
            width *= 2;
        }
        let low = entries.len().saturating_sub(width);
        low + entries[low..].partition_point(|entry| entry.time < time)
    }

    /// As [`EventRun::count_before`], in O(1) where the answer is still `guess`.
    pub fn count_before_near(&self, time: EventTime, guess: usize) -> usize {
        let entries = self.entries();
        let holds = |place: usize, low: bool| match entries.get(place) {
            Some(entry) => (entry.time < time) == low,
            None => !low,
        };
        if guess <= entries.len() && holds(guess, false) && (guess == 0 || holds(guess - 1, true)) {
            return guess;
        }
        self.count_before(time)
    }

    /// The number of entries at or before `time`.
    pub fn count_through(&self, time: EventTime) -> usize {
        if time == EventTime::MAX {
            return self.entries().len();
        }
        self.count_before(time.next())
    }

    /// Forgets the entries before `time`. Returns their number.
    pub fn forget_before(&mut self, time: EventTime) -> usize {
        // Few entries go and many stay: gallop from the front.
        let entries = self.entries();
        let mut width = 1;
        while width < entries.len() && entries[width - 1].time < time {
            width *= 2;
        }
        let high = width.min(entries.len());
        let forgotten = entries[..high].partition_point(|entry| entry.time < time);
        self.head += forgotten;
        self.extra.forget_before(time);
        if forgotten > 0 {
            self.marked.forget_before(time);
        }
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
    pub fn truncate_from(&mut self, time: EventTime) {
        let keep = self.head + self.count_before(time);
        self.entries.truncate(keep);
        self.sorted = keep;
        self.extra.truncate_from(time);
        self.marked.truncate_from(time);
    }

    /// Drops the pushed entries at or after `time`.
    pub fn drop_pushed_from(&mut self, time: EventTime) {
        let mut place = 0;
        let sorted = self.sorted;
        self.entries.retain(|entry| {
            place += 1;
            place <= sorted || entry.time < time
        });
        let pushed = self.entries[sorted..].iter().map(RunEntry::extra_weight);
        self.extra.recount_pushed(pushed);
    }

    pub fn heap_bytes(&self) -> usize {
        let marked = self.marked.heap_bytes();
        self.entries.capacity() * size_of::<RunEntry>() + self.extra.heap_bytes() + marked
    }
}

/// The events of one group, as a condition reads them.
#[derive(Clone, Copy, Debug)]
pub struct GroupRuns<'r> {
    /// Events that are anchors and are counted.
    pub anchors: &'r EventRun,
    /// Events that only a negation reads.
    pub negated: &'r EventRun,
}
