//! One group of one plan: its events, its episodes, and summaries of the settled ones.
//!
//! ```text
//!   forgotten │ window of the       │ settled line A            W
//!             │ earliest open anchor│
//!  ───────────┼─────────────────────┼──────────────●──●───●─────●──────► event time
//!             A - w                 A              anchors that an event may still change
//!  ◄─ summary of the last episode ──►
//! ```
//!
//! **Invariant.** Anchors before `frozen` never change again: no event before it is admitted.
//! Windows of later anchors reach back to `frozen - w`. Entries before that can be forgotten once
//! the part of each episode before `frozen` is summarized.
//!
//! **Cost.** An epoch re-evaluates only the anchors whose windows its events touch, and the
//! episodes around them. Memory is the events of one timespan before the settled line and of all
//! times after it, and one summary per episode that reaches into that time.

mod evaluate;
mod forget;

use weir_schema::{AlertState, EventTime, SourceKey};

use super::chain_state::ChainState;
use super::condition::WindowCondition;
use super::episode::Episode;
use super::pending::{BlindAlert, PendingAlerts};
use super::range::TimeRange;
use super::run::{EventRun, GroupRuns, RunEntry};
use super::window_cache::WindowCache;

/// A condition, and the last anchor that can be concluded by now.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'c> {
    pub condition: &'c WindowCondition,
    /// Anchors after this time do not fire yet.
    pub conclude_to: EventTime,
}

/// Buffers that one group after another uses.
#[derive(Debug, Default)]
pub struct EvaluationBuffers {
    times: Vec<EventTime>,
    changed: Vec<TimeRange>,
    firing: Vec<EventTime>,
}

impl EvaluationBuffers {
    /// Whether the group evaluated last received an event of this time.
    pub fn received(&self, time: EventTime) -> bool {
        self.times.contains(&time)
    }
}

/// The state of one group.
#[derive(Debug)]
pub struct Group {
    /// Events that are anchors and are counted.
    pub anchors: EventRun,
    /// Events that only a negation reads.
    pub negated: EventRun,
    /// The window of the newest anchor, where it is worth caching.
    pub cache: WindowCache,
    /// In order of time, not overlapping, further apart than the timespan.
    pub episodes: Vec<Episode>,
    /// Anchors before it never change again.
    pub frozen: EventTime,
    /// Whether the group is in the list of those that this epoch touched.
    pub touched: bool,
    /// Whether the calendar knows the time at which it can next forget something.
    pub scheduled: bool,
    /// Present if the plan reads from other plans, or reports to one.
    pub chain: Option<Box<ChainState>>,
}

impl Group {
    pub fn new(frozen: EventTime) -> Self {
        Self {
            anchors: EventRun::default(),
            negated: EventRun::default(),
            cache: WindowCache::default(),
            episodes: Vec::new(),
            frozen,
            touched: false,
            scheduled: false,
            chain: None,
        }
    }

    /// Copies the events and episodes, between epochs.
    pub fn copy(&self) -> Self {
        Self {
            anchors: self.anchors.copy(),
            negated: self.negated.copy(),
            cache: WindowCache::default(),
            episodes: self.episodes.clone(),
            ..Self::new(self.frozen)
        }
    }

    pub fn push(&mut self, entry: RunEntry, condition: &WindowCondition) {
        if condition.is_anchor(&entry) {
            self.anchors.push(entry);
        } else {
            self.negated.push(entry);
        }
    }

    pub fn runs(&self) -> GroupRuns<'_> {
        GroupRuns {
            anchors: &self.anchors,
            negated: &self.negated,
        }
    }

    /// The source of the event whose silence is concluded at `anchor`.
    pub fn source_at(&self, anchor: EventTime) -> Option<SourceKey> {
        let last = self.anchors.count_through(anchor).checked_sub(1)?;
        let entry = self.anchors.entries().get(last);
        let entry = entry.filter(|entry| entry.time == anchor)?;
        Some(SourceKey(entry.mark.0[0]))
    }

    /// The emitted alerts that are not final.
    pub fn pending_alerts(&self) -> PendingAlerts {
        let mut pending = PendingAlerts::default();
        for episode in &self.episodes {
            match episode.row().map(|row| row.state) {
                Some(AlertState::Provisional) => pending.provisional.push(episode.from),
                Some(AlertState::Blind) => {
                    let until = episode.to;
                    let source = self.source_at(until);
                    pending
                        .blind
                        .extend(source.map(|source| BlindAlert { source, until }));
                }
                Some(AlertState::Confirmed | AlertState::SupersededBy(_)) | None => {}
            }
        }
        pending
    }

    /// Whether the group has no state to retain.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty() && self.negated.is_empty() && self.episodes.is_empty()
    }

    /// Approximate bytes on the heap: entries, episodes and their evidence.
    pub fn heap_bytes(&self) -> usize {
        let episodes = self.episodes.capacity() * size_of::<Episode>();
        let chain = self.chain.as_ref().map_or(0, |chain| chain.heap_bytes());
        let runs = self.anchors.heap_bytes() + self.negated.heap_bytes();
        runs + self.cache.heap_bytes() + episodes + chain
    }
}
