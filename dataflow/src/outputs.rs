//! Turns changed rows into commits: decides which alerts are raised, revised and retracted.
//!
//! The results of all workers are summed and sorted by alert id, so the same journal gives the same
//! commits on any number of workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_operators::{
    AlertTexts, CorrelateNote, CorrelationCounts, Note, TenantClock, WhatIfOutput,
};
use weir_schema::condition::CONDITION_TENANT;
use weir_schema::{
    AlertId, AlertRecord, AlertRow, AlertState, Cause, Change, ChangeKind, Commit, Epoch, Level,
    MarkedTimes, TimeMark, WhatIfId,
};

use crate::kept_ids::KeptIds;
use crate::port::{AlertLedger, BatchReader, PortFault};

type RowUpdate = ((Arc<AlertRow>, Level), u64, isize);

/// Collects the results of a worker for the epochs in flight.
#[derive(Default)]
pub struct OutputCollector {
    epochs: BTreeMap<u64, EpochOutput>,
}

/// The results of one epoch, of one worker or of all.
#[derive(Debug, Default)]
pub struct EpochOutput {
    pub epoch: u64,
    pub rows: Vec<(Arc<AlertRow>, Level, isize)>,
    pub retractions: Vec<(AlertId, Cause)>,
    pub notes: Vec<Note>,
    pub clocks: Vec<TenantClock>,
    pub counts: CorrelationCounts,
    pub state: Option<(usize, usize)>,
    /// Output of what-ifs, which raises no alerts.
    pub what_ifs: Vec<(WhatIfId, WhatIfOutput)>,
}

impl OutputCollector {
    fn epoch(&mut self, epoch: u64) -> &mut EpochOutput {
        self.epochs.entry(epoch).or_insert_with(|| EpochOutput {
            epoch,
            ..EpochOutput::default()
        })
    }

    pub fn add_rows(&mut self, rows: &[RowUpdate]) {
        for ((row, level), epoch, diff) in rows {
            self.epoch(*epoch)
                .rows
                .push((Arc::clone(row), *level, *diff));
        }
    }

    pub fn add_correlation_notes(&mut self, epoch: u64, notes: &[CorrelateNote]) {
        let output = self.epoch(epoch);
        for note in notes {
            match note {
                CorrelateNote::Retracted(alert, cause) => output.retractions.push((*alert, *cause)),
                CorrelateNote::Counts(counts) => output.counts.add(counts),
                CorrelateNote::WhatIf(what_if, shadow) => {
                    output.what_ifs.push((*what_if, shadow.clone()));
                }
                CorrelateNote::Times(times) => output.notes.push(Note::Times(times.clone())),
                CorrelateNote::Size(groups, bytes) => {
                    // Each correlation stage reports its own size.
                    let sum = output.state.unwrap_or_default();
                    output.state = Some((sum.0 + groups, sum.1 + bytes));
                }
            }
        }
    }

    pub fn add_notes(&mut self, epoch: u64, notes: Vec<Note>) {
        self.epoch(epoch).notes.extend(notes);
    }

    pub fn add_clocks(&mut self, epoch: u64, clocks: impl IntoIterator<Item = TenantClock>) {
        self.epoch(epoch).clocks.extend(clocks);
    }

    /// Takes the results of `epoch`, which is complete, and of earlier epochs: in a cluster, those are
    /// epochs that only other processes have.
    pub fn take_through(&mut self, epoch: Epoch) -> Vec<EpochOutput> {
        self.epoch(epoch.0);
        let later = self.epochs.split_off(&epoch.0.saturating_add(1));
        let done = std::mem::replace(&mut self.epochs, later);
        done.into_values().collect()
    }
}

impl EpochOutput {
    /// Adds the results of another worker for the same epoch.
    pub fn merge(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.retractions.extend(other.retractions);
        self.notes.extend(other.notes);
        self.clocks.extend(other.clocks);
        self.what_ifs.extend(other.what_ifs);
        self.counts.add(&other.counts);
        self.state = match (self.state, other.state) {
            (Some(ours), Some(theirs)) => Some((ours.0 + theirs.0, ours.1 + theirs.1)),
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// Sums the row updates: the row that each changed alert had, and the one it has.
    pub fn net_changes(&self) -> BTreeMap<AlertId, RowChange> {
        let mut sums: BTreeMap<(&Arc<AlertRow>, Level), isize> = BTreeMap::new();
        for (row, level, diff) in &self.rows {
            *sums.entry((row, *level)).or_default() += diff;
        }
        let mut changes: BTreeMap<AlertId, RowChange> = BTreeMap::new();
        for ((row, level), diff) in sums {
            let entry = changes.entry(row.alert).or_default();
            match diff {
                0 => {}
                1.. => entry.new = Some((Arc::clone(row), level)),
                ..0 => entry.old = Some(Arc::clone(row)),
            }
        }
        changes.retain(|_, change| change.old.is_some() || change.new.is_some());
        changes
    }
}

/// The net change of one alert's row in an epoch.
#[derive(Default)]
pub struct RowChange {
    pub old: Option<Arc<AlertRow>>,
    pub new: Option<(Arc<AlertRow>, Level)>,
}

/// Builds the commit of an epoch; `None` if no row changed. Calls `step` for each changed alert.
pub fn build_commit(
    output: &EpochOutput,
    texts: &AlertTexts,
    frames: &dyn BatchReader,
    ledger: &dyn AlertLedger,
    kept: &KeptIds,
    step: impl Fn(),
) -> Result<Option<Commit>, PortFault> {
    let changes = with_kept_ids(output.net_changes(), kept);
    if changes.is_empty() {
        return Ok(None);
    }
    let retractions = output.retractions.iter();
    let retractions: BTreeMap<AlertId, Cause> = retractions
        .map(|(alert, cause)| (kept.id(*alert), *cause))
        .collect();
    let mut superseded: BTreeMap<AlertId, AlertId> = BTreeMap::new();
    for (row, _) in changes.values().filter_map(|change| change.new.as_ref()) {
        superseded.extend(row.supersedes.iter().map(|alert| (*alert, row.alert)));
    }
    let mut commit = Commit {
        epoch: Epoch(output.epoch),
        changes: Vec::new(),
        records: Vec::new(),
    };
    for (alert, change) in changes {
        step();
        let known = ledger.record(alert)?;
        match (known, change.new) {
            (known, Some((row, level))) => {
                let revision = known.as_ref().map_or(0, |known| known.revision);
                let raised = known.as_ref().map(|known| known.raised);
                let before = known.filter(|known| known.standing);
                let record = build_record(&row, level, before.as_ref(), texts, frames)?;
                let record = AlertRecord {
                    revision,
                    raised: raised.unwrap_or(commit.epoch),
                    ..record
                };
                raise_or_revise(&mut commit, before, record, &row.supersedes);
            }
            (Some(known), None) if known.standing => {
                retract_or_supersede(&mut commit, known, &superseded, &retractions);
            }
            (_, None) => {}
        }
    }
    Ok(Some(commit))
}

/// The changes with the ids of the ledger.
fn with_kept_ids(
    changes: BTreeMap<AlertId, RowChange>,
    kept: &KeptIds,
) -> BTreeMap<AlertId, RowChange> {
    if kept.ids().is_empty() {
        return changes;
    }
    let rename = |(alert, change): (AlertId, RowChange)| {
        let change = RowChange {
            old: change.old.map(|row| kept.row(&row)),
            new: change.new.map(|(row, level)| (kept.row(&row), level)),
        };
        (kept.id(alert), change)
    };
    changes.into_iter().map(rename).collect()
}

/// Adds an alert's new record, and a change if the alert is new or differs enough for a revision.
fn raise_or_revise(
    commit: &mut Commit,
    before: Option<AlertRecord>,
    mut record: AlertRecord,
    supersedes: &[AlertId],
) {
    let kind = if before.is_some() {
        ChangeKind::Revised
    } else {
        ChangeKind::Raised
    };
    let fresh: Vec<AlertId> = supersedes
        .iter()
        .filter(|alert| {
            !before
                .as_ref()
                .is_some_and(|b| b.supersedes.contains(alert))
        })
        .copied()
        .collect();
    let unrevised = before.filter(|before| !deserves_revision(before, &record));
    if let Some(before) = unrevised {
        // The cause is that of the last revision: nobody hears of this change.
        record.cause = before.cause;
    } else {
        record.revision += 1;
        commit.changes.push(Change {
            kind,
            epoch: commit.epoch,
            ordinal: commit.changes.len() as u32,
            supersedes: fresh,
            record: record.clone(),
        });
    }
    commit.records.push(record);
}

/// Whether the difference between `old` and `new` deserves a revision: of the count, only the power
/// of two in it.
fn deserves_revision(old: &AlertRecord, new: &AlertRecord) -> bool {
    old.key != new.key
        || old.state != new.state
        || old.level != new.level
        || old.version != new.version
        || old.supersedes != new.supersedes
        || old.limited != new.limited
        || mark_of(old) != mark_of(new)
        || old.count.checked_ilog2() != new.count.checked_ilog2()
}

fn mark_of(record: &AlertRecord) -> Option<TimeMark> {
    record.marked.map(|marked| marked.mark)
}

/// Ends an alert. One that another alert supersedes gets no change of its own, any other is
/// retracted.
fn retract_or_supersede(
    commit: &mut Commit,
    mut record: AlertRecord,
    superseded: &BTreeMap<AlertId, AlertId>,
    retractions: &BTreeMap<AlertId, Cause>,
) {
    record.standing = false;
    if let Some(by) = superseded.get(&record.alert) {
        record.state = AlertState::SupersededBy(*by);
    } else {
        record.cause = retractions
            .get(&record.alert)
            .copied()
            .unwrap_or(Cause::RuleRemoved);
        record.revision += 1;
        commit.changes.push(Change {
            kind: ChangeKind::Retracted,
            epoch: commit.epoch,
            ordinal: commit.changes.len() as u32,
            supersedes: Vec::new(),
            record: record.clone(),
        });
    }
    commit.records.push(record);
}

/// Builds the record of a row. Texts come from the record before, or else from rules and frames.
pub fn build_record(
    row: &AlertRow,
    level: Level,
    before: Option<&AlertRecord>,
    texts: &AlertTexts,
    frames: &dyn BatchReader,
) -> Result<AlertRecord, PortFault> {
    let plan = texts.plan(row);
    let title = match (&plan, before) {
        (Some(plan), Some(before)) => plan
            .current
            .as_ref()
            .map_or_else(|| before.title.clone(), |(title, _)| title.clone()),
        (Some(plan), None) => plan
            .current
            .as_ref()
            .map_or_else(String::new, |(title, _)| title.clone()),
        (None, before) => before.map_or_else(String::new, |before| before.title.clone()),
    };
    let (tenant, group) = match before {
        Some(before) => (before.tenant.clone(), before.group.clone()),
        None => match row.evidence.head.first() {
            Some(item) => {
                let batch = frames.batch(item.position.batch())?;
                (batch.tenant.clone(), texts.group(row, item, &batch))
            }
            // Only alerts about Weir itself have no evidence.
            None => {
                let group = texts.condition_group(row).unwrap_or_default();
                (CONDITION_TENANT.to_owned(), group)
            }
        },
    };
    Ok(AlertRecord {
        alert: row.alert,
        key: row.key,
        revision: 0,
        standing: true,
        raised: Epoch(0),
        rule: plan.map_or_else(|| "".into(), |plan| plan.rule),
        version: row.version,
        title,
        level,
        tenant,
        group,
        state: row.state,
        first: row.first,
        last: row.last,
        count: row.count,
        limited: row.limited,
        supersedes: row.supersedes.clone(),
        evidence: row.evidence.clone(),
        cause: row.cause,
        marked: marked_times(row, texts, frames)?,
    })
}

/// Both times of the first event of `row` that has a mark.
fn marked_times(
    row: &AlertRow,
    texts: &AlertTexts,
    frames: &dyn BatchReader,
) -> Result<Option<MarkedTimes>, PortFault> {
    let Some(marked) = row.marked else {
        return Ok(None);
    };
    let batch = frames.batch(marked.item.position.batch())?;
    Ok(Some(MarkedTimes {
        mark: marked.mark,
        stated: texts.stated_time(&marked.item, &batch),
        received: batch.received,
    }))
}

#[cfg(test)]
mod tests {
    use weir_schema::{EventTime, Evidence, ReceiveTime, RuleVersion};

    use super::*;

    fn record(count: u64, cause: Cause) -> AlertRecord {
        AlertRecord {
            alert: AlertId([1, 2]),
            key: AlertId([1, 2]),
            revision: 1,
            standing: true,
            raised: Epoch(1),
            rule: "r".into(),
            version: RuleVersion::of(&[b"r"]),
            title: "R".to_owned(),
            level: Level::Low,
            tenant: "t".to_owned(),
            group: Vec::new(),
            state: AlertState::Confirmed,
            first: EventTime(1),
            last: EventTime(2),
            count,
            limited: false,
            supersedes: Vec::new(),
            evidence: Evidence::default(),
            cause,
            marked: None,
        }
    }

    /// c31: a cause belongs to a revision, and does not change without one.
    #[test]
    fn a_change_without_a_revision_keeps_the_cause() {
        let (old, new) = (Cause::RuleRemoved, Cause::Clock(ReceiveTime(7)));
        for (count, cause, revisions) in [(5, old, 0), (4, old, 0), (8, new, 1)] {
            let mut commit = Commit {
                epoch: Epoch(2),
                changes: Vec::new(),
                records: Vec::new(),
            };
            raise_or_revise(&mut commit, Some(record(4, old)), record(count, new), &[]);
            assert_eq!(commit.changes.len(), revisions, "{count}");
            assert_eq!(commit.records[0].cause, cause, "{count}");
            assert_eq!(commit.records[0].count, count);
        }
    }
}
