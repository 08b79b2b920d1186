//! Identities. All are functions of content, so a replay yields the same ones.

use serde::{Deserialize, Serialize};

use crate::time::EventTime;

macro_rules! hash128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u64; 2]);

        impl $name {
            /// The first 128 bits of the hash of `parts`, each preceded by its length.
            #[must_use]
            pub fn of(parts: &[&[u8]]) -> Self {
                let bytes = digest(parts);
                let (high, low) = bytes.split_at(8);
                Self([big_endian(high), big_endian(low)])
            }

            /// Parses 32 hexadecimal digits.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                let (high, low) = text.split_at(16);
                Some(Self([
                    u64::from_str_radix(high, 16).ok()?,
                    u64::from_str_radix(low, 16).ok()?,
                ]))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

macro_rules! hash64 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The first 64 bits of the hash of `parts`, each preceded by its length.
            #[must_use]
            pub fn of(parts: &[&[u8]]) -> Self {
                Self(big_endian(&digest(parts)[..8]))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
    };
}

hash128! {
    /// An event: hash of (tenant, source, event time, raw frame). Equal frames are one event.
    EventId
}
hash128! {
    /// A group: hash of (tenant, group-by fields and their values). Plans with equal group-by
    /// fields share it.
    GroupKey
}
impl GroupKey {
    /// The group of the same fields for events before the settled line, which stand at their time of
    /// receipt. The second word stays: it says which worker holds a group.
    #[must_use]
    pub fn late_twin(self) -> Self {
        let [high, low] = self.0.map(u64::to_le_bytes);
        let twin = Self::of(&[b"late beyond horizon", &high, &low]);
        Self([twin.0[0], self.0[1]])
    }
}

hash128! {
    /// An alert, by the key under which it was first raised: hash of (tenant, rule id, group, first
    /// firing anchor).
    AlertId
}
hash64! {
    /// A tenant, by its name.
    TenantKey
}
hash64! {
    /// A source of a tenant, by both names.
    SourceKey
}
hash64! {
    /// A host that a source names in its events.
    HostKey
}
hash64! {
    /// A plan: a rule from one `since` on, with one selection, grouping and window length.
    PlanId
}
hash64! {
    /// A what-if, by the entry that added it.
    WhatIfId
}
hash64! {
    /// A version of a rule: hash of its text.
    RuleVersion
}

/// The id of a rule, as its author wrote it (Sigma `id`, else `name`, else `title`).
pub type RuleId = std::sync::Arc<str>;

/// Ordinal of a batch in the journal, from 0. Control and seal entries have none.
///
/// In a cluster the upper bits identify the process whose journal holds the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchSeq(pub u64);

impl BatchSeq {
    /// Most processes of a cluster.
    pub const PROCESSES_MAX: usize = 1 << 6;

    /// A [`Position`] holds 48 bits of the ordinal; the upper 6 are the process.
    const PROCESS_SHIFT: u32 = 42;

    /// The batch `local` of the journal of process `process`.
    #[must_use]
    pub const fn of(process: u64, local: u64) -> Self {
        Self(process << Self::PROCESS_SHIFT | local)
    }

    #[must_use]
    pub const fn process(self) -> u64 {
        self.0 >> Self::PROCESS_SHIFT
    }

    /// The ordinal within the journal of its process.
    #[must_use]
    pub const fn local(self) -> u64 {
        self.0 & ((1 << Self::PROCESS_SHIFT) - 1)
    }
}

/// The position of a frame in the journal: its batch and its index in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(pub u64);

impl Position {
    /// Most frames of a batch. More frames are split into several batches.
    pub const FRAMES_MAX: usize = 1 << 16;

    #[must_use]
    pub const fn new(batch: BatchSeq, frame: u16) -> Self {
        Self(batch.0 << 16 | frame as u64)
    }

    #[must_use]
    pub const fn batch(self) -> BatchSeq {
        BatchSeq(self.0 >> 16)
    }

    #[must_use]
    pub const fn frame(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

/// A dataflow time: a counter from 1. A seal entry in the journal closes an epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl EventId {
    /// The id of the event in a frame of a source.
    #[must_use]
    pub fn for_frame(source: SourceKey, time: EventTime, frame: &[u8]) -> Self {
        Self::of(&[&source.0.to_le_bytes(), &time.0.to_le_bytes(), frame])
    }
}

impl AlertId {
    /// The key of the episode of `group` whose first firing anchor is `first`.
    #[must_use]
    pub fn for_episode(tenant: TenantKey, rule: &str, group: &GroupKey, first: EventTime) -> Self {
        Self::of(&[
            &tenant.0.to_le_bytes(),
            rule.as_bytes(),
            &group.0[0].to_le_bytes(),
            &group.0[1].to_le_bytes(),
            &first.0.to_le_bytes(),
        ])
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut out = [0; 16];
    out.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    out
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_separates_parts() {
        assert_ne!(EventId::of(&[b"ab", b"c"]), EventId::of(&[b"a", b"bc"]));
    }

    #[test]
    fn parse_displayed_id() {
        let id = AlertId::of(&[b"x"]);
        assert_eq!(AlertId::parse(&id.to_string()), Some(id));
        assert_eq!(AlertId::parse("+123456789abcdef0123456789abcdef"), None);
    }

    #[test]
    fn position_round_trips_batch_and_frame() {
        let position = Position::new(BatchSeq(77), 65_535);
        assert_eq!((position.batch(), position.frame()), (BatchSeq(77), 65_535));
        let far = BatchSeq::of(63, (1 << 42) - 1);
        let batch = Position::new(far, 65_535).batch();
        assert_eq!((batch.process(), batch.local()), (63, far.local()));
        assert_eq!(BatchSeq::of(0, 77), BatchSeq(77));
    }
}
