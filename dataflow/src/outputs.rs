//! From rows that changed to what is said: the one place that decides what is raised, revised, retracted.
//!
//! Results of an epoch come from all workers, are added up and put in order of alert id, so that
//! the same journal gives the same commits on any number of workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_operators::{Clock, CorrelateNote, Counts, Note, Texts, Tried};
use weir_schema::{
    AlertId, AlertRecord, AlertRow, AlertState, Cause, Change, ChangeKind, Commit, Epoch, Level,
    WhatIfId,
};

use crate::port::{Frames, Ledger, PortFault};

type RowUpdate = ((Arc<AlertRow>, Level), u64, isize);

/// What a worker has seen of epochs that are not finished.
#[derive(Default)]
pub struct Collected {
    epochs: BTreeMap<u64, EpochOutput>,
}

/// What one worker, or all of them together, have to say of an epoch.
#[derive(Debug, Default)]
pub struct EpochOutput {
    pub epoch: u64,
    pub rows: Vec<(Arc<AlertRow>, Level, isize)>,
    pub retractions: Vec<(AlertId, Cause)>,
    pub notes: Vec<Note>,
    pub clocks: Vec<Clock>,
    pub counts: Counts,
    pub state: Option<(usize, usize)>,
    /// What is kept apart from alerts.
    pub what_ifs: Vec<(WhatIfId, Tried)>,
}

impl Collected {
    fn at(&mut self, epoch: u64) -> &mut EpochOutput {
        self.epochs.entry(epoch).or_insert_with(|| EpochOutput {
            epoch,
            ..EpochOutput::default()
        })
    }

    pub fn rows(&mut self, rows: &[RowUpdate]) {
        for ((row, level), epoch, diff) in rows {
            self.at(*epoch).rows.push((Arc::clone(row), *level, *diff));
        }
    }

    pub fn correlated(&mut self, epoch: u64, notes: &[CorrelateNote]) {
        let output = self.at(epoch);
        for note in notes {
            match note {
                CorrelateNote::Retracted(alert, cause) => output.retractions.push((*alert, *cause)),
                CorrelateNote::Counts(counts) => output.counts.add(counts),
                CorrelateNote::WhatIf(what_if, tried) => {
                    output.what_ifs.push((*what_if, tried.clone()));
                }
                CorrelateNote::Size(groups, bytes) => {
                    // One for each stage.
                    let known = output.state.unwrap_or_default();
                    output.state = Some((known.0 + groups, known.1 + bytes));
                }
            }
        }
    }

    pub fn notes(&mut self, epoch: u64, notes: Vec<Note>) {
        self.at(epoch).notes.extend(notes);
    }

    pub fn clocks(&mut self, epoch: u64, clocks: impl IntoIterator<Item = Clock>) {
        self.at(epoch).clocks.extend(clocks);
    }

    /// Everything of `epoch`, which is finished; before it what other processes had in earlier
    /// ones.
    pub fn take_through(&mut self, epoch: Epoch) -> Vec<EpochOutput> {
        self.at(epoch.0);
        let later = self.epochs.split_off(&epoch.0.saturating_add(1));
        let done = std::mem::replace(&mut self.epochs, later);
        done.into_values().collect()
    }
}

impl EpochOutput {
    /// Adds what another worker has to say of the same epoch.
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

    /// The rows that each alert had and has, added up.
    fn net(&self) -> BTreeMap<AlertId, Net> {
        let mut sums: BTreeMap<(&Arc<AlertRow>, Level), isize> = BTreeMap::new();
        for (row, level, diff) in &self.rows {
            *sums.entry((row, *level)).or_default() += diff;
        }
        let mut net: BTreeMap<AlertId, Net> = BTreeMap::new();
        for ((row, level), diff) in sums {
            let entry = net.entry(row.alert).or_default();
            match diff {
                0 => {}
                1.. => entry.new = Some((Arc::clone(row), level)),
                ..0 => entry.old = Some(Arc::clone(row)),
            }
        }
        net.retain(|_, net| net.old.is_some() || net.new.is_some());
        net
    }
}

impl EpochOutput {
    /// The rows that went and came, by alert.
    pub fn exchanged(
        &self,
    ) -> impl Iterator<Item = (Option<Arc<AlertRow>>, Option<Arc<AlertRow>>)> {
        let nets = self.net().into_values();
        nets.map(|net| (net.old, net.new.map(|(row, _)| row)))
    }
}

#[derive(Default)]
struct Net {
    old: Option<Arc<AlertRow>>,
    new: Option<(Arc<AlertRow>, Level)>,
}

/// Turns an epoch's rows into a commit; `None` where nothing changed.
pub fn commit(
    output: &EpochOutput,
    texts: &Texts,
    frames: &dyn Frames,
    ledger: &dyn Ledger,
) -> Result<Option<Commit>, PortFault> {
    let net = output.net();
    if net.is_empty() {
        return Ok(None);
    }
    let retractions: BTreeMap<AlertId, Cause> = output.retractions.iter().copied().collect();
    let mut swallowed: BTreeMap<AlertId, AlertId> = BTreeMap::new();
    for (row, _) in net.values().filter_map(|net| net.new.as_ref()) {
        swallowed.extend(row.supersedes.iter().map(|alert| (*alert, row.alert)));
    }
    let mut commit = Commit {
        epoch: Epoch(output.epoch),
        changes: Vec::new(),
        records: Vec::new(),
    };
    for (alert, net) in net {
        let known = ledger.record(alert)?;
        match (known, net.new) {
            (known, Some((row, level))) => {
                let revision = known.as_ref().map_or(0, |known| known.revision);
                let raised = known.as_ref().map(|known| known.raised);
                let before = known.filter(|known| known.standing);
                let record = describe(&row, level, before.as_ref(), texts, frames)?;
                let record = AlertRecord {
                    revision,
                    raised: raised.unwrap_or(commit.epoch),
                    ..record
                };
                say(&mut commit, before, record, &row.supersedes);
            }
            (Some(known), None) if known.standing => {
                gone(&mut commit, known, &swallowed, &retractions);
            }
            (_, None) => {}
        }
    }
    Ok(Some(commit))
}

/// Says that an alert stands, or how it stands now, where that is worth a revision.
fn say(
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
    if before.is_none_or(|before| is_kept(&before, &record)) {
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

/// Whether the step from `old` to `new` is worth a revision of its own.
fn is_kept(old: &AlertRecord, new: &AlertRecord) -> bool {
    old.key != new.key
        || old.state != new.state
        || old.level != new.level
        || old.version != new.version
        || old.supersedes != new.supersedes
        || old.limited != new.limited
        || old.count.checked_ilog2() != new.count.checked_ilog2()
}

/// Says that an alert stands no more: swallowed in silence by the one that says so, or retracted.
fn gone(
    commit: &mut Commit,
    mut record: AlertRecord,
    swallowed: &BTreeMap<AlertId, AlertId>,
    retractions: &BTreeMap<AlertId, Cause>,
) {
    record.standing = false;
    if let Some(by) = swallowed.get(&record.alert) {
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

/// The row with its texts: those of the record before, or looked up anew.
fn describe(
    row: &AlertRow,
    level: Level,
    before: Option<&AlertRecord>,
    texts: &Texts,
    frames: &dyn Frames,
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
            None => (String::new(), Vec::new()),
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
    })
}
