//! The window of a group's newest anchor, kept from one epoch to the next: what is appended costs
//! what it adds, however much the window holds.

use super::fault::{self, Fault};
use super::order::Chains;
use super::run::{Entry, Run};
use super::seen::Seen;
use super::values::{Valued, Values};

/// Smaller windows are swept anew in less time than looking a state up takes, and a state for each
/// of millions of groups would fill memory. Tests have small windows, and want states.
const ENTRIES_MIN: usize = if cfg!(test) { 2 } else { 32 };

/// A state that holds the window of one anchor.
#[derive(Debug)]
enum State {
    Seen(Seen),
    Values(Values),
    Chains(Chains),
}

/// What is known of a group at its newest anchor.
#[derive(Debug, Default)]
pub struct Tail(Option<Box<Kept>>);

#[derive(Debug)]
struct Kept {
    state: State,
    /// The state holds the entries in `[low, at]`, or for members and chains all at or before `at`.
    low: i64,
    at: i64,
}

impl Tail {
    /// When the members came last, up to a time at or before `from`, and that time.
    pub fn take_seen(&mut self, members: usize, from: i64) -> (Seen, Option<i64>) {
        match self.0.take_if(|kept| kept.at <= from).map(|kept| *kept) {
            Some(Kept {
                state: State::Seen(seen),
                at,
                ..
            }) => (seen, Some(at)),
            _ => (Seen::new(members), None),
        }
    }

    /// The values in a window that ends at or before `to`, and the times of its first and last entry.
    pub fn take_values(&mut self, valued: &Valued, to: i64) -> Option<(Values, (i64, i64))> {
        match self.0.take_if(|kept| kept.at <= to).map(|kept| *kept) {
            Some(Kept {
                state: State::Values(values),
                low,
                at,
            }) if values.serve(valued) => Some((values, (low, at))),
            _ => None,
        }
    }

    /// The chains up to a time before `from`, and that time.
    pub fn take_chains(&mut self, members: usize, from: i64) -> (Chains, Option<i64>) {
        match self.0.take_if(|kept| kept.at < from).map(|kept| *kept) {
            Some(Kept {
                state: State::Chains(chains),
                at,
                ..
            }) => (chains, Some(at)),
            _ => (Chains::new(members), None),
        }
    }

    /// Keeps when the members of a plan came last, up to `at`, the last entry of `run`.
    pub fn keep_seen(&mut self, seen: Seen, run: &Run, at: i64) {
        if is_last(run, at) && run.entries().len() >= ENTRIES_MIN {
            self.keep(State::Seen(seen), i64::MIN, at);
        }
    }

    /// Keeps what holds the entries of `run` in `[low, at]`, where `at` is the last of them.
    pub fn keep_values(&mut self, values: Values, run: &Run, (low, at): (i64, i64)) {
        let held = run.up_to(at) - run.before(low);
        if is_last(run, at) && held >= ENTRIES_MIN {
            self.keep(State::Values(values), low, at);
        }
    }

    /// Keeps what the entries of `run` at or before `at` come to.
    pub fn keep_chains(&mut self, chains: &Chains, run: &Run, at: i64) {
        if run.entries().len() >= ENTRIES_MIN {
            self.keep(State::Chains(chains.clone()), i64::MIN, at);
        }
    }

    fn keep(&mut self, state: State, low: i64, at: i64) {
        self.0 = Some(Box::new(Kept { state, low, at }));
    }

    /// Takes note of entries that are about to be let in, wherever they stand.
    pub fn expect(&mut self, pushed: &[Entry]) {
        let Some(kept) = self
            .0
            .as_mut()
            .filter(|_| !fault::active(Fault::StaleWindow))
        else {
            return;
        };
        let mut late = pushed.iter().filter(|entry| entry.time <= kept.at);
        match &mut kept.state {
            State::Values(values) => late
                .filter(|entry| entry.time >= kept.low)
                .for_each(|entry| values.add(entry)),
            State::Seen(seen) => late.for_each(|entry| seen.add(entry)),
            // A chain may begin anywhere before.
            State::Chains(_) => {
                if late.next().is_some() {
                    self.0 = None;
                }
            }
        }
    }

    /// Takes note that entries before `line` are gone.
    pub fn forget_before(&mut self, line: i64) {
        // Members and chains are of all that came: windows tell what of it is too old for them.
        let holds =
            |kept: &mut Box<Kept>| kept.low < line && matches!(kept.state, State::Values(_));
        self.0.take_if(holds);
    }

    /// Forgets the state; the next sweep begins anew.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    pub fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| {
            let state = match &kept.state {
                State::Seen(seen) => seen.heap_bytes(),
                State::Values(values) => values.heap_bytes(),
                State::Chains(chains) => chains.heap_bytes(),
            };
            size_of::<Kept>() + state
        })
    }
}

fn is_last(run: &Run, at: i64) -> bool {
    run.entries().last().is_some_and(|entry| entry.time == at)
}
