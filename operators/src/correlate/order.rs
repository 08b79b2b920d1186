//! Ordered members: the latest time at which a sequence of them can have begun.

use weir_schema::{EventTime, Plan};

use super::fault::{self, PlantedFault};
use super::run::RunEntry;

/// The number of newest events that [`OrderedPrefixes::look_back`] reads first.
const LOOK_BACK: usize = if cfg!(test) { 2 } else { 64 };

/// For each length of a sequence of the first members, the latest time at which a complete one
/// began.
///
/// ```text
///   members 1 2 3      events   1:t0   2:t1   1:t2   3:t3   2:t4
///   after t3           latest   [t2,   t0,    t0]      a sequence of three begins at t0
///   after t4                    [t2,   t2,    t0]      a sequence of two begins at t2
/// ```
///
/// **Invariant.** A window that begins at or before the last of these times, and ends now, contains
/// the whole sequence. Longer sequences begin no later than shorter ones, so one pass in order of
/// time is enough.
///
/// **Cost.** O(members) per event. Events of one time are matched to members by augmenting paths:
/// one look at each event, and in all at most `members^3` looks at those that can matter, which are
/// at most `members^2`; usually `members^2`.
#[derive(Clone, Debug)]
pub struct OrderedPrefixes {
    latest: Vec<Option<EventTime>>,
}

impl OrderedPrefixes {
    pub fn new(members: usize) -> Self {
        Self {
            latest: vec![None; members],
        }
    }

    pub fn heap_bytes(&self) -> usize {
        self.latest.capacity() * size_of::<Option<EventTime>>()
    }

    /// The latest time at which a sequence of all members began.
    pub fn begin(&self) -> Option<EventTime> {
        self.latest.last().copied().flatten()
    }

    /// Adds the events of a window, reading backwards only as far as needed.
    ///
    /// The newest events suffice where they contain a whole sequence: a sequence of any length that
    /// begins before them is not the latest.
    pub fn look_back(&mut self, events: &[RunEntry]) {
        let mut newest = LOOK_BACK;
        loop {
            let start = events.len().saturating_sub(newest);
            for tied in events[start..].chunk_by(|a, b| a.time == b.time) {
                self.add(tied);
            }
            if start == 0 || self.begin().is_some() {
                return;
            }
            self.latest.fill(None);
            newest *= 4;
        }
    }

    /// Adds all events of one time.
    pub fn add(&mut self, events: &[RunEntry]) {
        match events {
            [] => {}
            [event] => self.add_one(event.time, event.mark.members()),
            [first, ..] => {
                let members = needed_events(events, self.latest.len());
                self.add_tied(first.time, &members);
            }
        }
    }

    fn add_one(&mut self, time: EventTime, members: u64) {
        // Longest first, so that the event takes one place only.
        for place in (0..self.latest.len())
            .rev()
            .filter(|place| members >> place & 1 == 1)
        {
            let start = match place.checked_sub(1) {
                None => Some(time),
                Some(before) => self.latest[before],
            };
            self.latest[place] = self.latest[place].max(start);
        }
    }

    /// Adds events of one time: they may follow in any order, and each takes one place.
    ///
    /// For each start of a sequence, the furthest end that the events reach never falls as the
    /// start rises. So one matching slides over the members: each enters it and leaves it once.
    fn add_tied(&mut self, time: EventTime, events: &[u64]) {
        let members = self.latest.len();
        let before = self.latest.clone();
        let mut matching = Matching::new(events, members);
        let mut end = 0;
        for from in 0..members {
            let start = match from.checked_sub(1) {
                None => Some(time),
                Some(last) => before[last],
            };
            if start.is_none() {
                return; // No longer sequence has begun either.
            }
            matching.leave_before(from);
            // Sequences from later places begin no later, so only places beyond `end` gain by them.
            end = end.max(from);
            while end < members && matching.enter(end) {
                self.latest[end] = self.latest[end].max(start);
                end += 1;
            }
        }
    }
}

/// The member bits of those events that can matter: at most `places` for each member.
///
/// An event of which every member has `places` others is not needed: at most `places` members take
/// an event each.
fn needed_events(events: &[RunEntry], places: usize) -> Vec<u64> {
    let mut needed: Vec<u64> = Vec::new();
    let mut counts = [0_usize; Plan::MEMBERS_MAX];
    let unused = Plan::MEMBERS_MAX.saturating_sub(places) as u32;
    let mut wanted = u64::MAX.checked_shr(unused).unwrap_or(0);
    for event in events {
        let bits = event.mark.members();
        if wanted == 0 {
            break; // Each member has all the events that it can need.
        }
        if bits & wanted == 0 {
            continue;
        }
        needed.push(bits);
        for (member, count) in counts.iter_mut().enumerate() {
            *count += (bits >> member & 1) as usize;
            if *count >= places {
                wanted &= !(1 << member);
            }
        }
    }
    needed
}

/// A matching of consecutive members to events of one time, each with an event of its own.
///
/// **Cost.** A member that enters costs one look at the events where one of them is free, and at
/// most `members * events` looks in all where others must move.
struct Matching<'e> {
    events: &'e [u64],
    /// For each event: the member that it is given to.
    taken: Vec<Option<usize>>,
    /// The number of events that are given to no member.
    free: usize,
    first: usize,
    /// For each event: the number of the search that last visited it.
    visited: Vec<usize>,
    searches: usize,
    /// The member that could not enter, until another one leaves.
    refused: Option<usize>,
    members: usize,
}

impl<'e> Matching<'e> {
    fn new(events: &'e [u64], members: usize) -> Self {
        Self {
            events,
            taken: vec![None; events.len()],
            free: events.len(),
            first: 0,
            visited: vec![0; events.len()],
            searches: 0,
            refused: None,
            members,
        }
    }

    /// Removes the members before `first`.
    fn leave_before(&mut self, first: usize) {
        if self.first == first {
            return;
        }
        self.first = first;
        for taken in &mut self.taken {
            if taken.is_some_and(|member| member < first) {
                *taken = None;
                self.free += 1;
                self.refused = None;
            }
        }
    }

    /// Gives `member` an event. Returns false if the events do not suffice.
    fn enter(&mut self, member: usize) -> bool {
        if fault::active(PlantedFault::EventTwice) {
            return self.events.iter().any(|event| event >> member & 1 == 1);
        }
        // Without a free event no member can move to make room.
        if self.refused == Some(member) || self.free == 0 {
            return false;
        }
        self.searches += 1;
        let is_matched = self.match_member(member);
        self.free -= usize::from(is_matched);
        self.refused = (!is_matched).then_some(member);
        is_matched
    }

    /// Gives the member a free event, or moves other members to other events to make room.
    ///
    /// The recursion is as deep as there are members, at most [`Plan::MEMBERS_MAX`].
    fn match_member(&mut self, member: usize) -> bool {
        debug_assert!(member < self.members, "members are bits");
        count_look(self.events.len());
        let fits = |event: &u64| event >> member & 1 == 1;
        let mut free = self.events.iter().zip(&self.taken);
        if let Some(at) = free.position(|(event, taken)| taken.is_none() && fits(event)) {
            self.taken[at] = Some(member);
            return true;
        }
        for at in 0..self.events.len() {
            if !fits(&self.events[at]) || self.visited[at] == self.searches {
                continue;
            }
            self.visited[at] = self.searches;
            // All events that fit are taken.
            if self.taken[at].is_none_or(|other| self.match_member(other)) {
                self.taken[at] = Some(member);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
thread_local! {
    static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts the events that a search looks at, for the test of its cost.
#[cfg(test)]
fn count_look(events: usize) {
    LOOKS.with(|looks| looks.set(looks.get() + events));
}

#[cfg(not(test))]
fn count_look(_events: usize) {}

#[cfg(test)]
mod tests {
    use weir_schema::{BatchSeq, EventId, Position, Weight};

    use super::*;
    use crate::correlate::run::EntryMark;

    fn entries(time: i64, marks: &[u64]) -> Vec<RunEntry> {
        let entry = |(at, mark): (usize, &u64)| RunEntry {
            time: EventTime(time),
            event: EventId([0; 2]),
            position: Position::new(BatchSeq(0), at as u16),
            mark: EntryMark([*mark, 0]),
            weight: Weight::ONE,
            time_mark: None,
        };
        marks.iter().enumerate().map(entry).collect()
    }

    /// Tries every assignment of events to members.
    fn can_match(events: &[u64], from: usize, end: usize) -> bool {
        from == end
            || (0..events.len()).any(|at| {
                let mut others = events.to_vec();
                let event = others.swap_remove(at);
                event >> from & 1 == 1 && can_match(&others, from + 1, end)
            })
    }

    #[test]
    fn tied_events_reach_as_far_as_any_assignment_does() {
        const MEMBERS: usize = 4;
        let mut state = 7_u64;
        for round in 0..400 {
            let mut marks = Vec::new();
            for _ in 0..1 + round % 5 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                marks.push(1 + (state >> 40) % 15);
            }
            let before = [Some(EventTime(4)), Some(EventTime(2)), None, None];
            let mut prefixes = OrderedPrefixes {
                latest: before.to_vec(),
            };
            prefixes.add(&entries(9, &marks));
            for place in 0..MEMBERS {
                let starts = (0..=place).filter(|from| can_match(&marks, *from, place + 1));
                let start = starts.filter_map(|from| match from {
                    0 => Some(EventTime(9)),
                    _ => before[from - 1],
                });
                let latest = start.max().max(before[place]);
                assert_eq!(prefixes.latest[place], latest, "{marks:?} at {place}");
            }
        }
    }

    /// W12: many events of one time that match every member cost no more than they need.
    #[test]
    fn tied_events_that_match_all_members_are_each_looked_at_a_bounded_number_of_times() {
        let members = 60;
        let marks = vec![(1_u64 << members) - 1; 5_000];
        let mut prefixes = OrderedPrefixes::new(members);
        LOOKS.with(|looks| looks.set(0));
        prefixes.add(&entries(1, &marks));
        assert_eq!(prefixes.begin(), Some(EventTime(1)));
        let looks = LOOKS.with(std::cell::Cell::get);
        assert!(looks <= 2 * members * members, "{looks} looks");
        // Few events that match every member: once all are taken, the search ends.
        let few = vec![(1_u64 << members) - 1; 5];
        let mut prefixes = OrderedPrefixes::new(members);
        prefixes.add(&entries(1, &few));
        LOOKS.with(|looks| looks.set(0));
        prefixes.add(&entries(2, &few));
        assert_eq!(prefixes.latest[4], Some(EventTime(2)));
        assert_eq!(prefixes.latest[9], Some(EventTime(1)));
        let looks = LOOKS.with(std::cell::Cell::get);
        assert!(looks <= few.len() * few.len() * 3, "{looks} looks");
        // Even where the members must move, and where none suffices.
        let marks: Vec<u64> = (1..60).map(|n| u64::MAX >> (64 - n)).collect();
        LOOKS.with(|looks| looks.set(0));
        prefixes.add(&entries(2, &marks));
        let looks = LOOKS.with(std::cell::Cell::get);
        assert!(looks <= 2 * members * members * members, "{looks} looks");
    }
}
