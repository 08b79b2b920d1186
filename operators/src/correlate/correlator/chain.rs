//! The intake of updates from earlier stages of a chain.

use weir_schema::{Cause, Fact};

use super::{Correlator, clock_of};
use crate::correlate::group_store::StateKey;
use crate::correlate::output::CorrelatorOutput;
use crate::correlate::stage_update::StageUpdate;

impl Correlator {
    /// Applies the reports, retractions and links from earlier stages.
    pub(super) fn admit_upstream(
        &mut self,
        upstream: &[StageUpdate],
        output: &mut CorrelatorOutput,
    ) {
        let mine = upstream.iter().filter(|one| one.stage() == self.stage);
        let mut sorted: Vec<&StageUpdate> = mine.collect();
        // Links sort before facts, but belong to groups that the facts create.
        sorted.sort_unstable();
        let facts = sorted.iter().filter_map(|update| match update {
            StageUpdate::Links(_) => None,
            StageUpdate::Fact {
                fact, times, cause, ..
            } => Some((fact, *times, *cause)),
        });
        let mut facts = facts.peekable();
        while let Some((fact, mut times, mut cause)) = facts.next() {
            while let Some((_, more, other)) = facts.next_if(|(same, ..)| *same == fact) {
                times += more;
                cause = cause.min(other);
            }
            self.admit_report(fact, times, cause, output);
        }
        for update in sorted {
            let StageUpdate::Links(links) = update else {
                continue;
            };
            let key = links
                .first()
                .map(|link| StateKey::new(link.plan, link.group));
            let place = key.and_then(|key| self.groups.find(key));
            if let Some(record) = place.and_then(|place| self.groups.get_mut(place)) {
                let chain = record.group.chain.get_or_insert_default();
                if chain.links.is_empty() {
                    chain.links.clone_from(links);
                }
            }
        }
    }

    /// Adds a fact to its group `times` times, or retracts it where `times` is below zero.
    fn admit_report(
        &mut self,
        fact: &Fact,
        times: isize,
        cause: Cause,
        output: &mut CorrelatorOutput,
    ) {
        let Some(slot) = self.plans.slot(fact.plan) else {
            return; // The plan was removed.
        };
        let Some(plan) = self.plans.get(slot) else {
            return;
        };
        let now = self.clock_for(slot, clock_of(&self.clocks, fact.tenant));
        if fact.time < now.settled || fact.time >= plan.plan.until {
            return;
        }
        let Some(entry) = plan.condition.reported_entry(fact) else {
            return; // Unreachable: a report has a member.
        };
        for _ in 0..times.max(0) {
            let entries = std::iter::once(entry);
            self.push_entries(slot, fact, entries, &now, &mut output.counts);
        }
        let key = StateKey::new(fact.plan, fact.group);
        let Some(place) = self.groups.find(key) else {
            return; // The group was refused when the fact was added.
        };
        let Some(record) = self.groups.get_mut(place) else {
            return;
        };
        let chain = record.group.chain.get_or_insert_default();
        let retracted = times.min(0).unsigned_abs();
        chain
            .retracted
            .extend(std::iter::repeat_n(entry, retracted));
        chain.cause = Some(chain.cause.map_or(cause, |known| known.min(cause)));
        if !record.group.touched {
            record.group.touched = true;
            self.touched.push(place);
        }
    }
}
