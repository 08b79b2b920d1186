//! The weight of a line: the number of events for which it stands.

use serde::{Deserialize, Serialize};

/// The number of events for which one line stands, from 1 to [`Weight::MAX`].
///
/// A logger that drops repeats writes one line for all of them. Counts and sums use the weight;
/// distinct values and order do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Weight(u16);

impl Weight {
    /// The weight of a line that stands for itself.
    pub const ONE: Self = Self(1);

    /// Largest weight. A larger number is more likely forged than counted, and one line must not
    /// decide every threshold.
    pub const MAX: Self = Self(10_000);

    /// The weight of a line for `count` events, within the bounds.
    #[must_use]
    pub const fn of(count: u64) -> Self {
        match count {
            0 => Self::ONE,
            1..=10_000 => Self(count as u16),
            _ => Self::MAX,
        }
    }

    #[must_use]
    pub const fn get(self) -> u64 {
        self.0 as u64
    }

    /// The number of events beside the first.
    #[must_use]
    pub const fn extra(self) -> u64 {
        self.get().saturating_sub(1)
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_stays_within_its_bounds() {
        let cases = [(0, 1), (1, 1), (2, 2), (10_000, 10_000), (10_001, 10_000)];
        for (count, weight) in cases {
            assert_eq!(Weight::of(count).get(), weight);
            assert_eq!(Weight::of(count).extra(), weight - 1);
        }
        assert_eq!(Weight::of(u64::MAX), Weight::MAX);
        assert_eq!(Weight::default(), Weight::ONE);
    }
}
