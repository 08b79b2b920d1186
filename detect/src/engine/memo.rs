//! A bounded memo of values: most values in logs repeat.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// The limits of a memo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoLimits {
    /// Maximum length of a value that is remembered.
    pub value_bytes: usize,
    /// Maximum size of all values; then the memo is cleared. Below 4 GiB.
    pub arena_bytes: usize,
}

/// Number of slots of a new memo. A power of two.
const SLOTS_MIN: usize = 64;

/// Number of lookups after which the share of hits is checked.
const TRIAL_LOOKUPS: u32 = 4096;

/// The minimum share of hits is one in this number. Below it the memo pauses.
const HITS_MIN_SHARE: u32 = 8;

/// Number of values that a pause skips, since remembering them costs more than it saves.
const PAUSE_VALUES: u32 = 65_536;

/// The result of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoLookup {
    Known(u32),
    /// Not known. Pass this hash to [`Memo::insert`].
    Unknown(u64),
    /// Not known, and not to be inserted.
    Uncached,
}

/// A slot is empty if `at` is 0. The arena starts with an unused byte, so no entry is at 0.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tag: u32,
    at: u32,
}

/// A map from values to numbers: open addressing over an arena of entries.
///
/// An entry is the number, the length and the bytes of a value.
#[derive(Debug)]
pub(crate) struct Memo {
    limits: MemoLimits,
    slots: Vec<Slot>,
    arena: Vec<u8>,
    entries: usize,
    hasher: RandomState,
    lookups: u32,
    hits: u32,
    pause: u32,
}

/// Length of an entry's number and length.
const HEAD: usize = 8;

impl Memo {
    pub(crate) fn new(limits: MemoLimits) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            arena: vec![0],
            entries: 0,
            // The random seed keeps senders from choosing values that collide. It affects speed only.
            hasher: RandomState::default(),
            lookups: 0,
            hits: 0,
            pause: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.arena.capacity() + self.slots.capacity() * size_of::<Slot>()
    }

    pub(crate) fn get(&mut self, value: &[u8]) -> MemoLookup {
        if value.len() > self.limits.value_bytes {
            return MemoLookup::Uncached;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return MemoLookup::Uncached;
        }
        self.lookups += 1;
        if self.lookups == TRIAL_LOOKUPS {
            self.pause = if self.hits < TRIAL_LOOKUPS / HITS_MIN_SHARE {
                PAUSE_VALUES
            } else {
                0
            };
            (self.lookups, self.hits) = (0, 0);
        }
        let hash = self.hasher.hash_one(value);
        match self.find(hash, value) {
            Some(number) => {
                self.hits += 1;
                MemoLookup::Known(number)
            }
            None => MemoLookup::Unknown(hash),
        }
    }

    fn find(&self, hash: u64, value: &[u8]) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let tag = (hash >> 32) as u32;
        let mut place = hash as usize & mask;
        loop {
            let slot = self.slots.get(place)?;
            if slot.at == 0 {
                return None;
            }
            if slot.tag == tag {
                let entry = self.arena.get(slot.at as usize..)?;
                let (number, rest) = entry.split_first_chunk::<4>()?;
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let length = u32::from_le_bytes(*length) as usize;
                if length == value.len() && rest.get(..length) == Some(value) {
                    return Some(u32::from_le_bytes(*number));
                }
            }
            place = (place + 1) & mask;
        }
    }

    /// Inserts a value that [`Memo::get`] did not know.
    ///
    /// Returns false if there was no room. Then the memo is cleared, and its numbers are unused.
    pub(crate) fn insert(&mut self, hash: u64, value: &[u8], number: u32) -> bool {
        if self.arena.len() + HEAD + value.len() > self.limits.arena_bytes {
            self.clear();
            return false;
        }
        // At most half of the slots are in use, so every search ends, and soon.
        if self.entries * 2 >= self.slots.len() {
            self.grow();
        }
        let at = self.arena.len() as u32; // The limit is below 4 GiB.
        self.arena.extend_from_slice(&number.to_le_bytes());
        self.arena
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.arena.extend_from_slice(value);
        self.fill_slot(hash, at);
        self.entries += 1;
        true
    }

    fn fill_slot(&mut self, hash: u64, at: u32) {
        let mask = self.slots.len() - 1;
        let mut place = hash as usize & mask;
        while self.slots[place].at != 0 {
            place = (place + 1) & mask;
        }
        let tag = (hash >> 32) as u32;
        self.slots[place] = Slot { tag, at };
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        for slot in old.into_iter().filter(|slot| slot.at != 0) {
            let entry = &self.arena[slot.at as usize..];
            let length = entry[4..HEAD].iter().rev();
            let length = length.fold(0usize, |n, byte| n << 8 | usize::from(*byte));
            let hash = self.hasher.hash_one(&entry[HEAD..HEAD + length]);
            self.fill_slot(hash, slot.at);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
        self.arena = vec![0];
        self.entries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: MemoLimits = MemoLimits {
        value_bytes: 1_024,
        arena_bytes: 1 << 20,
    };

    proptest! {
        #[test]
        fn a_memo_returns_what_was_inserted(values in proptest::collection::vec(".{0,12}", 1..600)) {
            let mut memo = Memo::new(LIMITS);
            let mut known = std::collections::HashMap::new();
            for (number, value) in (0..).zip(&values) {
                let value = value.as_bytes();
                match memo.get(value) {
                    MemoLookup::Known(found) => prop_assert_eq!(Some(&found), known.get(value)),
                    MemoLookup::Unknown(hash) => {
                        prop_assert!(!known.contains_key(value));
                        prop_assert!(memo.insert(hash, value, number));
                        known.insert(value, number);
                    }
                    MemoLookup::Uncached => prop_assert!(false, "no value is too long here"),
                }
            }
        }
    }

    #[test]
    fn a_full_memo_is_cleared() {
        let mut memo = Memo::new(LIMITS);
        let mut full = 0;
        for n in 0..5_000u32 {
            let value = format!("{n:0>1000}");
            if let MemoLookup::Unknown(hash) = memo.get(value.as_bytes()) {
                full += u32::from(!memo.insert(hash, value.as_bytes(), n));
            }
            assert!(memo.bytes() <= 4 * LIMITS.arena_bytes);
        }
        assert!(full > 0);
    }
}
