//! The aggregate of the values in a window, updated while the window slides, in exact arithmetic.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use weir_schema::{Bound, Statistic, ValueBound};

use super::fault::{self, PlantedFault};
use super::percentile::PercentileSides;
use super::run::{EntryMark, RunEntry};

/// A condition over the values of a window.
#[derive(Clone, Debug)]
pub enum ValueCondition {
    Distinct(Vec<Bound>),
    Statistic(Statistic, Vec<ValueBound>),
}

/// The aggregate of the values of a window.
///
/// **Cost.** O(1) per event that enters or leaves; a percentile costs O(bounds), amortized.
#[derive(Debug)]
pub enum WindowValues {
    Distinct(HashMap<EntryMark, u32, BuildHasherDefault<MarkHasher>>),
    Sum(i128),
    Average { sum: i128, count: i128 },
    Percentile(PercentileSides),
}

/// Passes marks through: the marks of distinct values are hashes already.
#[derive(Debug, Default)]
pub struct MarkHasher(u64);

impl Hasher for MarkHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }
}

impl ValueCondition {
    /// The aggregate of an empty window.
    pub fn empty_window(&self) -> WindowValues {
        match self {
            Self::Distinct(_) => WindowValues::Distinct(HashMap::default()),
            Self::Statistic(Statistic::Sum, _) => WindowValues::Sum(0),
            Self::Statistic(Statistic::Average, _) => WindowValues::Average { sum: 0, count: 0 },
            Self::Statistic(Statistic::Percentile(_), bounds) => {
                WindowValues::Percentile(PercentileSides::new(bounds))
            }
        }
    }

    /// Whether the condition holds for a window that has at least one event.
    pub fn holds(&self, values: &WindowValues) -> bool {
        match (self, values) {
            (Self::Distinct(bounds), WindowValues::Distinct(counts)) => {
                let count = counts.len() as u64;
                bounds.iter().all(|bound| bound.holds(count))
            }
            (Self::Statistic(_, bounds), WindowValues::Sum(sum)) => bounds
                .iter()
                .all(|bound| bound.holds(sum.cmp(&bound.number().0))),
            (Self::Statistic(_, bounds), WindowValues::Average { sum, count }) => bounds
                .iter()
                .all(|bound| bound.holds(sum.cmp(&(bound.number().0 * count)))),
            (
                Self::Statistic(Statistic::Percentile(rank), bounds),
                WindowValues::Percentile(sides),
            ) => sides.satisfy(bounds, rank.0),
            // The condition made the values, so the kinds agree.
            (Self::Distinct(_) | Self::Statistic(..), _) => false,
        }
    }
}

impl WindowValues {
    /// Whether these values can answer `condition`, with the bounds that it has now.
    pub fn fit(&self, condition: &ValueCondition) -> bool {
        match (self, condition) {
            (Self::Distinct(_), ValueCondition::Distinct(_))
            | (Self::Sum(_), ValueCondition::Statistic(Statistic::Sum, _))
            | (Self::Average { .. }, ValueCondition::Statistic(Statistic::Average, _)) => true,
            (
                Self::Percentile(sides),
                ValueCondition::Statistic(Statistic::Percentile(_), bounds),
            ) => sides.have_bounds(bounds),
            _ => false,
        }
    }

    /// Whether the window can slide back in time: the newest values leave first.
    pub fn can_slide_back(&self) -> bool {
        match self {
            Self::Distinct(_) | Self::Sum(_) | Self::Average { .. } => true,
            Self::Percentile(_) => false,
        }
    }

    pub fn add(&mut self, entry: &RunEntry) {
        let value = entry.mark.decimal();
        let weight = weight(entry);
        match self {
            Self::Distinct(counts) => *counts.entry(entry.mark).or_default() += 1,
            Self::Sum(sum) => *sum += value * weight,
            Self::Average { sum, count } => {
                *sum += value * weight;
                *count += weight;
            }
            Self::Percentile(sides) => sides.add(entry.time, value, weight as usize),
        }
    }

    pub fn remove(&mut self, entry: &RunEntry) {
        let value = entry.mark.decimal();
        let weight = weight(entry);
        match self {
            Self::Distinct(counts) => {
                if let Some(count) = counts.get_mut(&entry.mark) {
                    *count -= 1;
                    if *count == 0 && !fault::active(PlantedFault::ValueStays) {
                        counts.remove(&entry.mark);
                    }
                }
            }
            Self::Sum(sum) => *sum -= value * weight,
            Self::Average { sum, count } => {
                *sum -= value * weight;
                *count -= weight;
            }
            Self::Percentile(sides) => sides.remove(entry.time, value, weight as usize),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Distinct(counts) => counts.capacity() * (size_of::<(EntryMark, u32)>() + 1),
            Self::Sum(_) | Self::Average { .. } => 0,
            Self::Percentile(sides) => sides.heap_bytes(),
        }
    }
}

/// How often the value of an entry counts in sums, averages and percentiles.
fn weight(entry: &RunEntry) -> i128 {
    match fault::active(PlantedFault::ValueOnce) {
        true => 1,
        false => i128::from(entry.weight.get()),
    }
}
