//! Iteration over the anchors of a run, and over the entries that enter and leave their windows.

use weir_schema::EventTime;

use crate::correlate::fault::{self, PlantedFault};
use crate::correlate::range::TimeRange;
use crate::correlate::run::{EventRun, RunEntry};
use crate::steps::count_item;

/// An anchor: one of the distinct times of a run, and the place of its last entry.
pub struct Anchor {
    pub place: usize,
    pub time: EventTime,
}

/// The anchors of `run` in `range`, ascending.
pub fn anchors(run: &EventRun, range: TimeRange) -> impl Iterator<Item = Anchor> {
    let entries = run.entries();
    let start = run.count_before(range.from);
    entries[start..]
        .iter()
        .enumerate()
        .map(move |(offset, entry)| Anchor {
            place: start + offset,
            time: entry.time,
        })
        .take_while(move |anchor| anchor.time <= range.to)
        .filter(move |Anchor { place, time }| {
            count_item(*place);
            if fault::active(PlantedFault::WrongTie) {
                return *place == 0 || entries[place - 1].time != *time;
            }
            entries.get(place + 1).is_none_or(|next| next.time != *time)
        })
}

/// The part of a run that lies in a sliding window.
pub struct Sweep<'r> {
    pub entries: &'r [RunEntry],
    pub low: usize,
    pub high: usize,
}

impl<'r> Sweep<'r> {
    /// An empty window that begins at `start`.
    pub fn starting_at(run: &'r EventRun, start: EventTime) -> Self {
        let low = run.count_before(start);
        Self {
            entries: run.entries(),
            low,
            high: low,
        }
    }

    /// The window of the entries in `range`.
    pub fn covering(run: &'r EventRun, range: TimeRange) -> Self {
        Self {
            entries: run.entries(),
            low: run.count_before(range.from),
            high: run.count_through(range.to),
        }
    }

    /// Whether sliding back to the earlier window `other` costs less than filling it anew.
    pub fn is_nearer_than_empty(&self, other: &Self) -> bool {
        self.high - other.high + (self.low - other.low) < other.high - other.low
    }

    /// Adds the entries at or before `high` to the window.
    pub fn enter_through(&mut self, high: EventTime, mut add: impl FnMut(&RunEntry)) {
        while let Some(entry) = self.entries.get(self.high).filter(|e| e.time <= high) {
            add(entry);
            self.high += 1;
        }
    }

    /// Removes the entries before `low` from the window.
    pub fn leave_before(&mut self, low: EventTime, mut remove: impl FnMut(&RunEntry)) {
        while self.low < self.high && self.entries[self.low].time < low {
            remove(&self.entries[self.low]);
            self.low += 1;
        }
    }
}
