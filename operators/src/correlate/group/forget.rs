//! Settling and forgetting: what lies behind the settled line is summarized, then dropped.

use std::sync::Arc;

use weir_schema::{AlertRow, EventTime, Evidence};

use super::Group;
use crate::correlate::condition::WindowCondition;
use crate::correlate::episode::{Episode, EpisodeSummary};
use crate::correlate::evidence::{EvidenceHead, extend_evidence};
use crate::correlate::fault::{self, PlantedFault};

/// The content of an episode up to one of its firing anchors.
pub struct EpisodeMeasure {
    pub summary: EpisodeSummary,
    /// The place of its first member in the run.
    pub low_hint: usize,
}

impl Group {
    /// Summarizes the part of each episode before `line`, which is never evaluated again.
    pub fn freeze(&mut self, line: EventTime, condition: &WindowCondition) {
        if line <= self.frozen {
            return;
        }
        for place in 0..self.episodes.len() {
            let episode = &self.episodes[place];
            if episode.from >= line {
                break;
            }
            let last = self.last_before(episode, line, condition);
            let known = episode
                .summary
                .as_ref()
                .is_some_and(|summary| summary.last >= last);
            if !known && !fault::active(PlantedFault::LostSummary) {
                let summary = self.measure(episode, last, condition).summary;
                self.episodes[place].summary = Some(Box::new(summary));
            }
        }
        self.frozen = line;
    }

    /// The rows of the episodes that [`Group::forget`] will drop.
    pub fn rows_to_forget(&self, condition: &WindowCondition) -> Vec<Arc<AlertRow>> {
        let line = self.frozen.minus(condition.timespan);
        let ended = self.episodes.iter().filter(|episode| episode.to < line);
        ended.filter_map(|episode| episode.row().cloned()).collect()
    }

    /// Forgets the events and episodes that no anchor at or after `frozen` can see.
    ///
    /// Nothing is retracted: the emitted alerts stand.
    pub fn forget(&mut self, condition: &WindowCondition) {
        let mut line = self.frozen.minus(condition.timespan);
        self.episodes.retain(|episode| episode.to >= line);
        if fault::active(PlantedFault::FactsOnlyToLine) {
            line = self.frozen;
        }
        self.cache.forget_before(line);
        let forgotten = self.anchors.forget_before(line);
        for episode in &mut self.episodes {
            episode.low_hint = episode.low_hint.saturating_sub(forgotten);
        }
        self.negated.forget_before(line);
        if let Some(chain) = &mut self.chain {
            chain.forget_before(self.frozen);
        }
    }

    /// Measures `episode` up to its firing anchor `to`: first event, count and evidence.
    pub fn measure(
        &self,
        episode: &Episode,
        to: EventTime,
        condition: &WindowCondition,
    ) -> EpisodeMeasure {
        let entries = self.anchors.entries();
        let high = self.anchors.count_through(to);
        let Some(settled) = &episode.summary else {
            let start = condition.members_from(episode.from);
            let low = self.anchors.count_before_near(start, episode.low_hint);
            let members = &entries[low..high];
            let row = episode.row().filter(|_| condition.additive);
            let summary = EpisodeSummary {
                first: members.first().map_or(episode.from, |entry| entry.time),
                last: to,
                count: self.anchors.weight(low..high),
                evidence: extend_evidence(EvidenceHead::reuse(members, row), &[], members),
                marked: self.anchors.first_marked(low, high),
            };
            return EpisodeMeasure {
                summary,
                low_hint: low,
            };
        };
        let after = settled.last.next();
        let low = self.anchors.count_before_near(after, episode.low_hint);
        let low = low.min(high);
        let members = &entries[low..high];
        let Evidence { head, tail } = &settled.evidence;
        let head = EvidenceHead {
            items: head.clone(),
            entries: 0,
        };
        let forgets = fault::active(PlantedFault::MarkForgotten);
        let known_mark = settled.marked.filter(|_| !forgets);
        let summary = EpisodeSummary {
            first: settled.first,
            last: to,
            count: settled.count + self.anchors.weight(low..high),
            evidence: extend_evidence(head, tail, members),
            marked: known_mark.or_else(|| self.anchors.first_marked(low, high)),
        };
        EpisodeMeasure {
            summary,
            low_hint: low,
        }
    }
}
