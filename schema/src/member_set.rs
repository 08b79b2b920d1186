//! The members of a plan that an event matched, one bit for each.

use serde::{Deserialize, Serialize};

/// A set of members of a plan, by their index.
///
/// An event that matches many members of a plan is one fact with this set, so its cost does not
/// grow with their number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct MemberSet(pub u64);

impl MemberSet {
    /// Number of members that a set can tell apart: the bits of its number.
    pub const LEN_MAX: usize = 64;

    /// The set of one member, whose index is below [`Self::LEN_MAX`].
    #[must_use]
    pub const fn of(member: u16) -> Self {
        Self(1 << (member as usize % Self::LEN_MAX))
    }

    #[must_use]
    pub const fn has(self, member: u16) -> bool {
        self.0 & Self::of(member).0 != 0
    }

    pub const fn add(&mut self, member: u16) {
        self.0 |= Self::of(member).0;
    }

    /// The number of members.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The members in order.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        (0..Self::LEN_MAX as u16).filter(move |member| self.has(*member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_members_that_were_added() {
        let mut set = MemberSet::of(63);
        set.add(0);
        set.add(5);
        set.add(5);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!(set.count(), 3);
        assert!(set.has(5) && !set.has(4));
        assert_eq!(MemberSet::default().iter().next(), None);
    }
}
