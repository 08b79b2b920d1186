//! What the values of a window come to: kept while the window slides, exact to the last digit.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
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
    Ranked(Ranked),
}

/// How many values lie on either side of each bound of a percentile, and which lie next to it.
///
/// ```text
///   values in order    3   5   8 │ 12   19        bound 10: three below, none equal
///   the percentile     lies between the places 2 and 3, so between 8 and 12
/// ```
///
/// The places between which the percentile lies are known from their number. Only where they are on
/// different sides does it matter which values they have, and then they are those next to the bound.
#[derive(Debug)]
pub struct Ranked {
    count: usize,
    sides: Vec<Sides>,
}

#[derive(Debug)]
struct Sides {
    bound: i128,
    below: usize,
    equal: usize,
    next_below: Next,
    next_above: Next,
}

impl Sides {
    fn new(bound: &ValueBound) -> Self {
        Self {
            bound: bound.number().0,
            below: 0,
            equal: 0,
            next_below: Next::default(),
            next_above: Next::default(),
        }
    }

    fn add(&mut self, time: i64, value: i128) {
        match value.cmp(&self.bound) {
            Ordering::Less => {
                self.below += 1;
                self.next_below.add(time, self.bound - value);
            }
            Ordering::Equal => self.equal += 1,
            Ordering::Greater => self.next_above.add(time, value - self.bound),
        }
    }

    fn remove(&mut self, time: i64, value: i128) {
        match value.cmp(&self.bound) {
            Ordering::Less => {
                self.below -= 1;
                self.next_below.leave(time);
            }
            Ordering::Equal => self.equal -= 1,
            Ordering::Greater => self.next_above.leave(time),
        }
    }

    /// On which side of the bound the value at a place lies.
    fn side(&self, place: usize) -> Ordering {
        if place < self.below {
            Ordering::Less
        } else if place < self.below + self.equal {
            Ordering::Equal
        } else {
            Ordering::Greater
        }
    }

    /// How the percentile compares with the bound. Everything times the whole of all ranks, so that
    /// nothing is divided.
    fn compare(&self, rank: i128, count: usize) -> Ordering {
        const WHOLE: i128 = 100 * Decimal::ONE;
        let last = count.saturating_sub(1);
        let place = rank * last as i128;
        let low = usize::try_from(place / WHOLE).unwrap_or(last).min(last);
        let rest = if low == last || fault::active(Fault::NoInterpolation) {
            0
        } else {
            place % WHOLE
        };
        match (self.side(low), self.side(low + 1)) {
            (side, _) if rest == 0 => side,
            (Ordering::Less, Ordering::Greater) => {
                let (below, above) = (self.next_below.distance(), self.next_above.distance());
                ((below + above) * rest).cmp(&(below * WHOLE))
            }
            (Ordering::Less, _) => Ordering::Less,
            (_, high) => high,
        }
    }
}

/// The least distance of a value to a bound, and those that will be the least once it has left the
/// window: times and distances, both ascending.
#[derive(Debug, Default)]
struct Next(VecDeque<(i64, i128)>);

impl Next {
    fn add(&mut self, time: i64, distance: i128) {
        // What comes is the newest nearly always.
        let newest = self.0.back().is_none_or(|(last, _)| *last <= time);
        let mut at = if newest {
            self.0.len()
        } else {
            self.0.partition_point(|(known, _)| *known <= time)
        };
        if self.0.get(at).is_some_and(|(_, later)| *later <= distance) {
            return;
        }
        while at > 0 && self.0[at - 1].1 >= distance {
            at -= 1;
            self.0.remove(at);
        }
        self.0.insert(at, (time, distance));
    }

    /// What lies at or before `time` leaves.
    fn leave(&mut self, time: i64) {
        while self.0.front().is_some_and(|(known, _)| *known <= time) {
            self.0.pop_front();
        }
    }

    fn distance(&self) -> i128 {
        self.0.front().map_or(0, |(_, distance)| *distance)
    }
}

impl Ranked {
    fn remove(&mut self, time: i64, value: i128) {
        self.count -= 1;
        for side in &mut self.sides {
            side.remove(time, value);
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
            Self::Statistic(Statistic::Percentile(_), bounds) => Values::Ranked(Ranked {
                count: 0,
                sides: bounds.iter().map(Sides::new).collect(),
            }),
        }
    }

    /// Whether the condition holds of a window that has at least one event.
    pub fn holds(&self, values: &Values) -> bool {
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
            (Self::Statistic(Statistic::Percentile(rank), bounds), Values::Ranked(ranked)) => {
                let mut sides = bounds.iter().zip(&ranked.sides);
                sides.all(|(bound, sides)| bound.holds(sides.compare(rank.0, ranked.count)))
            }
            // Values are made by the condition that asks.
            (Self::Distinct(_) | Self::Statistic(..), _) => false,
        }
    }
}

impl Values {
    /// Whether these are what the condition asks of, under the bounds that it has now.
    pub fn serve(&self, valued: &Valued) -> bool {
        match (self, valued) {
            (Self::Distinct(_), Valued::Distinct(_))
            | (Self::Sum(_), Valued::Statistic(Statistic::Sum, _))
            | (Self::Average(..), Valued::Statistic(Statistic::Average, _)) => true,
            (Self::Ranked(ranked), Valued::Statistic(Statistic::Percentile(_), bounds)) => {
                let known = ranked.sides.iter().map(|sides| sides.bound);
                known.eq(bounds.iter().map(|bound| bound.number().0))
            }
            _ => false,
        }
    }

    /// Whether the window can move back: what came last leaves first.
    pub fn slides_back(&self) -> bool {
        match self {
            Self::Distinct(_) | Self::Sum(_) | Self::Average(..) => true,
            Self::Ranked(_) => false,
        }
    }

    pub fn add(&mut self, entry: &Entry) {
        let value = entry.mark.decimal();
        match self {
            Self::Distinct(counts) => *counts.entry(entry.mark).or_default() += 1,
            Self::Sum(sum) => *sum += value,
            Self::Average(sum, count) => {
                *sum += value;
                *count += 1;
            }
            Self::Ranked(ranked) => {
                ranked.count += 1;
                for side in &mut ranked.sides {
                    side.add(entry.time, value);
                }
            }
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
            Self::Ranked(ranked) => ranked.remove(entry.time, value),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Distinct(counts) => counts.capacity() * (size_of::<(Mark, u32)>() + 1),
            Self::Sum(_) | Self::Average(..) => 0,
            Self::Ranked(ranked) => {
                let next = |next: &Next| next.0.capacity() * size_of::<(i64, i128)>();
                let sides = ranked.sides.iter();
                let side = |one: &Sides| next(&one.next_below) + next(&one.next_above);
                sides.map(|one| size_of::<Sides>() + side(one)).sum()
            }
        }
    }
}

fn all(bounds: &[ValueBound], compare: impl Fn(i128) -> Ordering) -> bool {
    let mut bounds = bounds.iter();
    bounds.all(|bound| bound.holds(compare(bound.number().0)))
}
