//! Verdicts by value, for as long as there is room: most values in logs have been seen before.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// What a memo holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Longer values are looked at anew.
    pub value_bytes: usize,
    /// When the values take more, the memo begins anew; below 4 GiB.
    pub arena_bytes: usize,
}

/// Slots of a new memo; a power of two.
const SLOTS_MIN: usize = 64;

/// Of so many lookups at least one in [`HITS_MIN_SHARE`] must have been remembered, else the next
/// [`REST`] values are not looked up: remembering them would only cost.
const TRIAL: u32 = 4096;
const HITS_MIN_SHARE: u32 = 8;
const REST: u32 = 65_536;

/// What a memo says of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    Verdict(u32),
    /// Not known; [`Memo::keep`] with this mark remembers it.
    Unknown(u64),
    /// Not known, and not to be remembered.
    Unkept,
}

/// A slot is empty where `at` is 0; the arena begins with a byte that is no entry.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tag: u32,
    at: u32,
}

/// Open addressing over an arena of entries, each verdict, length and bytes.
#[derive(Debug)]
pub(crate) struct Memo {
    limits: Limits,
    slots: Vec<Slot>,
    arena: Vec<u8>,
    entries: usize,
    hasher: RandomState,
    lookups: u32,
    hits: u32,
    resting: u32,
}

const HEAD: usize = 8;

impl Memo {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            arena: vec![0],
            entries: 0,
            // Its seed bears on speed alone, and keeps senders from choosing values that collide.
            hasher: RandomState::default(),
            lookups: 0,
            hits: 0,
            resting: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.arena.capacity() + self.slots.capacity() * size_of::<Slot>()
    }

    pub(crate) fn get(&mut self, value: &[u8]) -> Remembered {
        if value.len() > self.limits.value_bytes {
            return Remembered::Unkept;
        }
        if self.resting > 0 {
            self.resting -= 1;
            return Remembered::Unkept;
        }
        self.lookups += 1;
        if self.lookups == TRIAL {
            self.resting = if self.hits < TRIAL / HITS_MIN_SHARE {
                REST
            } else {
                0
            };
            (self.lookups, self.hits) = (0, 0);
        }
        let hash = self.hasher.hash_one(value);
        match self.find(hash, value) {
            Some(verdict) => {
                self.hits += 1;
                Remembered::Verdict(verdict)
            }
            None => Remembered::Unknown(hash),
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
                let (verdict, rest) = entry.split_first_chunk::<4>()?;
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let length = u32::from_le_bytes(*length) as usize;
                if length == value.len() && rest.get(..length) == Some(value) {
                    return Some(u32::from_le_bytes(*verdict));
                }
            }
            place = (place + 1) & mask;
        }
    }

    /// Remembers the verdict of a value that [`Memo::get`] did not know. False where there was no
    /// room: then it is empty, and what its verdicts stand for may go.
    pub(crate) fn keep(&mut self, hash: u64, value: &[u8], verdict: u32) -> bool {
        if self.arena.len() + HEAD + value.len() > self.limits.arena_bytes {
            self.forget();
            return false;
        }
        // At most half of the slots are taken, so that a search ends soon, and ends.
        if self.entries * 2 >= self.slots.len() {
            self.grow();
        }
        let at = self.arena.len() as u32; // Below 4 GiB, as the limit is.
        self.arena.extend_from_slice(&verdict.to_le_bytes());
        self.arena
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.arena.extend_from_slice(value);
        self.insert(hash, at);
        self.entries += 1;
        true
    }

    fn insert(&mut self, hash: u64, at: u32) {
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
            self.insert(hash, slot.at);
        }
    }

    pub(crate) fn forget(&mut self) {
        self.slots = Vec::new();
        self.arena = vec![0];
        self.entries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        value_bytes: 1_024,
        arena_bytes: 1 << 20,
    };

    proptest! {
        /// What is remembered is what was kept, whatever else was.
        #[test]
        fn a_memo_is_a_map(values in proptest::collection::vec(".{0,12}", 1..600)) {
            let mut memo = Memo::new(LIMITS);
            let mut known = std::collections::HashMap::new();
            for (verdict, value) in (0..).zip(&values) {
                let value = value.as_bytes();
                match memo.get(value) {
                    Remembered::Verdict(found) => prop_assert_eq!(Some(&found), known.get(value)),
                    Remembered::Unknown(hash) => {
                        prop_assert!(!known.contains_key(value));
                        prop_assert!(memo.keep(hash, value, verdict));
                        known.insert(value, verdict);
                    }
                    Remembered::Unkept => prop_assert!(false, "nothing is too long here"),
                }
            }
        }
    }

    #[test]
    fn a_full_memo_begins_anew() {
        let mut memo = Memo::new(LIMITS);
        let mut full = 0;
        for n in 0..5_000u32 {
            let value = format!("{n:0>1000}");
            if let Remembered::Unknown(hash) = memo.get(value.as_bytes()) {
                full += u32::from(!memo.keep(hash, value.as_bytes(), n));
            }
            assert!(memo.bytes() <= 4 * LIMITS.arena_bytes);
        }
        assert!(full > 0);
    }
}
