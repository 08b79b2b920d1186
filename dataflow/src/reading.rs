//! Replaces the rows of a ledger of another reading, and tells the differences once.
//!
//! A ledger with another [`weir_schema::READING_NUMBER`] was derived by a binary that reads the same
//! journal otherwise. The graph replays the journal at every start. Here its rows are collected and
//! not committed, until the epoch in which this binary recorded its number. That epoch gets one
//! commit: the differences between the standing records and the rows, with the cause `upgrade`, and
//! the number. Histories and outbox stay, so every position in the outbox stays valid. A crash
//! before the commit changes nothing; after it there is nothing left to do.
//!
//! A repair of the clock gives earlier events other receive times, and is told in the same way: in
//! the epoch that holds the repair, with the cause `clock_repair`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_operators::AlertTexts;
use weir_schema::{
    AlertId, AlertRecord, AlertRow, AlertState, Cause, Change, ChangeKind, Commit, Epoch,
    EvidenceItem, Level, Position, RuleId,
};

use crate::kept_ids::KeptIds;
use crate::outputs::{self, EpochOutput};
use crate::port::{AlertLedger, BatchReader, PortFault};

type StandingRow = (Arc<AlertRow>, Level);

/// The standing rows of the replay so far, by the graph's alert id.
pub struct ReadingChange {
    /// Why the rows are replaced.
    cause: Cause,
    /// The epoch that replaces them; `None`: the one that records the reading number.
    epoch: Option<Epoch>,
    rows: BTreeMap<AlertId, StandingRow>,
}

/// The commit that replaces the rows of the other reading, and all ids that alerts keep.
pub struct ReadingCommit {
    pub commit: Commit,
    pub kept: KeptIds,
}

impl ReadingChange {
    /// The change that the rows of `ledger` need, if they need one.
    ///
    /// A change of the reading replaces the rows under all repairs.
    #[must_use]
    pub fn needed(ledger: &dyn AlertLedger) -> Option<Self> {
        let (cause, epoch) = match (ledger.has_other_reading(), ledger.repair_epoch()) {
            (true, _) => (Cause::Upgrade, None),
            (false, Some(epoch)) => (Cause::ClockRepair, Some(epoch)),
            (false, None) => return None,
        };
        let rows = BTreeMap::new();
        Some(Self { cause, epoch, rows })
    }

    /// Whether `epoch` replaces the rows.
    #[must_use]
    pub fn is_due(&self, epoch: u64, records_reading: bool) -> bool {
        self.epoch
            .map_or(records_reading, |repair| repair.0 == epoch)
    }

    /// Adds the results of an epoch.
    pub fn follow(&mut self, output: &EpochOutput) {
        for (alert, change) in output.net_changes() {
            match change.new {
                Some(row) => drop(self.rows.insert(alert, row)),
                None => drop(self.rows.remove(&alert)),
            }
        }
    }

    /// Compares the rows with the standing records of `ledger`.
    pub fn commit(
        &self,
        epoch: Epoch,
        texts: &AlertTexts,
        frames: &dyn BatchReader,
        ledger: &dyn AlertLedger,
    ) -> Result<ReadingCommit, PortFault> {
        let old = standing_records(ledger)?;
        let kept = match_ids(&self.rows, &old, texts, ledger.kept_ids()?);
        let mut superseded = BTreeMap::new();
        let mut pairs: BTreeMap<AlertId, (Option<AlertRecord>, Option<StandingRow>)> = old
            .into_iter()
            .map(|(alert, record)| (alert, (Some(record), None)))
            .collect();
        for (row, level) in self.rows.values() {
            let row = kept.row(row);
            superseded.extend(row.supersedes.iter().map(|alert| (*alert, row.alert)));
            let pair = pairs.entry(row.alert).or_default();
            pair.1 = Some((row, *level));
        }
        let mut differences = Differences {
            commit: Commit {
                epoch,
                changes: Vec::new(),
                records: Vec::new(),
            },
            cause: self.cause,
            texts,
            frames,
            ledger,
        };
        for (before, row) in pairs.into_values() {
            match (before, row) {
                (before, Some((row, level))) => differences.compare(before, &row, level)?,
                (Some(before), None) => differences.end(before, &superseded),
                (None, None) => {}
            }
        }
        let commit = differences.commit;
        Ok(ReadingCommit { commit, kept })
    }
}

/// Builds the commit, alert by alert in order of id.
struct Differences<'d> {
    commit: Commit,
    cause: Cause,
    texts: &'d AlertTexts,
    frames: &'d dyn BatchReader,
    ledger: &'d dyn AlertLedger,
}

impl Differences<'_> {
    /// Raises the alert of `row`, or revises it if it is not as `before`.
    fn compare(
        &mut self,
        before: Option<AlertRecord>,
        row: &AlertRow,
        level: Level,
    ) -> Result<(), PortFault> {
        // The key is a hash of the group too, so an equal key keeps its texts.
        let same = before.as_ref().filter(|before| before.key == row.key);
        let mut record = outputs::build_record(row, level, same, self.texts, self.frames)?;
        if let (Some(before), true) = (&before, record.title.is_empty()) {
            record.title.clone_from(&before.title);
        }
        let Some(before) = before else {
            let known = self.ledger.record(row.alert)?;
            record.revision = known.as_ref().map_or(0, |known| known.revision);
            record.raised = known.map_or(self.commit.epoch, |known| known.raised);
            let supersedes = record.supersedes.clone();
            self.emit(ChangeKind::Raised, record, supersedes);
            return Ok(());
        };
        (record.revision, record.raised) = (before.revision, before.raised);
        if differs(&before, &record) {
            let fresh = |alert: &&AlertId| !before.supersedes.contains(alert);
            let supersedes = record.supersedes.iter().filter(fresh).copied().collect();
            self.emit(ChangeKind::Revised, record, supersedes);
        } else if before != record {
            self.commit.records.push(record);
        }
        Ok(())
    }

    /// Ends an alert that has no row.
    fn end(&mut self, mut record: AlertRecord, superseded: &BTreeMap<AlertId, AlertId>) {
        record.standing = false;
        if let Some(by) = superseded.get(&record.alert) {
            record.state = AlertState::SupersededBy(*by);
            self.commit.records.push(record);
        } else {
            self.emit(ChangeKind::Retracted, record, Vec::new());
        }
    }

    fn emit(&mut self, kind: ChangeKind, mut record: AlertRecord, supersedes: Vec<AlertId>) {
        record.revision += 1;
        record.cause = self.cause;
        self.commit.changes.push(Change {
            kind,
            epoch: self.commit.epoch,
            ordinal: self.commit.changes.len() as u32,
            supersedes,
            record: record.clone(),
        });
        self.commit.records.push(record);
    }
}

/// Whether two records of an alert differ in anything that it states. A count differs however
/// little, since this is said once.
fn differs(old: &AlertRecord, new: &AlertRecord) -> bool {
    let stated = |record: &AlertRecord| {
        let AlertRecord {
            key,
            version,
            level,
            state,
            first,
            last,
            count,
            limited,
            marked,
            ..
        } = *record;
        (
            key, version, level, state, first, last, count, limited, marked,
        )
    };
    stated(old) != stated(new)
        || old.rule != new.rule
        || old.group != new.group
        || old.supersedes != new.supersedes
        || old.evidence != new.evidence
}

/// Reads all records that stand.
fn standing_records(ledger: &dyn AlertLedger) -> Result<BTreeMap<AlertId, AlertRecord>, PortFault> {
    let (mut all, mut after) = (BTreeMap::new(), None);
    loop {
        let page = ledger.records(after)?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = Some(last.alert);
        let standing = page.into_iter().filter(|record| record.standing);
        all.extend(standing.map(|record| (record.alert, record)));
    }
}

/// Gives rows the ids of the standing records that they continue: those of the same id, else of the
/// same key, else of the same rule with a common event.
fn match_ids(
    rows: &BTreeMap<AlertId, StandingRow>,
    old: &BTreeMap<AlertId, AlertRecord>,
    texts: &AlertTexts,
    mut kept: KeptIds,
) -> KeptIds {
    let mut open: BTreeSet<AlertId> = old.keys().copied().collect();
    let mut new: Vec<&Arc<AlertRow>> = Vec::new();
    for (row, _) in rows.values() {
        if !open.remove(&kept.id(row.alert)) {
            new.push(row);
        }
    }
    let records = || old.values().filter(|record| open.contains(&record.alert));
    let by_key: BTreeMap<AlertId, AlertId> =
        records().map(|record| (record.key, record.alert)).collect();
    let mut by_member: BTreeMap<(RuleId, Position), AlertId> = BTreeMap::new();
    for record in records() {
        for item in items(&record.evidence) {
            let member = (record.rule.clone(), item.position);
            if let Entry::Vacant(entry) = by_member.entry(member) {
                entry.insert(record.alert);
            }
        }
    }
    let mut take = |alert: &AlertId| open.remove(alert).then_some(*alert);
    new.retain(|row| match by_key.get(&row.key).and_then(&mut take) {
        Some(alert) => {
            kept.keep(row.alert, alert);
            false
        }
        None => true,
    });
    for row in new {
        let Some(plan) = texts.plan(row) else {
            continue;
        };
        let member = |item: &EvidenceItem| by_member.get(&(plan.rule.clone(), item.position));
        if let Some(alert) = items(&row.evidence).filter_map(member).find_map(&mut take) {
            kept.keep(row.alert, alert);
        }
    }
    kept
}

fn items(evidence: &weir_schema::Evidence) -> impl Iterator<Item = &EvidenceItem> {
    evidence.head.iter().chain(&evidence.tail)
}
