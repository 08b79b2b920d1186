//! Events of several members in their order: how late a chain of them can begin.

use weir_schema::Plan;

use super::fault::{self, Fault};
use super::run::Entry;

/// So many of the newest events are looked at first.
const LOOK_BACK: usize = if cfg!(test) { 2 } else { 64 };

/// For each length of a chain of the first members: the latest time at which one that is complete
/// can have begun.
///
/// ```text
///   members 1 2 3      events   1:t0   2:t1   1:t2   3:t3   2:t4
///   after t3           best     [t2,   t0,    t0]       a chain of three begins at t0
///   after t4                    [t2,   t2,    t0]       one of two begins at t2
/// ```
///
/// A window that begins at or before that time, and ends now, has the chain. Longer chains begin
/// no later than shorter ones, so one pass in order of time is enough.
#[derive(Clone, Debug)]
pub struct Chains {
    best: Vec<Option<i64>>,
}

impl Chains {
    pub fn new(members: usize) -> Self {
        Self {
            best: vec![None; members],
        }
    }

    pub fn heap_bytes(&self) -> usize {
        self.best.capacity() * size_of::<Option<i64>>()
    }

    /// The latest beginning of a whole chain.
    pub fn begin(&self) -> Option<i64> {
        self.best.last().copied().flatten()
    }

    /// Takes the events of a window in that has come before this. The newest of them are enough
    /// where they have a whole chain: what begins before it is not the latest of any length.
    pub fn look_back(&mut self, events: &[Entry]) {
        let mut newest = LOOK_BACK;
        loop {
            let start = events.len().saturating_sub(newest);
            for tied in events[start..].chunk_by(|a, b| a.time == b.time) {
                self.add(tied);
            }
            if start == 0 || self.begin().is_some() {
                return;
            }
            self.best.fill(None);
            newest *= 4;
        }
    }

    /// Takes all events of one time in.
    pub fn add(&mut self, events: &[Entry]) {
        match events {
            [] => {}
            [event] => self.add_one(event.time, event.mark.members()),
            [first, ..] => self.add_tied(first.time, &few(events, self.best.len())),
        }
    }

    fn add_one(&mut self, time: i64, members: u64) {
        // From the longest on, so that the event takes one place only.
        for place in (0..self.best.len())
            .rev()
            .filter(|place| members >> place & 1 == 1)
        {
            let start = match place.checked_sub(1) {
                None => Some(time),
                Some(before) => self.best[before],
            };
            self.best[place] = self.best[place].max(start);
        }
    }

    /// Any of them may come first, and each takes one place.
    fn add_tied(&mut self, time: i64, events: &[u64]) {
        let before = self.best.clone();
        for from in 0..self.best.len() {
            let start = match from.checked_sub(1) {
                None => Some(time),
                Some(last) => before[last],
            };
            if start.is_none() {
                continue;
            }
            let end = from + reached(events, from, self.best.len());
            for place in from..end {
                self.best[place] = self.best[place].max(start);
            }
        }
    }
}

/// The members of the events; of equal ones as many as can take places.
fn few(events: &[Entry], places: usize) -> Vec<u64> {
    let mut members: Vec<u64> = events.iter().map(|event| event.mark.members()).collect();
    members.sort_unstable();
    let mut kept: Vec<u64> = Vec::new();
    for one in members {
        let equal = kept.iter().rev().take_while(|known| **known == one).count();
        if equal < places {
            kept.push(one);
        }
    }
    kept
}

/// How many members from `from` on can each be given an event of their own.
fn reached(events: &[u64], from: usize, members: usize) -> usize {
    let mut taken: Vec<Option<usize>> = vec![None; events.len()];
    for member in from..members {
        let mut tried = vec![false; events.len()];
        if fault::active(Fault::EventTwice) {
            if !events.iter().any(|event| event >> member & 1 == 1) {
                return member - from;
            }
        } else if !place(member, events, &mut taken, &mut tried) {
            return member - from;
        }
    }
    members - from
}

/// Gives the member an event, moving others on where that makes room. As deep as there are
/// members, at most [`Plan::MEMBERS_MAX`].
fn place(member: usize, events: &[u64], taken: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    debug_assert!(member < Plan::MEMBERS_MAX, "members are bits");
    for at in 0..events.len() {
        if events[at] >> member & 1 == 0 || tried[at] {
            continue;
        }
        tried[at] = true;
        if taken[at].is_none_or(|other| place(other, events, taken, tried)) {
            taken[at] = Some(member);
            return true;
        }
    }
    false
}
