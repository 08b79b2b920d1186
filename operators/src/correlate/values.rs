//! What the values of a window come to: kept while the window slides, exact to the last digit.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use weir_schema::{Bound, Decimal, Statistic, ValueBound};

use super::fault::{self, Fault};
use super::run::{Entry, Mark};

/// A condition over the values of a window.
#[derive(Clone, Debug)]
pub enum Valued {
    Distinct(Vec<Bound>),
    Statistic(Statistic, Vec<ValueBound>),
}

/// The values of a window.
#[derive(Debug)]
pub enum Values {
    Distinct(HashMap<Mark, u32, BuildHasherDefault<Low>>),
    Sum(i128),
    Average(i128, i128),
    Sorted(Sorted),
}

/// Values in order, but for those that came since they were last looked at.
#[derive(Debug, Default)]
pub struct Sorted {
    values: Vec<i128>,
    new: Vec<i128>,
}

/// So many new values are put in place one by one; of more the whole is sorted, which merges.
const ONE_BY_ONE_MAX: usize = 8;

impl Sorted {
    fn place(&mut self) {
        if self.new.len() > ONE_BY_ONE_MAX {
            self.new.sort_unstable();
            self.values.append(&mut self.new);
            self.values.sort();
        }
        for value in self.new.drain(..) {
            let at = self.values.partition_point(|known| *known < value);
            self.values.insert(at, value);
        }
    }

    fn remove(&mut self, value: i128) {
        self.place();
        let at = self.values.partition_point(|known| *known < value);
        if self.values.get(at) == Some(&value) {
            self.values.remove(at);
        }
    }
}

/// Marks of distinct values are hashes already.
#[derive(Debug, Default)]
pub struct Low(u64);

impl Hasher for Low {
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

impl Valued {
    pub fn values(&self) -> Values {
        match self {
            Self::Distinct(_) => Values::Distinct(HashMap::default()),
            Self::Statistic(Statistic::Sum, _) => Values::Sum(0),
            Self::Statistic(Statistic::Average, _) => Values::Average(0, 0),
            Self::Statistic(Statistic::Percentile(_), _) => Values::Sorted(Sorted::default()),
        }
    }

    /// Whether the condition holds of a window that has at least one event.
    pub fn holds(&self, values: &mut Values) -> bool {
        match (self, values) {
            (Self::Distinct(bounds), Values::Distinct(counts)) => {
                let count = counts.len() as u64;
                bounds.iter().all(|bound| bound.holds(count))
            }
            (Self::Statistic(_, bounds), Values::Sum(sum)) => {
                let sum = *sum;
                all(bounds, |number| sum.cmp(&number))
            }
            (Self::Statistic(_, bounds), Values::Average(sum, count)) => {
                let (sum, count) = (*sum, *count);
                all(bounds, |number| sum.cmp(&(number * count)))
            }
            (Self::Statistic(Statistic::Percentile(rank), bounds), Values::Sorted(sorted)) => {
                sorted.place();
                percentile(bounds, rank.0, &sorted.values)
            }
            // Values are made by the condition that asks.
            (Self::Distinct(_) | Self::Statistic(..), _) => false,
        }
    }
}

impl Values {
    pub fn add(&mut self, entry: &Entry) {
        let value = entry.mark.decimal();
        match self {
            Self::Distinct(counts) => *counts.entry(entry.mark).or_default() += 1,
            Self::Sum(sum) => *sum += value,
            Self::Average(sum, count) => {
                *sum += value;
                *count += 1;
            }
            Self::Sorted(sorted) => sorted.new.push(value),
        }
    }

    pub fn remove(&mut self, entry: &Entry) {
        let value = entry.mark.decimal();
        match self {
            Self::Distinct(counts) => {
                if let Some(count) = counts.get_mut(&entry.mark) {
                    *count -= 1;
                    if *count == 0 && !fault::active(Fault::ValueStays) {
                        counts.remove(&entry.mark);
                    }
                }
            }
            Self::Sum(sum) => *sum -= value,
            Self::Average(sum, count) => {
                *sum -= value;
                *count -= 1;
            }
            Self::Sorted(sorted) => sorted.remove(value),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Distinct(counts) => counts.capacity() * (size_of::<(Mark, u32)>() + 1),
            Self::Sum(_) | Self::Average(..) => 0,
            Self::Sorted(Sorted { values, new }) => {
                (values.capacity() + new.capacity()) * size_of::<i128>()
            }
        }
    }
}

fn all(bounds: &[ValueBound], compare: impl Fn(i128) -> Ordering) -> bool {
    let mut bounds = bounds.iter();
    bounds.all(|bound| bound.holds(compare(bound.number().0)))
}

/// Everything times the whole of all ranks, so that nothing is divided.
fn percentile(bounds: &[ValueBound], rank: i128, sorted: &[i128]) -> bool {
    const WHOLE: i128 = 100 * Decimal::ONE;
    let Some(last) = sorted.len().checked_sub(1) else {
        return false;
    };
    let place = rank * last as i128;
    let low = usize::try_from(place / WHOLE).unwrap_or(last).min(last);
    let (low_value, high_value) = (sorted[low], sorted[(low + 1).min(last)]);
    let rest = if fault::active(Fault::NoInterpolation) {
        0
    } else {
        place % WHOLE
    };
    let found = low_value * WHOLE + (high_value - low_value) * rest;
    all(bounds, |number| found.cmp(&(number * WHOLE)))
}
