//! Updates that one stage of a chain sends to the stages behind it.

use weir_schema::{Cause, Fact, GroupLink};

use super::shard::route;

/// An update from an earlier stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum StageUpdate {
    /// The group to which a group reports, then the group to which that one reports, and so on;
    /// never empty.
    Links(Vec<GroupLink>),
    Fact {
        stage: u8,
        fact: Fact,
        /// How often the fact is added; below zero, how often it is retracted.
        times: isize,
        cause: Cause,
    },
}

impl StageUpdate {
    /// The stage that receives it.
    #[must_use]
    pub fn stage(&self) -> u8 {
        match self {
            Self::Links(links) => links.first().map_or(0, |link| link.stage),
            Self::Fact { stage, .. } => *stage,
        }
    }

    /// The hash that routes it to the worker of its group.
    #[must_use]
    pub fn route(&self) -> u64 {
        match self {
            Self::Links(links) => links.first().map_or(0, |link| route(&link.group)),
            Self::Fact { fact, .. } => route(&fact.group),
        }
    }
}
