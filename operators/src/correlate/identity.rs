//! What an episode is called and how it is said: alert ids, rows, and what is taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{
    AlertId, AlertRow, AlertState, Cause, Epoch, EventTime, Evidence, GroupKey, Hearer, SourceKey,
    TenantKey,
};

use super::Output;
use super::episode::{Episode, Said};
use super::fault::{self, Fault};
use super::group::Group;
use super::plans::Running;
use crate::clock::Clock;

/// Says what changed in one group in one epoch.
pub struct Speaker<'s> {
    pub running: &'s Running,
    pub group: GroupKey,
    pub tenant: TenantKey,
    pub epoch: Epoch,
    pub clock: Clock,
    pub heard: &'s Heard,
    pub cause: Cause,
    pub output: &'s mut Output,
}

/// How far each source has been heard to tell, where some plan asks.
pub type Heard = BTreeMap<SourceKey, i64>;

/// What the alerts of a group wait for.
#[derive(Debug, Default)]
pub struct Waits {
    /// First anchors of those that the watermark will confirm.
    pub provisional: Vec<i64>,
    /// Sources of those that are blind, and how far they are to be heard.
    pub blind: Vec<(SourceKey, i64)>,
}

impl Speaker<'_> {
    /// Takes back alerts whose episodes are gone.
    pub fn take_back(&mut self, gone: &mut Vec<Said>) {
        for said in gone.drain(..) {
            // What a what-if takes back is no retraction of the alert of that name.
            if !matches!(self.running.plan.hearer, Hearer::WhatIf(_)) {
                self.output.retractions.push((said.alert, self.cause));
            }
            if fault::active(Fault::DroppedRetraction) {
                continue;
            }
            for row in said.taken_back.into_iter().chain(said.row) {
                self.output.rows.push((row, -1));
            }
        }
    }

    /// Says what changed of the episodes that reach into `[from, to]`. Returns what they wait for.
    pub fn say(&mut self, group: &mut Group, from: i64, to: i64) -> Waits {
        if matches!(self.running.plan.hearer, Hearer::Plan(_)) {
            return Waits::default(); // It is said to another plan, by `chain.rs`.
        }
        let low = group.episodes.partition_point(|episode| episode.to < from);
        let high = low + group.episodes[low..].partition_point(|episode| episode.from <= to);
        let mut waits = Waits::default();
        for place in low..high {
            self.name(group, place);
        }
        for place in low..high {
            let (row, low) = self.row(group, &group.episodes[place]);
            group.episodes[place].low_hint = low;
            // Silences are further apart than their timespan: each is an episode of one anchor.
            let from = group.episodes[place].from;
            match row.state {
                AlertState::Provisional => waits.provisional.push(from),
                // What is settled will not be looked at again.
                AlertState::Blind if from >= self.clock.settled.0 => {
                    let source = source_at(group, from);
                    waits.blind.extend(source.map(|source| (source, from)));
                }
                AlertState::Blind => {}
                AlertState::Confirmed | AlertState::SupersededBy(_) => {}
            }
            let Some(said) = &mut group.episodes[place].said else {
                continue;
            };
            for swallowed in said.taken_back.drain(..) {
                self.output.rows.push((swallowed, -1));
            }
            if said.row.as_ref().is_some_and(|old| alike(old, &row)) {
                continue;
            }
            let row = Arc::new(row);
            said.from = from;
            if let Some(old) = said.row.replace(Arc::clone(&row)) {
                self.output.rows.push((old, -1));
            }
            self.output.rows.push((row, 1));
        }
        waits
    }

    /// Gives the episode at `place` an alert of its own, unless it has one.
    fn name(&mut self, group: &mut Group, place: usize) {
        if group.episodes[place].said.is_some() {
            return;
        }
        let mut alert = self.key_of(&group.episodes[place]);
        for said in group
            .episodes
            .iter_mut()
            .filter_map(|episode| episode.said.as_mut())
        {
            // A part that splits off again under its old name is no longer swallowed.
            said.supersedes.retain(|id| *id != alert);
        }
        let taken = |alert: AlertId| {
            let said = group
                .episodes
                .iter()
                .filter_map(|episode| episode.said.as_ref());
            said.into_iter().any(|said| said.alert == alert)
        };
        while taken(alert) {
            // The earlier part of a split keeps the name that would be this one's.
            alert = AlertId::of(&[&alert.0[0].to_le_bytes(), &alert.0[1].to_le_bytes()]);
        }
        group.episodes[place].said = Some(Said {
            from: group.episodes[place].from,
            alert,
            named: group.episodes[place].from,
            raised: self.epoch,
            supersedes: Vec::new(),
            row: None,
            taken_back: Vec::new(),
        });
    }

    fn key_of(&self, episode: &Episode) -> AlertId {
        let first = EventTime(episode.from.saturating_sub(self.running.condition.delay));
        AlertId::of_episode(self.tenant, &self.running.plan.rule, &self.group, first)
    }

    fn row(&self, group: &Group, episode: &Episode) -> (AlertRow, usize) {
        let plan = &self.running.plan;
        let condition = &self.running.condition;
        let (measure, low) = group.measure(episode, episode.to, condition);
        let said = episode.said.as_ref();
        let unmoved = said.filter(|said| said.from == episode.from);
        let key = unmoved
            .and_then(|said| said.row.as_ref())
            .map_or_else(|| self.key_of(episode), |row| row.key);
        let row = AlertRow {
            alert: said.map_or(key, |said| said.alert),
            key,
            plan: plan.id,
            placed: self.running.placed,
            version: self.running.version(self.tenant, episode.to),
            tenant: self.tenant,
            group: self.group,
            state: self.state(group, episode),
            from: EventTime(episode.from.saturating_sub(condition.delay)),
            first: EventTime(measure.first.saturating_sub(condition.delay)),
            last: EventTime(measure.last.saturating_sub(condition.delay)),
            count: measure.count,
            limited: false,
            supersedes: said.map_or_else(Vec::new, |said| said.supersedes.clone()),
            evidence: begun(measure.evidence, condition.delay),
            cause: self.cause,
        };
        (row, low)
    }

    fn state(&self, group: &Group, episode: &Episode) -> AlertState {
        let condition = &self.running.condition;
        if !condition.is_silence() {
            let confirmed = condition.certain || episode.from <= self.clock.watermark.0;
            return match confirmed {
                true => AlertState::Confirmed,
                false => AlertState::Provisional,
            };
        }
        let row = episode.said.as_ref().and_then(|said| said.row.as_ref());
        // What is settled stays as it was, though its source be heard again.
        if let Some(row) = row.filter(|_| episode.to < self.clock.settled.0) {
            return row.state;
        }
        let heard = source_at(group, episode.to).and_then(|source| self.heard.get(&source));
        match heard.is_some_and(|heard| *heard >= episode.to) {
            true => AlertState::Confirmed,
            false => AlertState::Blind,
        }
    }
}

/// The source of the event whose silence is concluded at `anchor`.
pub fn source_at(group: &Group, anchor: i64) -> Option<SourceKey> {
    let entries = group.run.entries();
    let last = group.run.up_to(anchor).checked_sub(1)?;
    let entry = entries.get(last).filter(|entry| entry.time == anchor)?;
    Some(SourceKey(entry.mark.0[0]))
}

/// Evidence by the times of its events, which are `delay` before their anchors.
fn begun(mut evidence: Evidence, delay: i64) -> Evidence {
    if delay > 0 {
        for item in evidence.head.iter_mut().chain(&mut evidence.tail) {
            item.time = EventTime(item.time.0.saturating_sub(delay));
        }
    }
    evidence
}

/// Whether two rows say the same, whatever made them be said.
pub(super) fn alike(old: &AlertRow, new: &AlertRow) -> bool {
    old.alert == new.alert
        && old.count == new.count
        && old.last == new.last
        && old.first == new.first
        && old.state == new.state
        && old.version == new.version
        && old.key == new.key
        && old.supersedes == new.supersedes
        && old.evidence == new.evidence
}
