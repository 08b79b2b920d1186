//! What an episode is called and how it is said: alert ids, rows, and what is taken back.

use std::sync::Arc;

use weir_schema::{AlertId, AlertRow, AlertState, Cause, Epoch, EventTime, GroupKey, TenantKey};

use super::Output;
use super::episode::{Episode, Said};
use super::fault::{self, Fault};
use super::group::Group;
use super::plans::Running;

/// Says what changed in one group in one epoch.
pub struct Speaker<'s> {
    pub running: &'s Running,
    pub group: GroupKey,
    pub tenant: TenantKey,
    pub epoch: Epoch,
    pub watermark: i64,
    pub cause: Cause,
    pub output: &'s mut Output,
}

impl Speaker<'_> {
    /// Takes back alerts whose episodes are gone.
    pub fn take_back(&mut self, gone: &mut Vec<Said>) {
        for said in gone.drain(..) {
            self.output.retractions.push((said.alert, self.cause));
            if fault::active(Fault::DroppedRetraction) {
                continue;
            }
            for row in said.taken_back.into_iter().chain(said.row) {
                self.output.rows.push((row, -1));
            }
        }
    }

    /// Says what changed of the episodes that reach into `[from, to]`. Returns the first anchors of
    /// those that are provisional.
    pub fn say(&mut self, group: &mut Group, from: i64, to: i64) -> Vec<i64> {
        let low = group.episodes.partition_point(|episode| episode.to < from);
        let high = low + group.episodes[low..].partition_point(|episode| episode.from <= to);
        let mut provisional = Vec::new();
        for place in low..high {
            self.name(group, place);
        }
        for place in low..high {
            let (row, low) = self.row(group, &group.episodes[place]);
            group.episodes[place].low_hint = low;
            let from = group.episodes[place].from;
            if row.state == AlertState::Provisional {
                provisional.push(group.episodes[place].from);
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
        provisional
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
        let first = EventTime(episode.from);
        AlertId::of_episode(self.tenant, &self.running.plan.rule, &self.group, first)
    }

    fn row(&self, group: &Group, episode: &Episode) -> (AlertRow, usize) {
        let plan = &self.running.plan;
        let (measure, low) = group.measure(episode, episode.to, self.running.condition.timespan);
        let confirmed = self.running.condition.monotone || episode.from <= self.watermark;
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
            state: if confirmed {
                AlertState::Confirmed
            } else {
                AlertState::Provisional
            },
            first: EventTime(measure.first),
            last: EventTime(measure.last),
            count: measure.count,
            limited: false,
            supersedes: said.map_or_else(Vec::new, |said| said.supersedes.clone()),
            evidence: measure.evidence,
            cause: self.cause,
        };
        (row, low)
    }
}

/// Whether two rows say the same, whatever made them be said.
fn alike(old: &AlertRow, new: &AlertRow) -> bool {
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
