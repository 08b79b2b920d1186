//! What what-ifs have come to: what they say beside what stands, told apart by the name of the alert.
//!
//! Nothing here bears on a result: it is what the committer hands over, to read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_operators::{Counts, Pasts, PlanChange, RuleBook, Tried, WHAT_IFS_MAX, WhatIf};
use weir_schema::{AlertId, AlertRow, Basis, Control, Epoch, PlanId, WhatIfId};

use crate::outputs::EpochOutput;

/// Rows that are kept of each side of a what-if; more are counted and left out of its difference.
pub const WHAT_IF_ROWS_MAX: usize = 50_000;

/// How a what-if stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhatIfState {
    /// It has not answered yet: what it is to see is still being read.
    Deriving,
    Running,
    /// A rule that it bears on was changed by someone else, so that it has ended.
    Overtaken,
    /// The rules did not take it.
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
    pub const fn is_alive(self) -> bool {
        matches!(self, Self::Deriving | Self::Running)
    }
}

/// How many alerts there would be, and would not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
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

/// One alert that would not be as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    pub alert: AlertId,
    pub live: Option<Arc<AlertRow>>,
    pub tried: Option<Arc<AlertRow>>,
}

/// A what-if in short.
#[derive(Clone, Debug)]
pub struct WhatIfReport {
    pub id: WhatIfId,
    pub state: WhatIfState,
    /// The epoch in which it was put.
    pub begun: Epoch,
    pub what_if: Option<Arc<WhatIf>>,
    pub difference: Difference,
    pub counts: Counts,
    /// Rows beyond [`WHAT_IF_ROWS_MAX`]: the difference is incomplete.
    pub left_out: u64,
}

/// All what-ifs, shared between the committer and whoever asks.
#[derive(Default)]
pub struct WhatIfs(Mutex<Board>);

#[derive(Default)]
struct Board {
    /// The rows that stand, by plan; each is one that the graph holds.
    live: BTreeMap<PlanId, Rows>,
    entries: BTreeMap<WhatIfId, Entry>,
}

type Rows = BTreeMap<AlertId, Arc<AlertRow>>;

struct Entry {
    state: WhatIfState,
    begun: Epoch,
    /// The plans of it that read the past in steps, or wait with one that does.
    waits: bool,
    what_if: Option<Arc<WhatIf>>,
    /// Plans whose rows it may change.
    touched: BTreeSet<PlanId>,
    /// Plans of which it has a copy, by its own.
    copies: BTreeMap<PlanId, PlanId>,
    live: Rows,
    tried: Rows,
    counts: Counts,
    left_out: u64,
}

impl WhatIfs {
    /// All what-ifs, in order of id.
    #[must_use]
    pub fn list(&self) -> Vec<WhatIfReport> {
        let board = self.lock();
        board
            .entries
            .iter()
            .map(|(id, entry)| entry.report(*id))
            .collect()
    }

    #[must_use]
    pub fn report(&self, id: WhatIfId) -> Option<WhatIfReport> {
        self.lock().entries.get(&id).map(|entry| entry.report(id))
    }

    /// The alerts that would not be as they are, in order of alert.
    #[must_use]
    pub fn differing(&self, id: WhatIfId) -> Option<Vec<Differing>> {
        let board = self.lock();
        let entry = board.entries.get(&id)?;
        let all: BTreeSet<&AlertId> = entry.live.keys().chain(entry.tried.keys()).collect();
        let pairs = all.into_iter().map(|alert| Differing {
            alert: *alert,
            live: entry.live.get(alert).cloned(),
            tried: entry.tried.get(alert).cloned(),
        });
        let differs = |one: &Differing| match (&one.live, &one.tried) {
            (Some(live), Some(tried)) => !alike(live, tried),
            _ => true,
        };
        Some(pairs.filter(differs).collect())
    }

    /// Follows an entry of the journal that `book` has taken.
    pub(crate) fn follow(&self, epoch: Epoch, control: &Control, book: &RuleBook, pasts: &Pasts) {
        let mut board = self.lock();
        match control {
            Control::WhatIfPut { id, .. } if !board.runs(*id) => {
                board.make_room();
                let mut entry = Entry::new(epoch, book.what_ifs().get(id), &board.live);
                entry.wait(&pasts.held());
                board.entries.insert(*id, entry);
            }
            Control::WhatIfPromote { id } | Control::WhatIfDrop { id } => {
                board.entries.remove(id);
            }
            _ => {}
        }
        for (id, entry) in &mut board.entries {
            if entry.state.is_alive() && !book.what_ifs().contains_key(id) {
                entry.end(WhatIfState::Overtaken);
            }
        }
    }

    /// Takes in what an epoch came to. Plans are `held` after it.
    pub(crate) fn take(&self, output: &EpochOutput, pasts: &Pasts) {
        let mut board = self.lock();
        let board = &mut *board;
        board.take(output);
        let deriving = |entry: &&mut Entry| entry.state == WhatIfState::Deriving;
        for entry in board.entries.values_mut().filter(deriving) {
            if entry.waits {
                entry.wait(&pasts.held());
            }
            if !entry.waits {
                entry.state = WhatIfState::Running;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        // It is only read by people: half of an epoch, after a panic elsewhere, is the worst of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    fn take(&mut self, output: &EpochOutput) {
        let board = self;
        for (old, new) in output.exchanged() {
            if let Some(old) = &old {
                if let Some(rows) = board.live.get_mut(&old.plan) {
                    rows.remove(&old.alert);
                    if rows.is_empty() {
                        board.live.remove(&old.plan);
                    }
                }
                let entries = board.entries.values_mut();
                for entry in entries.filter(|entry| entry.touched.contains(&old.plan)) {
                    entry.live.remove(&old.alert);
                }
            }
            if let Some(new) = new {
                let entries = board.entries.values_mut();
                for entry in entries.filter(|entry| entry.touched.contains(&new.plan)) {
                    keep(&mut entry.live, &new, &mut entry.left_out);
                }
                let rows = board.live.entry(new.plan).or_default();
                rows.insert(new.alert, new);
            }
        }
        for (id, tried) in &output.what_ifs {
            if let Some(entry) = board.entries.get_mut(id) {
                entry.take(output.epoch, tried, &board.live);
            }
        }
    }

    fn runs(&self, id: WhatIfId) -> bool {
        let known = self.entries.get(&id);
        known.is_some_and(|entry| entry.state.is_alive())
    }

    /// What has ended makes room for what begins.
    fn make_room(&mut self) {
        if self.entries.len() >= 2 * WHAT_IFS_MAX {
            self.entries.retain(|_, entry| entry.state.is_alive());
        }
    }
}

impl Entry {
    fn new(begun: Epoch, what_if: Option<&Arc<WhatIf>>, live: &BTreeMap<PlanId, Rows>) -> Self {
        let mut entry = Self {
            state: WhatIfState::Refused,
            begun,
            waits: false,
            what_if: what_if.cloned(),
            touched: BTreeSet::new(),
            copies: BTreeMap::new(),
            live: Rows::new(),
            tried: Rows::new(),
            counts: Counts::default(),
            left_out: 0,
        };
        let Some(what_if) = what_if else {
            return entry;
        };
        entry.state = WhatIfState::Deriving;
        entry.touched = what_if.touched().collect();
        // Of a plan that would go, all goes. Of the others, what is settled stays as it is.
        let kept: BTreeSet<PlanId> = what_if.shadows.iter().map(|one| one.of).collect();
        for change in &what_if.net {
            if let PlanChange::Remove(plan) = change
                && !kept.contains(plan)
            {
                for row in live.get(plan).into_iter().flat_map(Rows::values) {
                    keep(&mut entry.live, row, &mut entry.left_out);
                }
            }
        }
        let copies = what_if.shadows.iter();
        let copies = copies.filter(|one| matches!(one.basis, Basis::Groups(_)));
        entry.copies = copies.map(|one| (one.plan.id, one.of)).collect();
        entry
    }

    fn take(&mut self, epoch: u64, tried: &Tried, live: &BTreeMap<PlanId, Rows>) {
        self.counts.add(&tried.counts);
        if epoch == self.begun.0 {
            // What is copied is what may still change.
            for (row, _) in tried.rows.iter().filter(|(_, diff)| *diff > 0) {
                let of = self.copies.get(&row.plan).and_then(|of| live.get(of));
                if let Some(model) = of.and_then(|rows| rows.get(&row.alert)) {
                    keep(&mut self.live, model, &mut self.left_out);
                }
            }
        }
        let mut sums: BTreeMap<&Arc<AlertRow>, isize> = BTreeMap::new();
        for (row, diff) in &tried.rows {
            *sums.entry(row).or_default() += diff;
        }
        for (row, _) in sums.iter().filter(|(_, diff)| **diff < 0) {
            if self
                .tried
                .get(&row.alert)
                .is_some_and(|known| known == *row)
            {
                self.tried.remove(&row.alert);
            }
        }
        for (row, _) in sums.iter().filter(|(_, diff)| **diff > 0) {
            keep(&mut self.tried, row, &mut self.left_out);
        }
    }

    /// Whether some plan of it is among those that are held.
    fn wait(&mut self, held: &BTreeSet<PlanId>) {
        let shadows = self.what_if.iter().flat_map(|what_if| &what_if.shadows);
        let mut plans = shadows.map(|shadow| shadow.plan.id);
        self.waits = plans.any(|plan| held.contains(&plan));
    }

    fn end(&mut self, state: WhatIfState) {
        self.state = state;
        self.touched.clear();
        self.live.clear();
        self.tried.clear();
    }

    fn report(&self, id: WhatIfId) -> WhatIfReport {
        let mut difference = Difference::default();
        for (alert, live) in &self.live {
            match self.tried.get(alert) {
                None => difference.lost += 1,
                Some(tried) if !alike(live, tried) => difference.changed += 1,
                Some(tried) if live.version != tried.version => difference.restated += 1,
                Some(_) => difference.same += 1,
            }
        }
        let matched = difference.changed + difference.restated + difference.same;
        difference.gained = self.tried.len().saturating_sub(matched);
        WhatIfReport {
            id,
            state: self.state,
            begun: self.begun,
            what_if: self.what_if.clone(),
            difference,
            counts: self.counts.clone(),
            left_out: self.left_out,
        }
    }
}

fn keep(rows: &mut Rows, row: &Arc<AlertRow>, left_out: &mut u64) {
    if rows.len() < WHAT_IF_ROWS_MAX || rows.contains_key(&row.alert) {
        rows.insert(row.alert, Arc::clone(row));
    } else {
        *left_out += 1;
    }
}

/// Whether people would read the same of two rows of an alert.
fn alike(live: &AlertRow, tried: &AlertRow) -> bool {
    live.key == tried.key
        && live.count == tried.count
        && live.first == tried.first
        && live.last == tried.last
        && live.state == tried.state
        && live.supersedes == tried.supersedes
        && live.evidence == tried.evidence
}
