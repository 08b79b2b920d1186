//! Random histories with a what-if.
//!
//! A shadow emits what the edit would, affects nothing else, and its promotion has the result of
//! the edit made when the what-if began.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::prelude::*;
use weir_schema::{
    AlertId, AlertRow, Basis, Epoch, EventTime, Fact, MemberCondition, Plan, PlanId, PlanKind,
    PlanOutput, RuleVersion, Span,
};

use super::backfill::{is_late, seen_at};
use super::cases::{SHADOW, WHAT_IF};
use super::history::{History, directives};
use super::random_plans::{RULE, UNIT, random_bounds, random_condition, random_value_bounds};
use super::stages::standing_alert;
use crate::correlate::{Correlator, CorrelatorOutput, Directive};
use crate::reference::StandingAlert;

/// The epoch in which a what-if begins.
const BEGINS_AT: u64 = 12;

#[derive(Debug, Default)]
struct Coverage {
    histories: u32,
    /// Histories in which the shadow differed from the plan at some time.
    differed: u32,
    promoted: u32,
    /// Late facts that arrived while a shadow ran.
    late: u64,
}

/// A candidate edit of `plan`: other bounds or conditions, and for `Basis::Facts` also another
/// window.
fn candidate(history: &mut History, plan: &Plan, basis: Basis) -> Plan {
    let from_facts = matches!(basis, Basis::Facts(_));
    let mut candidate = plan.clone();
    candidate.version = RuleVersion(1_000);
    match &mut candidate.kind {
        PlanKind::EventCount { bounds } | PlanKind::ValueCount { bounds } => {
            *bounds = random_bounds(&mut history.rng);
        }
        PlanKind::Value { bounds, .. } => *bounds = random_value_bounds(&mut history.rng),
        PlanKind::Temporal { condition, .. } => {
            let other = random_condition(&mut history.rng);
            let marks = |condition: &MemberCondition| {
                let mut marks = [false; 3];
                condition.mark_positive(&mut marks);
                marks
            };
            if from_facts || marks(&other) == marks(condition) {
                *condition = other;
            }
        }
        PlanKind::TemporalOrdered { .. } | PlanKind::NotFollowed { .. } | PlanKind::Silence => {}
    }
    if from_facts {
        candidate.id = PlanId(40);
        candidate.rule = "another".into();
        candidate.timespan = Span(history.rng.random_range(1..20) * UNIT);
        if history.rng.random_bool(0.5) {
            candidate.since = history.clock.watermark.max(EventTime(0));
        }
    } else if history.rng.random_bool(0.2) {
        candidate.until = history.clock.watermark.max(EventTime(0));
    }
    candidate
}

/// Standing rows with their multiplicity.
type Rows = BTreeMap<Arc<AlertRow>, isize>;

/// Adds rows up. The result may include rows of removed plans.
fn add(standing: &mut Rows, rows: &[(Arc<AlertRow>, isize)]) {
    for (row, diff) in rows {
        *standing.entry(Arc::clone(row)).or_default() += diff;
    }
    standing.retain(|_, diff| *diff != 0);
}

fn all(rows: &Rows) -> Vec<StandingAlert> {
    let mut all: Vec<StandingAlert> = rows.keys().map(|row| standing_alert(row)).collect();
    all.sort();
    all
}

/// The copies of `facts` that a candidate with facts of its own gets, under the id `id`.
fn copies(facts: &[Fact], of: PlanId, since: EventTime, id: PlanId) -> Vec<Fact> {
    let mine = facts
        .iter()
        .filter(|fact| fact.plan == of && since <= fact.time);
    mine.map(|fact| Fact { plan: id, ..*fact }).collect()
}

/// Fails with the alerts that only one of the two lists has.
fn compare(when: &str, found: &[StandingAlert], wanted: &[StandingAlert]) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let only = |a: &[StandingAlert], b: &[StandingAlert]| {
        let only = a.iter().filter(|row| !b.contains(row));
        only.map(|row| format!("{row:?}\n")).collect::<String>()
    };
    let (extra, missing) = (only(found, wanted), only(wanted, found));
    Err(format!("{when}: found {extra}wanted {missing}"))
}

/// A running what-if: the candidate plan, and the live plan that it edits.
struct Trial {
    plan: Plan,
    of: PlanId,
    promoted: bool,
}

/// The input of one epoch for each of the three correlators.
struct TrialEpoch {
    facts: Vec<Fact>,
    tried_facts: Vec<Fact>,
    edited_facts: Vec<Fact>,
    directives: Vec<Directive>,
    tried_directives: Vec<Directive>,
    edited_directives: Vec<Directive>,
}

/// A history played with a what-if, with the edit, and with neither.
struct TrialHistory {
    history: History,
    /// Runs the what-if and promotes it.
    tried: Correlator,
    tried_rows: Rows,
    shadow_rows: Rows,
    /// Makes the edit when the what-if begins.
    edited: Correlator,
    edited_rows: Rows,
    /// Makes no edit.
    plain: Correlator,
    plain_rows: Rows,
    trial: Option<Trial>,
    /// All facts so far.
    past: Vec<Fact>,
    /// Alerts that were forgotten before the what-if began; nothing changes them any more.
    settled: BTreeSet<AlertId>,
    differed: bool,
}

impl TrialHistory {
    fn new(seed: u64, only: Option<&'static str>) -> Self {
        Self {
            history: History::new(seed, only),
            tried: Correlator::default(),
            tried_rows: Rows::new(),
            shadow_rows: Rows::new(),
            edited: Correlator::default(),
            edited_rows: Rows::new(),
            plain: Correlator::default(),
            plain_rows: Rows::new(),
            trial: None,
            past: Vec::new(),
            settled: BTreeSet::new(),
            differed: false,
        }
    }

    /// Plays the history. `groups` selects a what-if from groups, and not from facts.
    fn play(&mut self, groups: bool, coverage: &mut Coverage) -> Result<(), String> {
        let mut now = 50;
        for epoch in 1..=40 {
            now += self.history.rng.random_range(0..8);
            let input = self.input(epoch, now, groups, coverage)?;
            self.run(epoch, &input, coverage)?;
            self.compare(epoch)?;
        }
        coverage.histories += 1;
        coverage.differed += u32::from(self.differed);
        Ok(())
    }

    fn input(
        &mut self,
        epoch: u64,
        now: i64,
        groups: bool,
        coverage: &mut Coverage,
    ) -> Result<TrialEpoch, String> {
        // Further edits would end the what-if.
        let steps = if epoch == 1 {
            self.history.plan_steps(epoch)
        } else {
            Vec::new()
        };
        let facts = self.history.facts(now);
        let source_times = self.history.source_times(now);
        let clock = self.history.advance(now);
        let common = directives(&steps, &source_times, clock);
        let mut input = TrialEpoch {
            tried_facts: facts.clone(),
            edited_facts: facts.clone(),
            facts,
            tried_directives: common.clone(),
            edited_directives: common.clone(),
            directives: common,
        };
        let backfill = match epoch {
            BEGINS_AT => self.begin(groups, &mut input)?,
            _ => Vec::new(),
        };
        self.promote_sometimes(epoch, &mut input, coverage);
        let again = input.facts.iter().filter(|fact| !is_late(fact));
        self.past.extend(again.copied());
        self.copy_facts(&mut input, backfill);
        input.tried_facts.shuffle(&mut self.history.rng);
        input.facts.shuffle(&mut self.history.rng);
        Ok(input)
    }

    /// Begins the what-if, and the edit. Returns the backfill of the edited plan.
    fn begin(&mut self, groups: bool, input: &mut TrialEpoch) -> Result<Vec<Fact>, String> {
        let plan = self.history.plans.values().next().cloned();
        let plan = plan.ok_or("no plan")?;
        let basis = if groups || plan.kind.is_absence() {
            Basis::Groups(plan.id)
        } else {
            Basis::Facts(plan.id)
        };
        let candidate = candidate(&mut self.history, &plan, basis);
        let shadow = Directive::Shadow {
            plan: Arc::new(Plan {
                id: SHADOW,
                output: PlanOutput::WhatIf(WHAT_IF),
                ..candidate.clone()
            }),
            basis,
        };
        input.tried_directives.insert(0, shadow);
        let edit = Directive::Install(Arc::new(candidate.clone()));
        input.edited_directives.insert(0, edit);
        let backfill = if candidate.id == plan.id {
            Vec::new()
        } else {
            copies(&self.past, plan.id, candidate.since, candidate.id)
        };
        self.trial = Some(Trial {
            plan: candidate,
            of: plan.id,
            promoted: false,
        });
        Ok(backfill)
    }

    fn promote_sometimes(&mut self, epoch: u64, input: &mut TrialEpoch, coverage: &mut Coverage) {
        if let Some(trial) = &mut self.trial
            && !trial.promoted
            && epoch > 20
            && self.history.rng.random_bool(0.1)
        {
            trial.promoted = true;
            let plan = Arc::new(trial.plan.clone());
            let promote = Directive::Promote { plan, from: SHADOW };
            input.tried_directives.insert(0, promote);
            coverage.promoted += 1;
        }
    }

    /// Gives the candidate its facts, as the rules would.
    fn copy_facts(&self, input: &mut TrialEpoch, backfill: Vec<Fact>) {
        let Some(Trial { plan, of, promoted }) = &self.trial else {
            return;
        };
        if plan.id == *of {
            // Rules give a plan no facts after its end.
            let runs = |fact: &Fact| fact.plan != *of || seen_at(fact) < plan.until;
            input.edited_facts.retain(runs);
            input.tried_facts.retain(|fact| !promoted || runs(fact));
        } else {
            let id = if *promoted { plan.id } else { SHADOW };
            let (facts, since) = (&input.facts, plan.since);
            input.tried_facts.extend(copies(facts, *of, since, id));
            input
                .edited_facts
                .extend(copies(facts, *of, since, plan.id));
            input.edited_facts.extend(backfill);
        }
    }

    /// Runs an epoch of all three correlators.
    fn run(
        &mut self,
        epoch: u64,
        input: &TrialEpoch,
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let at = Epoch(epoch);
        let tried = self
            .tried
            .epoch(at, &input.tried_facts, &input.tried_directives);
        if epoch == BEGINS_AT {
            let begun = tried.what_ifs.values().flat_map(|what_if| &what_if.rows);
            let begun: BTreeSet<AlertId> = begun.map(|(row, _)| row.alert).collect();
            let before = self.plain_rows.keys().map(|row| row.alert);
            self.settled = before.filter(|alert| !begun.contains(alert)).collect();
        }
        let edited = self
            .edited
            .epoch(at, &input.edited_facts, &input.edited_directives);
        let plain = self.plain.epoch(at, &input.facts, &input.directives);
        add(&mut self.tried_rows, &tried.rows);
        add(&mut self.edited_rows, &edited.rows);
        add(&mut self.plain_rows, &plain.rows);
        for what_if in tried.what_ifs.values() {
            add(&mut self.shadow_rows, &what_if.rows);
            coverage.late += what_if.counts.late;
        }
        let retractions = |output: &CorrelatorOutput| {
            let mut alerts = output.retractions.clone();
            alerts.sort();
            alerts
        };
        if !self.is_promoted() && retractions(&tried) != retractions(&plain) {
            return Err(format!("epoch {epoch}: the what-if changed a retraction"));
        }
        Ok(())
    }

    fn is_promoted(&self) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.promoted)
    }

    fn compare(&mut self, epoch: u64) -> Result<(), String> {
        if self.is_promoted() {
            let when = format!("epoch {epoch}, promoted");
            return compare(&when, &all(&self.tried_rows), &all(&self.edited_rows));
        }
        if self.tried_rows != self.plain_rows {
            return Err(format!("epoch {epoch}: the what-if changed a row"));
        }
        if let Some(Trial { plan, .. }) = &self.trial {
            let shadow = self.open_rows(&self.shadow_rows, SHADOW, plan.id);
            let edited = self.open_rows(&self.edited_rows, plan.id, plan.id);
            compare(&format!("epoch {epoch}, tried"), &shadow, &edited)?;
            let plain = self.open_rows(&self.plain_rows, plan.id, plan.id);
            self.differed |= shadow != plain;
        }
        Ok(())
    }

    /// The rows of a plan whose alerts are not settled, under the id `name`.
    fn open_rows(&self, rows: &Rows, plan: PlanId, name: PlanId) -> Vec<StandingAlert> {
        assert!(rows.values().all(|diff| *diff == 1), "{rows:#?}");
        let mine = rows.keys().filter(|row| row.plan == plan);
        let open = mine.filter(|row| !self.settled.contains(&row.alert));
        let named = open.map(|row| StandingAlert {
            plan: name,
            ..standing_alert(row)
        });
        let mut found: Vec<StandingAlert> = named.collect();
        found.sort();
        found
    }
}

#[test]
fn a_shadow_equals_the_edit_before_and_after_its_promotion() {
    let mut coverage = Coverage::default();
    for seed in 0..1_500 {
        for groups in [true, false] {
            let only = (seed % 4 == 0).then_some(RULE);
            let mut history = TrialHistory::new(seed, only);
            if let Err(difference) = history.play(groups, &mut coverage) {
                panic!("seed {seed}, groups {groups}: {difference}");
            }
        }
    }
    let least = coverage.histories / 4;
    assert!(
        coverage.differed > least
            && coverage.promoted > 2 * least
            && coverage.late > u64::from(least),
        "{coverage:?}"
    );
    println!("{coverage:?}");
}
