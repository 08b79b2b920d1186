//! The alerts of the oracle: episodes, merged alerts, and the changes since the last epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_operators::reference::StandingAlert;
use weir_schema::{
    AlertId, AlertRecord, AlertState, Cause, Change, ChangeKind, Commit, Epoch, EventId, EventTime,
    Evidence, EvidenceItem, Fact, MarkedEvent, MarkedTimes, Span, TimeMark,
};

use super::{OracleAlert, ReferenceSystem};

impl ReferenceSystem {
    /// Compares the standing alerts with those before, and adds the commit.
    pub(super) fn commit(&mut self) {
        let mut standing: BTreeMap<_, Vec<StandingAlert>> = BTreeMap::new();
        for row in self.reference.standing() {
            standing.entry((row.plan, row.group)).or_default().push(row);
        }
        let mut earlier: BTreeMap<_, Vec<OracleAlert>> = BTreeMap::new();
        for alert in std::mem::take(&mut self.alerts) {
            let row = &alert.standing;
            earlier
                .entry((row.plan, row.group))
                .or_default()
                .push(alert);
        }
        let before = earlier.values().flatten();
        let before: BTreeMap<AlertId, AlertRecord> = before
            .map(|alert| (alert.record.alert, alert.record.clone()))
            .collect();
        let mut superseded = BTreeMap::new();
        for (key, rows) in standing {
            let mut before = earlier.remove(&key).unwrap_or_default();
            // Alerts of the plan that follows may have the ids that derive from these anchors.
            if let Some(end) = self.cuts.get(&key.0) {
                before.retain(|alert| alert.id_anchor < *end);
            }
            self.group(rows, before, &mut superseded);
        }
        self.cuts.clear();
        let commit = self.differences(&before, &superseded);
        if !commit.changes.is_empty() || !commit.records.is_empty() {
            self.settled.commits.push(commit);
        }
    }

    /// Assigns each alert of a group to the episode that continues it, and notes which alerts are
    /// superseded by which.
    fn group(
        &mut self,
        rows: Vec<StandingAlert>,
        mut before: Vec<OracleAlert>,
        superseded: &mut BTreeMap<AlertId, AlertId>,
    ) {
        let mut episodes: Vec<(EventTime, StandingAlert, Vec<OracleAlert>)> = rows
            .into_iter()
            .map(|row| (self.first_firing(&row), row, Vec::new()))
            .collect();
        episodes.sort_by_key(|(from, ..)| *from);
        before.sort_by_key(|alert| alert.from);
        for alert in before {
            let w = self.timespan(&alert.standing);
            let meets = |reach: Span| {
                episodes.iter().position(|(from, row, _)| {
                    from.minus(reach) <= alert.standing.last && row.last.plus(reach) >= alert.from
                })
            };
            if let Some(place) = meets(Span(0)).or_else(|| meets(w)) {
                episodes[place].2.push(alert);
            }
        }
        let mut taken: BTreeSet<AlertId> = episodes
            .iter()
            .flat_map(|(_, _, earlier)| earlier.iter().map(|alert| alert.record.alert))
            .collect();
        for (from, row, mut earlier) in episodes {
            // The alert that was raised first continues; of several in one epoch, the earlier one.
            earlier.sort_by_key(|alert| (alert.record.raised, alert.from));
            let mut earlier = earlier.into_iter();
            let continued = earlier.next();
            let (mut id, id_anchor) = continued.as_ref().map_or((row.key, from), |alert| {
                (alert.record.alert, alert.id_anchor)
            });
            while continued.is_none() && !taken.insert(id) {
                id = AlertId::of(&[&id.0[0].to_le_bytes(), &id.0[1].to_le_bytes()]);
            }
            let supersedes = continued.map_or_else(Vec::new, |alert| alert.record.supersedes);
            let mut record = self.record(&row, id, supersedes);
            for alert in earlier {
                record.supersedes.push(alert.record.alert);
                superseded.insert(alert.record.alert, id);
            }
            self.alerts.push(OracleAlert {
                standing: row,
                from,
                id_anchor,
                record,
            });
        }
    }

    /// The changes of the alerts since `before`. The oracle does not derive causes: all are the
    /// same.
    fn differences(
        &mut self,
        before: &BTreeMap<AlertId, AlertRecord>,
        superseded: &BTreeMap<AlertId, AlertId>,
    ) -> Commit {
        let mut commit = Commit {
            epoch: Epoch(self.epoch),
            changes: Vec::new(),
            records: Vec::new(),
        };
        for alert in &mut self.alerts {
            let record = &mut alert.record;
            let old = before.get(&record.alert);
            let merged = superseded.iter().filter(|(_, by)| **by == record.alert);
            let merged: Vec<AlertId> = merged.map(|(alert, _)| *alert).collect();
            let kind = match old {
                None => Some(ChangeKind::Raised),
                Some(old)
                    if revised_columns(old) != revised_columns(record) || !merged.is_empty() =>
                {
                    Some(ChangeKind::Revised)
                }
                Some(_) => None,
            };
            if let Some(kind) = kind {
                record.revision += 1;
                commit
                    .changes
                    .push(change(kind, commit.epoch, record, merged));
            }
            if old != Some(record) {
                commit.records.push(record.clone());
            }
        }
        let stands: BTreeSet<AlertId> = self.alerts.iter().map(|a| a.record.alert).collect();
        for (id, old) in before.iter().filter(|(id, _)| !stands.contains(id)) {
            let mut record = old.clone();
            record.standing = false;
            match superseded.get(id) {
                Some(by) => record.state = AlertState::SupersededBy(*by),
                None => {
                    record.revision += 1;
                    let gone = change(ChangeKind::Retracted, commit.epoch, &record, Vec::new());
                    commit.changes.push(gone);
                }
            }
            commit.records.push(record);
        }
        commit.changes.sort_by_key(|change| change.record.alert);
        for (ordinal, change) in (0..).zip(&mut commit.changes) {
            change.ordinal = ordinal;
            let record = &change.record;
            let last = (record.revision, record.raised);
            self.revisions.insert(record.alert, last);
        }
        commit.records.sort_by_key(|record| record.alert);
        commit
    }

    fn timespan(&self, row: &StandingAlert) -> Span {
        let plan = self.plans.get(&(row.plan, row.version));
        plan.map_or(Span(0), |plan| plan.timespan)
    }

    /// The first firing anchor of an episode: the event time that its key names.
    fn first_firing(&self, row: &StandingAlert) -> EventTime {
        let rule = self
            .plans
            .get(&(row.plan, row.version))
            .map(|plan| &plan.rule);
        let named = |time: EventTime| {
            let key = rule.map(|rule| AlertId::for_episode(row.tenant, rule, &row.group, time));
            key == Some(row.key)
        };
        // The anchors of a correlation of correlations are events of its members.
        let chained = self.plans.get(&(row.plan, row.version));
        let chained = chained.is_some_and(|plan| plan.chain.stage > 0);
        let is_late = is_late(row);
        let group = |fact: &Fact| match is_late {
            true => fact.group.late_twin(),
            false => fact.group,
        };
        let times = self
            .facts
            .iter()
            .filter(|fact| chained || group(fact) == row.group);
        let found = times
            .map(|fact| time_in(fact, is_late))
            .find(|time| named(*time));
        found.unwrap_or(row.first)
    }

    fn record(&self, row: &StandingAlert, alert: AlertId, supersedes: Vec<AlertId>) -> AlertRecord {
        let plan = self.plans.get(&(row.plan, row.version));
        let item = |event: &EventId| {
            let facts = self.facts.iter().filter(|fact| fact.event == *event);
            let earliest = facts.min_by_key(|fact| fact.position);
            earliest.map(|fact| EvidenceItem {
                time: time_in(fact, is_late(row)),
                event: *event,
                position: fact.position,
            })
        };
        let items: Vec<EvidenceItem> = row.evidence.iter().filter_map(item).collect();
        let (head, tail) = items.split_at(items.len().min(Evidence::ITEMS_MAX));
        let known = self.revisions.get(&alert).copied();
        let (revision, raised) = known.unwrap_or((0, Epoch(self.epoch)));
        AlertRecord {
            alert,
            key: row.key,
            revision,
            standing: true,
            raised,
            rule: plan.map_or_else(|| "".into(), |plan| Arc::clone(&plan.rule)),
            version: row.version,
            title: plan.map_or_else(String::new, |plan| plan.title.clone()),
            level: plan.map_or(weir_schema::Level::Informational, |plan| plan.level),
            tenant: self.tenants.get(&row.tenant).cloned().unwrap_or_default(),
            group: self
                .groups
                .get(&(row.plan, row.group))
                .cloned()
                .unwrap_or_default(),
            state: row.state,
            first: row.first,
            last: row.last,
            count: row.count,
            limited: false,
            supersedes,
            evidence: Evidence {
                head: head.to_vec(),
                tail: tail.to_vec(),
            },
            cause: Cause::RuleRemoved,
            marked: row.marked.and_then(|marked| self.marked_times(marked)),
        }
    }

    /// Both times of the first marked event of an alert.
    fn marked_times(&self, marked: MarkedEvent) -> Option<MarkedTimes> {
        let position = marked.item.position;
        let fact = self.facts.iter().find(|fact| fact.position == position)?;
        Some(MarkedTimes {
            mark: marked.mark,
            stated: self.stated.get(&position).copied().flatten(),
            received: fact.received,
        })
    }
}

/// Whether the events of an alert lie before the settled line.
fn is_late(row: &StandingAlert) -> bool {
    let mark = row.marked.map(|marked| marked.mark);
    mark == Some(TimeMark::LateBeyondHorizon)
}

/// The time of an event in an alert.
fn time_in(fact: &Fact, is_late: bool) -> EventTime {
    match is_late {
        true => EventTime(fact.received.0),
        false => fact.time,
    }
}

/// The columns whose change is a revision.
fn revised_columns(record: &AlertRecord) -> impl PartialEq + use<> {
    let count = record.count.checked_ilog2();
    (
        record.key,
        record.state,
        record.level,
        record.version,
        count,
        record.marked.map(|marked| marked.mark),
    )
}

fn change(
    kind: ChangeKind,
    epoch: Epoch,
    record: &AlertRecord,
    supersedes: Vec<AlertId>,
) -> Change {
    Change {
        kind,
        epoch,
        ordinal: 0,
        supersedes,
        record: record.clone(),
    }
}
