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
/// **Cost.** O(members) per event; events of one time are matched to members by augmenting paths.
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
                let members = distinct_members(events, self.latest.len());
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
    fn add_tied(&mut self, time: EventTime, events: &[u64]) {
        let before = self.latest.clone();
        for from in 0..self.latest.len() {
            let start = match from.checked_sub(1) {
                None => Some(time),
                Some(last) => before[last],
            };
            if start.is_none() {
                continue;
            }
            let end = from + matched_members(events, from, self.latest.len());
            for place in from..end {
                self.latest[place] = self.latest[place].max(start);
            }
        }
    }
}

/// The member bits of the events. Equal ones are repeated at most `places` times.
fn distinct_members(events: &[RunEntry], places: usize) -> Vec<u64> {
    let mut members: Vec<u64> = events.iter().map(|event| event.mark.members()).collect();
    members.sort_unstable();
    let mut distinct: Vec<u64> = Vec::new();
    for bits in members {
        let equal = distinct.iter().rev().take_while(|known| **known == bits);
        if equal.count() < places {
            distinct.push(bits);
        }
    }
    distinct
}

/// The number of consecutive members from `from` on that can each get an event of their own.
fn matched_members(events: &[u64], from: usize, members: usize) -> usize {
    let mut taken: Vec<Option<usize>> = vec![None; events.len()];
    for member in from..members {
        let mut visited = vec![false; events.len()];
        if fault::active(PlantedFault::EventTwice) {
            if !events.iter().any(|event| event >> member & 1 == 1) {
                return member - from;
            }
        } else if !match_member(member, events, &mut taken, &mut visited) {
            return member - from;
        }
    }
    members - from
}

/// Gives the member an event, moving other members to other events where that makes room.
///
/// The recursion is as deep as there are members, at most [`Plan::MEMBERS_MAX`].
fn match_member(
    member: usize,
    events: &[u64],
    taken: &mut [Option<usize>],
    visited: &mut [bool],
) -> bool {
    debug_assert!(member < Plan::MEMBERS_MAX, "members are bits");
    for at in 0..events.len() {
        if events[at] >> member & 1 == 0 || visited[at] {
            continue;
        }
        visited[at] = true;
        if taken[at].is_none_or(|other| match_member(other, events, taken, visited)) {
            taken[at] = Some(member);
            return true;
        }
    }
    false
}
