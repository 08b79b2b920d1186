//! The times of the entries of a run whose events have a mark.

use std::collections::BTreeSet;

use weir_schema::EventTime;

/// The times of marked entries, each once. Nearly all runs have none, so the set is boxed.
///
/// **Cost.** O(log n) for each change and question, so the mark of an alert costs no pass over its
/// events.
#[derive(Clone, Debug, Default)]
pub struct MarkedTimeSet(Option<Box<TimeSet>>);

#[derive(Clone, Debug, Default)]
struct TimeSet {
    times: BTreeSet<EventTime>,
}

impl MarkedTimeSet {
    pub fn add(&mut self, time: EventTime) {
        self.0.get_or_insert_default().times.insert(time);
    }

    pub fn remove(&mut self, time: EventTime) {
        self.change(|times| {
            times.remove(&time);
        });
    }

    pub fn forget_before(&mut self, time: EventTime) {
        self.change(|times| *times = times.split_off(&time));
    }

    pub fn truncate_from(&mut self, time: EventTime) {
        self.change(|times| drop(times.split_off(&time)));
    }

    /// The first time from `from` up to `to`.
    pub fn first_in(&self, from: EventTime, to: EventTime) -> Option<EventTime> {
        let set = self.0.as_ref().filter(|_| from <= to)?;
        set.times.range(from..=to).next().copied()
    }

    pub fn heap_bytes(&self) -> usize {
        let times = self.0.as_ref().map_or(0, |set| set.times.len());
        // A node of the tree is at least half full.
        usize::from(self.0.is_some()) * size_of::<TimeSet>() + times * 2 * size_of::<EventTime>()
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeSet<EventTime>)) {
        if let Some(set) = &mut self.0 {
            change(&mut set.times);
            if set.times.is_empty() {
                self.0 = None;
            }
        }
    }
}
