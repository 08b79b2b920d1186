//! The weights above one in a run, as running totals.

use std::collections::VecDeque;

use weir_schema::{EventTime, Weight};

/// The sum of a run's weights less the number of its entries, by time.
///
/// Nearly all runs have no entry with a weight above one, and then this is one empty pointer.
///
/// **Invariant.** There is one total for each sorted entry with a weight above one, in order of
/// time. A total counts the entries forgotten since, so only differences have a meaning.
///
/// **Cost.** O(log n) for a total, where n is the number of weights above one.
#[derive(Clone, Debug, Default)]
pub struct ExtraWeights(Option<Box<RunningTotals>>);

/// An entry of a run, by its time and weight.
#[derive(Clone, Copy, Debug)]
pub struct ExtraWeight {
    pub time: EventTime,
    pub weight: Weight,
}

#[derive(Clone, Debug, Default)]
struct RunningTotals {
    totals: VecDeque<ExtraTotal>,
    /// The total of the entries that were forgotten.
    forgotten: u64,
    /// The sum over the entries that are not sorted into the run.
    pushed: u64,
}

/// The sum of all weights up to an entry, less one for each entry.
#[derive(Clone, Copy, Debug)]
struct ExtraTotal {
    time: EventTime,
    through: u64,
}

impl ExtraWeights {
    /// Whether all sorted entries have the weight one.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|known| known.totals.is_empty())
    }

    /// Whether a pushed entry has a weight above one.
    pub fn has_pushed(&self) -> bool {
        self.0.as_ref().is_some_and(|known| known.pushed > 0)
    }

    /// The total of the sorted entries before `time`.
    pub fn before(&self, time: EventTime) -> u64 {
        self.0.as_ref().map_or(0, |known| {
            known.total_at(known.totals.partition_point(|total| total.time < time))
        })
    }

    /// The total of all sorted entries.
    pub fn total(&self) -> u64 {
        self.0.as_ref().map_or(0, |known| known.total())
    }

    /// The sum over all entries that are not forgotten, pushed ones included.
    pub fn sum_with_pushed(&self) -> u64 {
        self.0.as_ref().map_or(0, |known| {
            known.total().saturating_sub(known.forgotten) + known.pushed
        })
    }

    pub fn push(&mut self, weight: Weight) {
        if weight > Weight::ONE {
            self.0.get_or_insert_default().pushed += weight.extra();
        }
    }

    /// Counts the pushed entries again, after some were dropped.
    pub fn recount_pushed(&mut self, pushed: impl Iterator<Item = ExtraWeight>) {
        if let Some(known) = &mut self.0 {
            known.pushed = pushed.map(|entry| entry.weight.extra()).sum();
        }
    }

    /// Replaces the totals at or after `time` by those of `entries`, which are all entries there.
    pub fn replace_from(&mut self, time: EventTime, entries: impl Iterator<Item = ExtraWeight>) {
        self.truncate_from(time);
        let Some(known) = &mut self.0 else { return };
        known.pushed = 0;
        let mut through = known.total();
        for entry in entries.filter(|entry| entry.weight > Weight::ONE) {
            through += entry.weight.extra();
            let time = entry.time;
            known.totals.push_back(ExtraTotal { time, through });
        }
    }

    /// Drops the totals at or after `time`.
    pub fn truncate_from(&mut self, time: EventTime) {
        if let Some(known) = &mut self.0 {
            let keep = known.totals.partition_point(|total| total.time < time);
            known.totals.truncate(keep);
        }
    }

    /// Forgets the totals before `time`.
    pub fn forget_before(&mut self, time: EventTime) {
        let Some(known) = &mut self.0 else { return };
        while let Some(first) = known.totals.front().filter(|first| first.time < time) {
            known.forgotten = first.through;
            known.totals.pop_front();
        }
        if known.totals.is_empty() && known.pushed == 0 {
            self.0 = None;
        }
    }

    pub fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |known| {
            size_of::<RunningTotals>() + known.totals.capacity() * size_of::<ExtraTotal>()
        })
    }
}

impl RunningTotals {
    fn total(&self) -> u64 {
        self.total_at(self.totals.len())
    }

    /// The total of the first `count` sorted entries with a weight above one.
    fn total_at(&self, count: usize) -> u64 {
        let last = count.checked_sub(1).and_then(|last| self.totals.get(last));
        last.map_or(self.forgotten, |last| last.through)
    }
}
