//! Where a worker keeps its groups: a small index by key, and the groups in chunks that never move.
//!
//! The index holds 20 bytes a group, so that a look-up finds it in the cache; the group itself is
//! touched once. Chunks grow without copying, and a place that is given back is given out again.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use weir_schema::{GroupKey, PlanId, TenantKey};

use super::group::Group;

/// Groups of a chunk: large enough that chunks are few, small enough that the last one wastes little.
const CHUNK: usize = 1024;

/// A group of a plan, by both hashes in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateKey([u64; 2]);

impl StateKey {
    pub fn of(plan: PlanId, group: GroupKey) -> Self {
        Self([group.0[0] ^ plan.0, group.0[1] ^ plan.0.rotate_left(32)])
    }
}

impl std::hash::Hash for StateKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0] ^ self.0[1]);
    }
}

/// Keys are hashes already.
#[derive(Default)]
pub struct KeyHasher(u64);

impl std::hash::Hasher for KeyHasher {
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

/// A place among the groups; it may be given to another group once its own is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u32);

#[cfg(test)]
impl Slot {
    pub fn of(place: u32) -> Self {
        Self(place)
    }
}

/// A group with what it belongs to.
pub struct Keyed {
    pub plan: u32,
    pub tenant: TenantKey,
    pub key: GroupKey,
    pub group: Group,
}

/// All groups of one worker.
#[derive(Default)]
pub struct Groups {
    index: HashMap<StateKey, Slot, BuildHasherDefault<KeyHasher>>,
    chunks: Vec<Vec<Option<Keyed>>>,
    free: Vec<Slot>,
}

impl Groups {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn find(&self, key: StateKey) -> Option<Slot> {
        self.index.get(&key).copied()
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Keyed> {
        let place = slot.0 as usize;
        self.chunks
            .get_mut(place / CHUNK)?
            .get_mut(place % CHUNK)?
            .as_mut()
    }

    /// Keeps a group under a key that no other has.
    pub fn insert(&mut self, key: StateKey, keyed: Keyed) -> Slot {
        if let Some(slot) = self.free.pop() {
            let place = slot.0 as usize;
            self.chunks[place / CHUNK][place % CHUNK] = Some(keyed);
            self.index.insert(key, slot);
            return slot;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        let place = last * CHUNK + self.chunks[last].len();
        // Plans hold at most `GROUPS_MAX` groups each, and memory ends before four thousand million.
        let slot = Slot(u32::try_from(place).unwrap_or(u32::MAX));
        self.chunks[last].push(Some(keyed));
        self.index.insert(key, slot);
        slot
    }

    pub fn remove(&mut self, slot: Slot, plan: PlanId) {
        drop(self.take(slot, plan));
    }

    /// Gives a group of a plan out of what is kept.
    pub fn take(&mut self, slot: Slot, plan: PlanId) -> Option<Keyed> {
        let place = slot.0 as usize;
        let chunk = self.chunks.get_mut(place / CHUNK)?;
        let keyed = chunk.get_mut(place % CHUNK)?.take()?;
        self.index.remove(&StateKey::of(plan, keyed.key));
        self.free.push(slot);
        if self.index.capacity() > 4 * self.index.len().max(CHUNK) {
            self.index.shrink_to(2 * self.index.len());
        }
        Some(keyed)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Keyed)> {
        let places = self.chunks.iter_mut().flatten().enumerate();
        // Chunks but the last are full, so that the count of places is the slot.
        places.filter_map(|(place, keyed)| Some((Slot(place as u32), keyed.as_mut()?)))
    }

    /// Bytes held, without what the allocator adds.
    pub fn bytes(&self) -> usize {
        let heap = |keyed: &Keyed| keyed.group.heap_bytes();
        let held = self
            .chunks
            .iter()
            .flatten()
            .flatten()
            .map(heap)
            .sum::<usize>();
        let chunks = self.chunks.len() * CHUNK * size_of::<Option<Keyed>>();
        held + chunks + self.index.capacity() * (size_of::<(StateKey, Slot)>() + 1)
    }
}
