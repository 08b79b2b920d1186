//! Results of what-ifs: compares the alerts of a changed rule with the live ones, alert by alert.
//!
//! The committer writes these results for people to read. Nothing in the graph depends on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_operators::{
    Backfills, CorrelationCounts, PlanChange, RuleBook, WHAT_IFS_MAX, WhatIf, WhatIfOutput,
};
use weir_schema::{AlertId, AlertRow, Basis, Control, Epoch, PlanId, WhatIfId};

use crate::outputs::{EpochOutput, RowChange};

/// Rows stored for each side of a what-if. Further rows are counted, and missing in the difference.
pub const WHAT_IF_ROWS_MAX: usize = 50_000;

/// The state of a what-if.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhatIfState {
    /// Its events are still being read; it has no result yet.
    Deriving,
    Running,
    /// It ended because another edit changed a rule that it affects.
    Overtaken,
    /// The rule book refused it.
    Refused,
}

impl WhatIfState {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deriving => "deriving",
            Self::Running => "running",
            Self::Overtaken => "overtaken",
            Self::Refused => "refused",
        }
    }

    /// Whether it is neither overtaken nor refused.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Deriving | Self::Running)
    }
}

/// Number of alerts that the what-if would change, by kind of change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WhatIfDifference {
    /// Would be raised.
    pub gained: usize,
    /// Would be retracted.
    pub lost: usize,
    /// Would be revised.
    pub changed: usize,
    /// Would be the same under another version of their rule.
    pub restated: usize,
    /// Would stay as they are.
    pub same: usize,
}

/// One alert that the what-if would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertDifference {
    pub alert: AlertId,
    pub live: Option<Arc<AlertRow>>,
    pub shadow: Option<Arc<AlertRow>>,
}

/// A summary of a what-if.
#[derive(Clone, Debug)]
pub struct WhatIfReport {
    pub id: WhatIfId,
    pub state: WhatIfState,
    /// The epoch that added it.
    pub start_epoch: Epoch,
    pub what_if: Option<Arc<WhatIf>>,
    pub difference: WhatIfDifference,
    pub counts: CorrelationCounts,
    /// Rows beyond [`WHAT_IF_ROWS_MAX`]. If there are any, the difference is incomplete.
    pub omitted_rows: u64,
}

/// All what-ifs, shared between the committer and its readers.
#[derive(Default)]
pub struct WhatIfs(Mutex<WhatIfTable>);

#[derive(Default)]
struct WhatIfTable {
    /// The live rows, by plan; the graph shares them.
    live: BTreeMap<PlanId, Rows>,
    entries: BTreeMap<WhatIfId, WhatIfEntry>,
}

type Rows = BTreeMap<AlertId, Arc<AlertRow>>;

struct WhatIfEntry {
    state: WhatIfState,
    start_epoch: Epoch,
    /// Whether one of its plans is in a stepwise backfill, or waits for one that is.
    backfilling: bool,
    what_if: Option<Arc<WhatIf>>,
    /// Plans whose rows it may change.
    affected: BTreeSet<PlanId>,
    /// The live plan of each shadow that started as a copy of its groups.
    copies: BTreeMap<PlanId, PlanId>,
    live: Rows,
    shadow: Rows,
    counts: CorrelationCounts,
    omitted_rows: u64,
}

impl WhatIfs {
    /// All what-ifs, in order of id.
    #[must_use]
    pub fn list(&self) -> Vec<WhatIfReport> {
        let table = self.lock();
        table
            .entries
            .iter()
            .map(|(id, entry)| entry.report(*id))
            .collect()
    }

    #[must_use]
    pub fn report(&self, id: WhatIfId) -> Option<WhatIfReport> {
        self.lock().entries.get(&id).map(|entry| entry.report(id))
    }

    /// The alerts that the what-if would change, in order of alert id.
    #[must_use]
    pub fn alert_differences(&self, id: WhatIfId) -> Option<Vec<AlertDifference>> {
        let table = self.lock();
        let entry = table.entries.get(&id)?;
        let all: BTreeSet<&AlertId> = entry.live.keys().chain(entry.shadow.keys()).collect();
        let pairs = all.into_iter().map(|alert| AlertDifference {
            alert: *alert,
            live: entry.live.get(alert).cloned(),
            shadow: entry.shadow.get(alert).cloned(),
        });
        let differs = |pair: &AlertDifference| match (&pair.live, &pair.shadow) {
            (Some(live), Some(shadow)) => !same_content(live, shadow),
            _ => true,
        };
        Some(pairs.filter(differs).collect())
    }

    /// Applies a control entry that `book` has applied.
    pub(crate) fn apply_control(
        &self,
        epoch: Epoch,
        control: &Control,
        book: &RuleBook,
        backfills: &Backfills,
    ) {
        let mut table = self.lock();
        match control {
            Control::WhatIfPut { id, .. } if !table.is_active(*id) => {
                table.evict_ended();
                let mut entry = WhatIfEntry::new(epoch, book.what_ifs().get(id), &table.live);
                entry.update_backfilling(&backfills.buffered_plans());
                table.entries.insert(*id, entry);
            }
            Control::WhatIfPromote { id } | Control::WhatIfDrop { id } => {
                table.entries.remove(id);
            }
            _ => {}
        }
        for (id, entry) in &mut table.entries {
            if entry.state.is_active() && !book.what_ifs().contains_key(id) {
                entry.end(WhatIfState::Overtaken);
            }
        }
    }

    /// Applies the output of an epoch. `backfills` are those in progress after it.
    pub(crate) fn apply_output(&self, output: &EpochOutput, backfills: &Backfills) {
        let mut table = self.lock();
        let table = &mut *table;
        table.apply_output(output);
        let deriving = |entry: &&mut WhatIfEntry| entry.state == WhatIfState::Deriving;
        for entry in table.entries.values_mut().filter(deriving) {
            if entry.backfilling {
                entry.update_backfilling(&backfills.buffered_plans());
            }
            if !entry.backfilling {
                entry.state = WhatIfState::Running;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, WhatIfTable> {
        // After a panic elsewhere it may hold half of an epoch; only people read it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WhatIfTable {
    fn apply_output(&mut self, output: &EpochOutput) {
        for RowChange { old, new } in output.net_changes().into_values() {
            if let Some(old) = &old {
                if let Some(rows) = self.live.get_mut(&old.plan) {
                    rows.remove(&old.alert);
                    if rows.is_empty() {
                        self.live.remove(&old.plan);
                    }
                }
                let entries = self.entries.values_mut();
                for entry in entries.filter(|entry| entry.affected.contains(&old.plan)) {
                    entry.live.remove(&old.alert);
                }
            }
            if let Some((new, _)) = new {
                let entries = self.entries.values_mut();
                for entry in entries.filter(|entry| entry.affected.contains(&new.plan)) {
                    insert_row(&mut entry.live, &new, &mut entry.omitted_rows);
                }
                let rows = self.live.entry(new.plan).or_default();
                rows.insert(new.alert, new);
            }
        }
        for (id, shadow) in &output.what_ifs {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.apply_output(output.epoch, shadow, &self.live);
            }
        }
    }

    fn is_active(&self, id: WhatIfId) -> bool {
        let known = self.entries.get(&id);
        known.is_some_and(|entry| entry.state.is_active())
    }

    /// Forgets ended what-ifs once there are many.
    fn evict_ended(&mut self) {
        if self.entries.len() >= 2 * WHAT_IFS_MAX {
            self.entries.retain(|_, entry| entry.state.is_active());
        }
    }
}

impl WhatIfEntry {
    fn new(
        start_epoch: Epoch,
        what_if: Option<&Arc<WhatIf>>,
        live: &BTreeMap<PlanId, Rows>,
    ) -> Self {
        let mut entry = Self {
            state: WhatIfState::Refused,
            start_epoch,
            backfilling: false,
            what_if: what_if.cloned(),
            affected: BTreeSet::new(),
            copies: BTreeMap::new(),
            live: Rows::new(),
            shadow: Rows::new(),
            counts: CorrelationCounts::default(),
            omitted_rows: 0,
        };
        let Some(what_if) = what_if else {
            return entry;
        };
        entry.state = WhatIfState::Deriving;
        entry.affected = what_if.affected_plans().collect();
        // A plan that would be removed loses all its rows. Settled rows of the other plans stay.
        let replaced: BTreeSet<PlanId> =
            what_if.shadows.iter().map(|shadow| shadow.target).collect();
        for change in &what_if.net {
            if let PlanChange::Remove(plan) = change
                && !replaced.contains(plan)
            {
                for row in live.get(plan).into_iter().flat_map(Rows::values) {
                    insert_row(&mut entry.live, row, &mut entry.omitted_rows);
                }
            }
        }
        let copies = what_if.shadows.iter();
        let copies = copies.filter(|shadow| matches!(shadow.basis, Basis::Groups(_)));
        entry.copies = copies
            .map(|shadow| (shadow.plan.id, shadow.target))
            .collect();
        entry
    }

    fn apply_output(&mut self, epoch: u64, shadow: &WhatIfOutput, live: &BTreeMap<PlanId, Rows>) {
        self.counts.add(&shadow.counts);
        if epoch == self.start_epoch.0 {
            // The shadow copied the groups that may still change: those rows are its live side.
            for (row, _) in shadow.rows.iter().filter(|(_, diff)| *diff > 0) {
                let target = self.copies.get(&row.plan);
                let live_rows = target.and_then(|target| live.get(target));
                if let Some(original) = live_rows.and_then(|rows| rows.get(&row.alert)) {
                    insert_row(&mut self.live, original, &mut self.omitted_rows);
                }
            }
        }
        let mut sums: BTreeMap<&Arc<AlertRow>, isize> = BTreeMap::new();
        for (row, diff) in &shadow.rows {
            *sums.entry(row).or_default() += diff;
        }
        for (row, _) in sums.iter().filter(|(_, diff)| **diff < 0) {
            if self
                .shadow
                .get(&row.alert)
                .is_some_and(|known| known == *row)
            {
                self.shadow.remove(&row.alert);
            }
        }
        for (row, _) in sums.iter().filter(|(_, diff)| **diff > 0) {
            insert_row(&mut self.shadow, row, &mut self.omitted_rows);
        }
    }

    /// Updates whether one of its plans is among the `buffered` ones.
    fn update_backfilling(&mut self, buffered: &BTreeSet<PlanId>) {
        let shadows = self.what_if.iter().flat_map(|what_if| &what_if.shadows);
        let mut plans = shadows.map(|shadow| shadow.plan.id);
        self.backfilling = plans.any(|plan| buffered.contains(&plan));
    }

    fn end(&mut self, state: WhatIfState) {
        self.state = state;
        self.affected.clear();
        self.live.clear();
        self.shadow.clear();
    }

    fn report(&self, id: WhatIfId) -> WhatIfReport {
        let mut difference = WhatIfDifference::default();
        for (alert, live) in &self.live {
            match self.shadow.get(alert) {
                None => difference.lost += 1,
                Some(shadow) if !same_content(live, shadow) => difference.changed += 1,
                Some(shadow) if live.version != shadow.version => difference.restated += 1,
                Some(_) => difference.same += 1,
            }
        }
        let matched = difference.changed + difference.restated + difference.same;
        difference.gained = self.shadow.len().saturating_sub(matched);
        WhatIfReport {
            id,
            state: self.state,
            start_epoch: self.start_epoch,
            what_if: self.what_if.clone(),
            difference,
            counts: self.counts.clone(),
            omitted_rows: self.omitted_rows,
        }
    }
}

fn insert_row(rows: &mut Rows, row: &Arc<AlertRow>, omitted_rows: &mut u64) {
    if rows.len() < WHAT_IF_ROWS_MAX || rows.contains_key(&row.alert) {
        rows.insert(row.alert, Arc::clone(row));
    } else {
        *omitted_rows += 1;
    }
}

/// Whether two rows of an alert differ in nothing that people see.
fn same_content(live: &AlertRow, shadow: &AlertRow) -> bool {
    live.key == shadow.key
        && live.count == shadow.count
        && live.first == shadow.first
        && live.last == shadow.last
        && live.state == shadow.state
        && live.supersedes == shadow.supersedes
        && live.evidence == shadow.evidence
}
