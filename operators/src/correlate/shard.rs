//! Shards: the parts into which the groups of a plan are divided, each on one worker.

use weir_schema::GroupKey;

/// The number of shards.
///
/// The limit on groups is enforced per shard: then it has the same effect on any number of workers.
pub const SHARDS: usize = 64;

/// The shard of a group.
pub fn shard_of(group: &GroupKey) -> usize {
    (group.0[1] % SHARDS as u64) as usize
}

/// The hash that routes the facts of a group to a worker.
#[must_use]
pub fn route(group: &GroupKey) -> u64 {
    shard_of(group) as u64
}
