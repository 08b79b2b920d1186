//! The groups of one worker: a small index by key, and the groups in chunks that never move.
//!
//! The index takes 20 bytes per group, so a look-up stays in the cache and the group itself is
//! touched once. Chunks grow without copying, and a freed slot is reused.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use weir_schema::{GroupKey, PlanId, TenantKey};

use super::group::Group;
use super::slots::{GroupSlot, PlanSlot};

/// Groups per chunk: large enough for few chunks, small enough that the last one wastes little.
const CHUNK: usize = 1024;

/// The key of a group of a plan: both hashes in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateKey([u64; 2]);

impl StateKey {
    pub fn new(plan: PlanId, group: GroupKey) -> Self {
        Self([group.0[0] ^ plan.0, group.0[1] ^ plan.0.rotate_left(32)])
    }
}

impl std::hash::Hash for StateKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0] ^ self.0[1]);
    }
}

/// Passes keys through: they are hashes already.
#[derive(Default)]
pub struct StateKeyHasher(u64);

impl std::hash::Hasher for StateKeyHasher {
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

/// A group, and the plan, tenant and key that it belongs to.
pub struct GroupRecord {
    pub plan: PlanSlot,
    pub tenant: TenantKey,
    pub key: GroupKey,
    pub group: Group,
}

/// All groups of one worker.
#[derive(Default)]
pub struct GroupStore {
    index: HashMap<StateKey, GroupSlot, BuildHasherDefault<StateKeyHasher>>,
    chunks: Vec<Vec<Option<GroupRecord>>>,
    free: Vec<GroupSlot>,
}

impl GroupStore {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn find(&self, key: StateKey) -> Option<GroupSlot> {
        self.index.get(&key).copied()
    }

    pub fn get_mut(&mut self, slot: GroupSlot) -> Option<&mut GroupRecord> {
        let place = slot.0 as usize;
        self.chunks
            .get_mut(place / CHUNK)?
            .get_mut(place % CHUNK)?
            .as_mut()
    }

    /// Stores a group under a key that no other group has.
    pub fn insert(&mut self, key: StateKey, record: GroupRecord) -> GroupSlot {
        if let Some(slot) = self.free.pop() {
            let place = slot.0 as usize;
            self.chunks[place / CHUNK][place % CHUNK] = Some(record);
            self.index.insert(key, slot);
            return slot;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        let place = last * CHUNK + self.chunks[last].len();
        // A plan has at most `GROUPS_MAX` groups, and memory ends before four thousand million.
        let slot = GroupSlot(u32::try_from(place).unwrap_or(u32::MAX));
        self.chunks[last].push(Some(record));
        self.index.insert(key, slot);
        slot
    }

    pub fn remove(&mut self, slot: GroupSlot, plan: PlanId) {
        drop(self.take(slot, plan));
    }

    /// Removes a group of `plan` and returns it.
    pub fn take(&mut self, slot: GroupSlot, plan: PlanId) -> Option<GroupRecord> {
        let place = slot.0 as usize;
        let chunk = self.chunks.get_mut(place / CHUNK)?;
        let record = chunk.get_mut(place % CHUNK)?.take()?;
        self.index.remove(&StateKey::new(plan, record.key));
        self.free.push(slot);
        if self.index.capacity() > 4 * self.index.len().max(CHUNK) {
            self.index.shrink_to(2 * self.index.len());
        }
        Some(record)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (GroupSlot, &mut GroupRecord)> {
        let places = self.chunks.iter_mut().flatten().enumerate();
        // All chunks but the last are full, so the running count is the slot.
        places.filter_map(|(place, record)| Some((GroupSlot(place as u32), record.as_mut()?)))
    }

    /// The slots of all groups of a plan.
    pub fn slots_of(&mut self, plan: PlanSlot) -> Vec<GroupSlot> {
        let mine = self.iter_mut().filter(|(_, record)| record.plan == plan);
        mine.map(|(slot, _)| slot).collect()
    }

    /// Bytes in use, without the overhead of the allocator.
    pub fn bytes(&self) -> usize {
        let records = self.chunks.iter().flatten().flatten();
        let groups: usize = records.map(|record| record.group.heap_bytes()).sum();
        let chunks = self.chunks.len() * CHUNK * size_of::<Option<GroupRecord>>();
        groups + chunks + self.index.capacity() * (size_of::<(StateKey, GroupSlot)>() + 1)
    }
}
