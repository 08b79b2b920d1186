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
pub enum Values<'c> {
    Distinct(&'c [Bound], HashMap<Mark, u32, BuildHasherDefault<Low>>),
    Sum(&'c [ValueBound], i128),
    Average(&'c [ValueBound], i128, i128),
    /// In order.
    Percentile(&'c [ValueBound], i128, Vec<i128>),
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
        self.0 = self.0.rotate_left(32) ^ word;
    }

    fn write_usize(&mut self, _length: usize) {} // That of an array of two.
}

impl Valued {
    pub fn values(&self) -> Values<'_> {
        match self {
            Self::Distinct(bounds) => Values::Distinct(bounds, HashMap::default()),
            Self::Statistic(Statistic::Sum, bounds) => Values::Sum(bounds, 0),
            Self::Statistic(Statistic::Average, bounds) => Values::Average(bounds, 0, 0),
            Self::Statistic(Statistic::Percentile(rank), bounds) => {
                Values::Percentile(bounds, rank.0, Vec::new())
            }
        }
    }
}

impl Values<'_> {
    pub fn add(&mut self, entry: &Entry) {
        let value = entry.mark.decimal();
        match self {
            Self::Distinct(_, counts) => *counts.entry(entry.mark).or_default() += 1,
            Self::Sum(_, sum) => *sum += value,
            Self::Average(_, sum, count) => {
                *sum += value;
                *count += 1;
            }
            Self::Percentile(_, _, sorted) => {
                let at = sorted.partition_point(|known| *known < value);
                sorted.insert(at, value);
            }
        }
    }

    pub fn remove(&mut self, entry: &Entry) {
        let value = entry.mark.decimal();
        match self {
            Self::Distinct(_, counts) => {
                if let Some(count) = counts.get_mut(&entry.mark) {
                    *count -= 1;
                    if *count == 0 && !fault::active(Fault::ValueStays) {
                        counts.remove(&entry.mark);
                    }
                }
            }
            Self::Sum(_, sum) => *sum -= value,
            Self::Average(_, sum, count) => {
                *sum -= value;
                *count -= 1;
            }
            Self::Percentile(_, _, sorted) => {
                let at = sorted.partition_point(|known| *known < value);
                if sorted.get(at) == Some(&value) {
                    sorted.remove(at);
                }
            }
        }
    }

    /// Whether the condition holds; the window has at least one event.
    pub fn hold(&self) -> bool {
        match self {
            Self::Distinct(bounds, counts) => {
                let count = counts.len() as u64;
                bounds.iter().all(|bound| bound.holds(count))
            }
            Self::Sum(bounds, sum) => all(bounds, |number| sum.cmp(&number)),
            Self::Average(bounds, sum, count) => all(bounds, |number| sum.cmp(&(number * count))),
            Self::Percentile(bounds, rank, sorted) => percentile(bounds, *rank, sorted),
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
