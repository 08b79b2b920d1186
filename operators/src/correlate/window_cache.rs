//! The window of a group's newest anchor, cached from one epoch to the next.
//!
//! With it, appended events cost only what they add, however many events the window holds.

use weir_schema::EventTime;

use super::fault::{self, PlantedFault};
use super::members::MemberTimes;
use super::order::OrderedPrefixes;
use super::range::TimeRange;
use super::run::{EventRun, RunEntry};
use super::values::{ValueCondition, WindowValues};

/// Fewest entries of a window that is worth caching.
///
/// Sweeping a smaller window anew is faster than finding its cached state, and a state for each of
/// millions of groups would fill memory. Tests have small windows and need cached states.
const ENTRIES_MIN: usize = if cfg!(test) { 2 } else { 32 };

/// The evaluation state of the window of one anchor.
#[derive(Debug)]
enum WindowState {
    Members(MemberTimes),
    Values(WindowValues),
    Order(OrderedPrefixes),
}

/// The cached window of one group; empty for most groups.
#[derive(Debug, Default)]
pub struct WindowCache(Option<Box<CachedWindow>>);

/// A window state and the entries that it covers.
///
/// Values cover the entries in `[range.from, range.to]`. Members and order cover all entries at or
/// before `range.to`.
#[derive(Debug)]
struct CachedWindow {
    state: WindowState,
    range: TimeRange,
}

impl WindowCache {
    /// Takes the member times up to a time at or before `from`, and that time.
    pub fn take_members(
        &mut self,
        members: usize,
        from: EventTime,
    ) -> (MemberTimes, Option<EventTime>) {
        match self.take_if(|cached| cached.range.to <= from) {
            Some(CachedWindow {
                state: WindowState::Members(times),
                range,
            }) => (times, Some(range.to)),
            _ => (MemberTimes::new(members), None),
        }
    }

    /// Takes the values of a window that ends at or before `to`, and its first and last time.
    pub fn take_values(
        &mut self,
        condition: &ValueCondition,
        to: EventTime,
    ) -> Option<(WindowValues, TimeRange)> {
        match self.take_if(|cached| cached.range.to <= to) {
            Some(CachedWindow {
                state: WindowState::Values(values),
                range,
            }) if values.fit(condition) => Some((values, range)),
            _ => None,
        }
    }

    /// Takes the ordered prefixes up to a time before `from`, and that time.
    pub fn take_order(
        &mut self,
        members: usize,
        from: EventTime,
    ) -> (OrderedPrefixes, Option<EventTime>) {
        match self.take_if(|cached| cached.range.to < from) {
            Some(CachedWindow {
                state: WindowState::Order(prefixes),
                range,
            }) => (prefixes, Some(range.to)),
            _ => (OrderedPrefixes::new(members), None),
        }
    }

    fn take_if(&mut self, usable: impl Fn(&CachedWindow) -> bool) -> Option<CachedWindow> {
        self.0
            .take_if(|cached| usable(cached))
            .map(|cached| *cached)
    }

    /// Stores the member times up to `at`, if that is the last entry of `run`.
    pub fn store_members(&mut self, times: MemberTimes, run: &EventRun, at: EventTime) {
        if is_last(run, at) && run.entries().len() >= ENTRIES_MIN {
            let from = EventTime::MIN;
            self.store(WindowState::Members(times), TimeRange { from, to: at });
        }
    }

    /// Stores the values of the entries of `run` in `range`, if it ends with the last entry.
    pub fn store_values(&mut self, values: WindowValues, run: &EventRun, range: TimeRange) {
        let len = run.count_through(range.to) - run.count_before(range.from);
        if is_last(run, range.to) && len >= ENTRIES_MIN {
            self.store(WindowState::Values(values), range);
        }
    }

    /// Stores the ordered prefixes of the entries of `run` at or before `at`.
    pub fn store_order(&mut self, prefixes: &OrderedPrefixes, run: &EventRun, at: EventTime) {
        if run.entries().len() >= ENTRIES_MIN {
            let from = EventTime::MIN;
            let state = WindowState::Order(prefixes.clone());
            self.store(state, TimeRange { from, to: at });
        }
    }

    fn store(&mut self, state: WindowState, range: TimeRange) {
        self.0 = Some(Box::new(CachedWindow { state, range }));
    }

    /// Adds the late ones of the entries that are about to be merged into a run.
    pub fn add_late(&mut self, pushed: &[RunEntry]) {
        let Some(cached) = self
            .0
            .as_mut()
            .filter(|_| !fault::active(PlantedFault::StaleWindow))
        else {
            return;
        };
        let range = cached.range;
        let mut late = pushed.iter().filter(|entry| entry.time <= range.to);
        match &mut cached.state {
            WindowState::Values(values) => late
                .filter(|entry| entry.time >= range.from)
                .for_each(|entry| values.add(entry)),
            WindowState::Members(times) => late.for_each(|entry| times.add(entry)),
            // A late event may begin a sequence anywhere.
            WindowState::Order(_) => {
                if late.next().is_some() {
                    self.0 = None;
                }
            }
        }
    }

    /// Drops the state if it covers values before `line`, whose entries are being forgotten.
    ///
    /// Members and order stay: the window's start already excludes what is too old for it.
    pub fn forget_before(&mut self, line: EventTime) {
        self.0.take_if(|cached| {
            cached.range.from < line && matches!(cached.state, WindowState::Values(_))
        });
    }

    /// Drops the state; the next sweep begins anew.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    pub fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |cached| {
            let state = match &cached.state {
                WindowState::Members(times) => times.heap_bytes(),
                WindowState::Values(values) => values.heap_bytes(),
                WindowState::Order(prefixes) => prefixes.heap_bytes(),
            };
            size_of::<CachedWindow>() + state
        })
    }
}

fn is_last(run: &EventRun, at: EventTime) -> bool {
    run.entries().last().is_some_and(|entry| entry.time == at)
}
