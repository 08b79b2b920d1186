//! Alerts about conditions of Weir itself, from the entries in which the server reports them.
//!
//! The server observes; the graph only counts entries. So a replay raises the same alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_schema::condition::{
    CONDITION_RECURS_WITHIN, CONDITION_SUBJECTS_MAX, Condition, condition_tenant,
};
use weir_schema::{
    AlertRow, AlertState, Cause, ConditionKind, Epoch, EventTime, Evidence, GroupKey, ReceiveTime,
};

use super::SourceOutput;

/// An entry about a condition, without its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConditionNote {
    /// Its place among all such entries of the journal.
    pub ordinal: u64,
    pub kind: ConditionKind,
    pub group: GroupKey,
    pub standing: bool,
    pub received: ReceiveTime,
}

impl ConditionNote {
    #[must_use]
    pub fn new(ordinal: u64, condition: &Condition) -> Self {
        Self {
            ordinal,
            kind: condition.kind,
            group: condition.kind.group(&condition.subject),
            standing: condition.standing,
            received: condition.received,
        }
    }
}

/// The standing conditions. Pure: [`crate::sources`] feeds it epoch by epoch.
///
/// **Invariant.** The rows emitted so far, added up, hold one row for each standing lasting
/// condition, and one for each episode of a momentary one. The order of notes within an epoch has
/// no effect.
///
/// **Cost.** O(log subjects) per note. Each kind has at most [`CONDITION_SUBJECTS_MAX`] subjects:
/// further lasting conditions raise no alert; of momentary ones, the oldest episode is forgotten.
#[derive(Debug, Default)]
pub struct ConditionMonitor {
    kinds: BTreeMap<ConditionKind, BTreeMap<GroupKey, Arc<AlertRow>>>,
}

impl ConditionMonitor {
    /// Processes the notes of an epoch. Returns the changes, in the order of the journal.
    pub fn epoch(&mut self, mut notes: Vec<ConditionNote>) -> Vec<SourceOutput> {
        notes.sort_unstable();
        let mut output = Vec::new();
        for note in notes {
            if note.standing {
                self.stand(&note, &mut output);
            } else {
                self.end(&note, &mut output);
            }
        }
        output
    }

    fn stand(&mut self, note: &ConditionNote, output: &mut Vec<SourceOutput>) {
        let groups = self.kinds.entry(note.kind).or_default();
        let momentary = note.kind.is_momentary();
        let before = groups.get(&note.group).cloned();
        let recent = |row: &Arc<AlertRow>| {
            !momentary || note.received.0 <= row.last.plus(CONDITION_RECURS_WITHIN).0
        };
        let row = match before.filter(recent) {
            Some(before) => {
                let row = revised_row(&before, note);
                output.push(row_update(before, note.kind, -1));
                row
            }
            None => {
                if groups.len() >= CONDITION_SUBJECTS_MAX && !groups.contains_key(&note.group) {
                    if !momentary {
                        return;
                    }
                    forget_oldest(groups);
                }
                first_row(note)
            }
        };
        let row = Arc::new(row);
        output.push(row_update(Arc::clone(&row), note.kind, 1));
        groups.insert(note.group, row);
    }

    fn end(&mut self, note: &ConditionNote, output: &mut Vec<SourceOutput>) {
        let groups = self.kinds.entry(note.kind).or_default();
        if let Some(row) = groups.remove(&note.group) {
            let cause = Cause::Condition(note.received);
            output.push(SourceOutput::Retracted(row.alert, cause));
            output.push(row_update(row, note.kind, -1));
        }
    }
}

/// Forgets the episode whose last entry is oldest; its alert stays.
fn forget_oldest(groups: &mut BTreeMap<GroupKey, Arc<AlertRow>>) {
    let oldest = groups.iter().min_by_key(|(group, row)| (row.last, **group));
    if let Some(group) = oldest.map(|(group, _)| *group) {
        groups.remove(&group);
    }
}

fn row_update(row: Arc<AlertRow>, kind: ConditionKind, diff: isize) -> SourceOutput {
    let level = kind.level();
    SourceOutput::Row { row, level, diff }
}

fn revised_row(before: &AlertRow, note: &ConditionNote) -> AlertRow {
    AlertRow {
        count: before.count.saturating_add(1),
        last: before.last.max(EventTime(note.received.0)),
        cause: Cause::Condition(note.received),
        ..before.clone()
    }
}

fn first_row(note: &ConditionNote) -> AlertRow {
    let first = EventTime(note.received.0);
    let alert = note.kind.alert(&note.group, first);
    AlertRow {
        alert,
        key: alert,
        plan: note.kind.plan(),
        plan_epoch: Epoch(0),
        version: note.kind.version(),
        tenant: condition_tenant(),
        group: note.group,
        state: AlertState::Confirmed,
        from: first,
        first,
        last: first,
        count: 1,
        limited: false,
        supersedes: Vec::new(),
        evidence: Evidence::default(),
        cause: Cause::Condition(note.received),
        marked: None,
    }
}

#[cfg(test)]
mod tests;
