//! The correlators of all stages, one after the other, and the rows that stand after them.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{AlertId, AlertRow, Epoch, Evidence, Fact, GroupLink, Plan, PlanId};

use crate::correlate::{Correlator, CorrelatorOutput, Directive, StageUpdate};
use crate::reference::StandingAlert;

/// Correlators of all stages, with their rows added up.
pub struct Stages {
    correlators: Vec<Correlator>,
    pub standing: BTreeMap<AlertId, Arc<AlertRow>>,
}

/// The number of rows that an epoch added and removed.
pub struct RowCounts {
    pub added: u32,
    pub removed: u32,
}

impl Default for Stages {
    fn default() -> Self {
        Self {
            correlators: (0..=Plan::STAGE_MAX)
                .map(|stage| Correlator::for_stage(stage, None))
                .collect(),
            standing: BTreeMap::new(),
        }
    }
}

impl Stages {
    /// Processes an epoch, stage by stage.
    pub fn epoch(
        &mut self,
        epoch: Epoch,
        facts: &[(u8, Fact)],
        links: &[Vec<GroupLink>],
        directives: &[Directive],
    ) -> CorrelatorOutput {
        let mut all = CorrelatorOutput {
            downstream: links.iter().cloned().map(StageUpdate::Links).collect(),
            ..CorrelatorOutput::default()
        };
        for (stage, correlator) in (0..).zip(&mut self.correlators) {
            let own = facts.iter().filter(|(of, _)| *of == stage);
            let own: Vec<Fact> = own.map(|(_, fact)| *fact).collect();
            let output = correlator.epoch_in_chain(epoch, &own, &all.downstream, directives);
            all.rows.extend(output.rows);
            all.retractions.extend(output.retractions);
            all.counts.add(&output.counts);
            all.downstream.extend(output.downstream);
        }
        all
    }

    /// Adds the rows up. Fails if a row is removed that does not stand, or added twice.
    pub fn add(
        &mut self,
        output: CorrelatorOutput,
        removed_plans: &[PlanId],
    ) -> Result<RowCounts, String> {
        let mut counts = RowCounts {
            added: 0,
            removed: 0,
        };
        let mut net: BTreeMap<Arc<AlertRow>, isize> = BTreeMap::new();
        for (row, diff) in output.rows {
            *net.entry(row).or_default() += diff;
        }
        for (row, diff) in net.iter().filter(|(_, diff)| **diff < 0) {
            let known = self.standing.remove(&row.alert);
            if *diff != -1 || known.as_ref() != Some(row) {
                return Err(format!("removed a row that does not stand: {row:?}"));
            }
            counts.removed += 1;
        }
        // Downstream, the removal of a rule removes all of its alerts.
        self.standing
            .retain(|_, row| !removed_plans.contains(&row.plan));
        for (row, diff) in net.iter().filter(|(_, diff)| **diff > 0) {
            let known = self.standing.insert(row.alert, Arc::clone(row));
            if *diff != 1 || known.is_some() {
                return Err(format!("added {} twice", row.alert));
            }
            counts.added += 1;
        }
        Ok(counts)
    }

    /// The standing alerts, sorted.
    pub fn rows(&self) -> Vec<StandingAlert> {
        let rows = self.standing.values();
        let mut rows: Vec<StandingAlert> = rows.map(|row| standing_alert(row)).collect();
        rows.sort();
        rows
    }
}

/// The columns of a row in which it must equal the oracle.
pub fn standing_alert(row: &AlertRow) -> StandingAlert {
    let Evidence { head, tail } = &row.evidence;
    StandingAlert {
        key: row.key,
        plan: row.plan,
        version: row.version,
        tenant: row.tenant,
        group: row.group,
        state: row.state,
        first: row.first,
        last: row.last,
        count: row.count,
        evidence: head.iter().chain(tail).map(|item| item.event).collect(),
        marked: row.marked,
    }
}

/// Compares the standing alerts of an epoch with those of the oracle.
pub fn compare(
    epoch: u64,
    found: &[StandingAlert],
    wanted: &[StandingAlert],
) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let missing: Vec<_> = wanted.iter().filter(|row| !found.contains(row)).collect();
    let extra: Vec<_> = found.iter().filter(|row| !wanted.contains(row)).collect();
    Err(format!(
        "epoch {epoch}: missing {missing:#?}, extra {extra:#?}"
    ))
}
