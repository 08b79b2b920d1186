//! Alert rows: gives episodes their ids, and emits and retracts their rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{
    AlertId, AlertRow, AlertState, Cause, Epoch, EventTime, Evidence, GroupKey, MarkedEvent,
    PlanOutput, SourceKey, Span, TenantKey,
};

use super::episode::{Episode, EpisodeAlert};
use super::fault::{self, PlantedFault};
use super::group::Group;
use super::output::CorrelatorOutput;
use super::pending::{BlindAlert, PendingAlerts};
use super::plan_table::PlanState;
use super::range::TimeRange;
use crate::clock::TenantClock;

/// The event time up to which each source was observed, while a silence plan exists.
pub type SourceTimes = BTreeMap<SourceKey, EventTime>;

/// Emits the changes of one group in one epoch.
pub struct AlertEmitter<'s> {
    pub plan: &'s PlanState,
    pub group: GroupKey,
    pub tenant: TenantKey,
    pub epoch: Epoch,
    pub clock: TenantClock,
    pub source_times: &'s SourceTimes,
    pub cause: Cause,
    pub output: &'s mut CorrelatorOutput,
}

impl AlertEmitter<'_> {
    /// Retracts alerts whose episodes are gone.
    pub fn retract(&mut self, orphaned: &mut Vec<EpisodeAlert>) {
        for alert in orphaned.drain(..) {
            // A what-if does not retract the alert of the same id.
            if !matches!(self.plan.plan.output, PlanOutput::WhatIf(_)) {
                self.output.retractions.push((alert.id, self.cause));
            }
            if fault::active(PlantedFault::DroppedRetraction) {
                continue;
            }
            for row in alert.superseded_rows.into_iter().chain(alert.row) {
                self.output.rows.push((row, -1));
            }
        }
    }

    /// Emits the changed rows of the episodes that reach into `range`.
    ///
    /// Returns the alerts among them that are not final. A plan that reports to another one emits
    /// no rows: `chain_report.rs` sends its anchors.
    pub fn emit(&mut self, group: &mut Group, range: TimeRange) -> PendingAlerts {
        let mut pending = PendingAlerts::default();
        if matches!(self.plan.plan.output, PlanOutput::Plan(_)) {
            return pending;
        }
        let low = group
            .episodes
            .partition_point(|episode| episode.to < range.from);
        let high = low + group.episodes[low..].partition_point(|episode| episode.from <= range.to);
        for place in low..high {
            self.assign_alert(group, place);
        }
        for place in low..high {
            self.emit_episode(group, place, &mut pending);
        }
        pending
    }

    fn emit_episode(&mut self, group: &mut Group, place: usize, pending: &mut PendingAlerts) {
        let (row, low_hint) = self.row(group, &group.episodes[place]);
        group.episodes[place].low_hint = low_hint;
        // Silences are further apart than their timespan: each is an episode of one anchor.
        let from = group.episodes[place].from;
        match row.state {
            AlertState::Provisional => pending.provisional.push(from),
            // A settled alert is not evaluated again.
            AlertState::Blind if from >= self.clock.settled => {
                let source = group.source_at(from);
                pending.blind.extend(source.map(|source| BlindAlert {
                    source,
                    until: from,
                }));
            }
            AlertState::Blind | AlertState::Confirmed | AlertState::SupersededBy(_) => {}
        }
        let Some(alert) = &mut group.episodes[place].alert else {
            return;
        };
        for superseded in alert.superseded_rows.drain(..) {
            self.output.rows.push((superseded, -1));
        }
        let unchanged = alert.row.as_ref();
        if unchanged.is_some_and(|old| is_same_content(old, &row)) {
            return;
        }
        let row = Arc::new(row);
        alert.from = from;
        if let Some(old) = alert.row.replace(Arc::clone(&row)) {
            self.output.rows.push((old, -1));
        }
        self.output.rows.push((row, 1));
    }

    /// Gives the episode at `place` an alert of its own, unless it has one.
    fn assign_alert(&mut self, group: &mut Group, place: usize) {
        if group.episodes[place].alert.is_some() {
            return;
        }
        let mut id = self.derive_id(&group.episodes[place]);
        let alerts = group.episodes.iter_mut();
        for alert in alerts.filter_map(|episode| episode.alert.as_mut()) {
            // A part that splits off again under its old id is no longer superseded.
            alert.supersedes.retain(|superseded| *superseded != id);
        }
        let is_taken = |id: AlertId| {
            let mut alerts = group.episodes.iter().filter_map(|e| e.alert.as_ref());
            alerts.any(|alert| alert.id == id)
        };
        while is_taken(id) {
            // The earlier part of a split keeps the id that would be this one's.
            id = AlertId::of(&[&id.0[0].to_le_bytes(), &id.0[1].to_le_bytes()]);
        }
        let from = group.episodes[place].from;
        group.episodes[place].alert = Some(EpisodeAlert {
            from,
            id,
            id_anchor: from,
            raised: self.epoch,
            supersedes: Vec::new(),
            row: None,
            superseded_rows: Vec::new(),
        });
    }

    fn derive_id(&self, episode: &Episode) -> AlertId {
        let first = episode.from.minus(self.plan.condition.delay);
        AlertId::for_episode(self.tenant, &self.plan.plan.rule, &self.group, first)
    }

    /// The row of an episode, and the place of its first member in the run.
    fn row(&self, group: &Group, episode: &Episode) -> (AlertRow, usize) {
        let plan = &self.plan.plan;
        let condition = &self.plan.condition;
        let measure = group.measure(episode, episode.to, condition);
        let summary = measure.summary;
        let alert = episode.alert.as_ref();
        let unmoved = alert.filter(|alert| alert.from == episode.from);
        let key = unmoved
            .and_then(|alert| alert.row.as_ref())
            .map_or_else(|| self.derive_id(episode), |row| row.key);
        let row = AlertRow {
            alert: alert.map_or(key, |alert| alert.id),
            key,
            plan: plan.id,
            plan_epoch: self.plan.plan_epoch,
            version: self.plan.version(self.tenant, episode.to),
            tenant: self.tenant,
            group: self.group,
            state: self.state(group, episode),
            from: episode.from.minus(condition.delay),
            first: summary.first.minus(condition.delay),
            last: summary.last.minus(condition.delay),
            count: summary.count,
            limited: false,
            supersedes: alert.map_or_else(Vec::new, |alert| alert.supersedes.clone()),
            evidence: at_event_times(summary.evidence, condition.delay),
            cause: self.cause,
            marked: summary
                .marked
                .map(|marked| marked_earlier(marked, condition.delay)),
        };
        (row, measure.low_hint)
    }

    fn state(&self, group: &Group, episode: &Episode) -> AlertState {
        let condition = &self.plan.condition;
        if !condition.is_silence() {
            let confirmed = condition.certain || episode.from <= self.clock.watermark;
            return match confirmed {
                true => AlertState::Confirmed,
                false => AlertState::Provisional,
            };
        }
        // A settled alert keeps its state, even if its source is observed again.
        let row = episode.row().filter(|_| episode.to < self.clock.settled);
        if let Some(row) = row {
            return row.state;
        }
        let source = group.source_at(episode.to);
        let observed = source.and_then(|source| self.source_times.get(&source));
        match observed.is_some_and(|observed| *observed >= episode.to) {
            true => AlertState::Confirmed,
            false => AlertState::Blind,
        }
    }
}

/// Moves evidence from the times of its anchors, which are `delay` later, to those of its events.
fn at_event_times(mut evidence: Evidence, delay: Span) -> Evidence {
    if delay > Span::ZERO {
        for item in evidence.head.iter_mut().chain(&mut evidence.tail) {
            item.time = item.time.minus(delay);
        }
    }
    evidence
}

/// Moves a marked event from the time of its anchor to its own.
fn marked_earlier(mut marked: MarkedEvent, delay: Span) -> MarkedEvent {
    marked.item.time = marked.item.time.minus(delay);
    marked
}

/// Whether two rows are equal but for their cause and place.
pub fn is_same_content(old: &AlertRow, new: &AlertRow) -> bool {
    old.alert == new.alert
        && old.count == new.count
        && old.last == new.last
        && old.first == new.first
        && old.state == new.state
        && old.version == new.version
        && old.key == new.key
        && old.supersedes == new.supersedes
        && old.evidence == new.evidence
        && old.marked == new.marked
}
