//! Percentiles of a sliding window, compared with fixed bounds and without sorting the values.

use std::cmp::Ordering;
use std::collections::VecDeque;

use weir_schema::{Decimal, EventTime, ValueBound};

use super::fault::{self, PlantedFault};

/// For each bound of a percentile: how many values lie on either side, and the nearest of them.
///
/// ```text
///   values in order    3   5   8 │ 12   19        bound 10: three below, none equal
///   the percentile     lies between the places 2 and 3, so between 8 and 12
/// ```
///
/// **Invariant.** The number of values gives the two places between which the percentile lies.
/// Their values matter only where the places are on different sides of the bound, and then they are
/// the values nearest to it.
#[derive(Debug)]
pub struct PercentileSides {
    count: usize,
    bounds: Vec<BoundSides>,
}

impl PercentileSides {
    pub fn new(bounds: &[ValueBound]) -> Self {
        Self {
            count: 0,
            bounds: bounds.iter().map(BoundSides::new).collect(),
        }
    }

    /// Whether the percentile of `rank` satisfies all `bounds`.
    pub fn satisfy(&self, bounds: &[ValueBound], rank: i128) -> bool {
        let mut sides = bounds.iter().zip(&self.bounds);
        sides.all(|(bound, sides)| bound.holds(sides.compare(rank, self.count)))
    }

    /// Whether the values were counted against exactly these bounds.
    pub fn have_bounds(&self, bounds: &[ValueBound]) -> bool {
        let known = self.bounds.iter().map(|sides| sides.bound);
        known.eq(bounds.iter().map(|bound| bound.number().0))
    }

    /// Adds a value `times` times.
    pub fn add(&mut self, time: EventTime, value: i128, times: usize) {
        self.count += times;
        for sides in &mut self.bounds {
            sides.add(time, value, times);
        }
    }

    /// Removes a value that was added `times` times at once.
    pub fn remove(&mut self, time: EventTime, value: i128, times: usize) {
        self.count -= times;
        for sides in &mut self.bounds {
            sides.remove(time, value, times);
        }
    }

    pub fn heap_bytes(&self) -> usize {
        let bounds = self.bounds.iter();
        bounds
            .map(|sides| {
                let nearest = sides.nearest_below.heap_bytes() + sides.nearest_above.heap_bytes();
                size_of::<BoundSides>() + nearest
            })
            .sum()
    }
}

/// The values on either side of one bound.
#[derive(Debug)]
struct BoundSides {
    bound: i128,
    below: usize,
    equal: usize,
    nearest_below: NearestDistance,
    nearest_above: NearestDistance,
}

impl BoundSides {
    fn new(bound: &ValueBound) -> Self {
        Self {
            bound: bound.number().0,
            below: 0,
            equal: 0,
            nearest_below: NearestDistance::default(),
            nearest_above: NearestDistance::default(),
        }
    }

    fn add(&mut self, time: EventTime, value: i128, times: usize) {
        match value.cmp(&self.bound) {
            Ordering::Less => {
                self.below += times;
                self.nearest_below.add(time, self.bound - value);
            }
            Ordering::Equal => self.equal += times,
            Ordering::Greater => self.nearest_above.add(time, value - self.bound),
        }
    }

    fn remove(&mut self, time: EventTime, value: i128, times: usize) {
        match value.cmp(&self.bound) {
            Ordering::Less => {
                self.below -= times;
                self.nearest_below.forget_through(time);
            }
            Ordering::Equal => self.equal -= times,
            Ordering::Greater => self.nearest_above.forget_through(time),
        }
    }

    /// The side of the bound on which the value at a place of the sorted values lies.
    fn side(&self, place: usize) -> Ordering {
        if place < self.below {
            Ordering::Less
        } else if place < self.below + self.equal {
            Ordering::Equal
        } else {
            Ordering::Greater
        }
    }

    /// Compares the percentile of `rank` with the bound.
    ///
    /// All numbers are scaled by the whole of all ranks, so nothing is divided.
    fn compare(&self, rank: i128, count: usize) -> Ordering {
        const WHOLE: i128 = 100 * Decimal::ONE;
        let last = count.saturating_sub(1);
        let place = rank * last as i128;
        let low = usize::try_from(place / WHOLE).unwrap_or(last).min(last);
        let rest = if low == last || fault::active(PlantedFault::NoInterpolation) {
            0
        } else {
            place % WHOLE
        };
        match (self.side(low), self.side(low + 1)) {
            (side, _) if rest == 0 => side,
            (Ordering::Less, Ordering::Greater) => {
                let below = self.nearest_below.distance();
                let above = self.nearest_above.distance();
                ((below + above) * rest).cmp(&(below * WHOLE))
            }
            (Ordering::Less, _) => Ordering::Less,
            (_, high) => high,
        }
    }
}

/// The least distance of a value in the window to a bound: a monotone queue.
///
/// Contains the least distance and those that become the least when it leaves the window: times and
/// distances, both ascending.
#[derive(Debug, Default)]
struct NearestDistance(VecDeque<(EventTime, i128)>);

impl NearestDistance {
    fn add(&mut self, time: EventTime, distance: i128) {
        // A new value is nearly always the newest.
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

    fn forget_through(&mut self, time: EventTime) {
        while self.0.front().is_some_and(|(known, _)| *known <= time) {
            self.0.pop_front();
        }
    }

    fn distance(&self) -> i128 {
        self.0.front().map_or(0, |(_, distance)| *distance)
    }

    fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(EventTime, i128)>()
    }
}
