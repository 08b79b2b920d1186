//! Searches for the firing anchor that is nearest to a time.

use weir_schema::EventTime;

use super::WindowCondition;
use crate::correlate::range::TimeRange;
use crate::correlate::run::GroupRuns;
use crate::correlate::window_cache::WindowCache;

/// The number of entries that a search looks at first; each further look doubles it.
///
/// The answer is nearly always the neighbour.
const SEARCH_STEP: usize = 4;

impl WindowCondition {
    /// The last firing anchor in `[floor, before)`.
    pub fn last_firing(
        &self,
        runs: GroupRuns<'_>,
        floor: EventTime,
        before: EventTime,
    ) -> Option<EventTime> {
        let entries = runs.anchors.entries();
        let mut found = Vec::new();
        let mut end = runs.anchors.count_before(before);
        let mut step = SEARCH_STEP;
        while let Some(last) = end.checked_sub(1).map(|place| entries[place].time) {
            if last < floor {
                return None;
            }
            let from = entries[end.saturating_sub(step)].time.max(floor);
            let range = TimeRange { from, to: last };
            self.firing(runs, range, &mut WindowCache::default(), &mut found);
            if let Some(last) = found.last() {
                return Some(*last);
            }
            end = runs.anchors.count_before(from);
            step *= 2;
        }
        None
    }

    /// The first firing anchor in `(after, ceiling]`.
    pub fn first_firing(
        &self,
        runs: GroupRuns<'_>,
        after: EventTime,
        ceiling: EventTime,
    ) -> Option<EventTime> {
        let entries = runs.anchors.entries();
        let mut found = Vec::new();
        let mut start = runs.anchors.count_through(after);
        let mut step = SEARCH_STEP;
        while let Some(first) = entries.get(start).map(|entry| entry.time) {
            if first > ceiling {
                return None;
            }
            let last = entries[(start + step).min(entries.len() - 1)].time;
            let to = last.min(ceiling);
            let range = TimeRange { from: first, to };
            self.firing(runs, range, &mut WindowCache::default(), &mut found);
            if let Some(first) = found.first() {
                return Some(*first);
            }
            start = runs.anchors.count_through(to);
            step *= 2;
        }
        None
    }
}
