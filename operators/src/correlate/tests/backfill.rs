//! Plans whose backfill takes several epochs, by random histories.
//!
//! They emit nothing before their backfill ends. Then they equal an oracle that got the whole
//! backfill at once, and whose clock stood still meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::prelude::*;
use weir_schema::{
    AlertRow, Basis, Cause, Epoch, EventTime, Fact, Plan, PlanId, PlanOutput, SourceKey, TimeMark,
};

use super::cases::{FAR, PLAN, SHADOW, WHAT_IF, fact, pair};
use super::history::{History, directives, reference_clock, removed_plans};
use super::random_plans::{KINDS, RULE};
use super::stages::{Stages, compare};
use crate::clock::TenantClock;
use crate::correlate::{Correlator, CorrelatorOutput, Directive};
use crate::reference::{PlanStep, Reference};

/// The epoch that installs the plans with a backfill.
const INSTALLED_AT: u64 = 12;

#[derive(Debug, Default)]
struct Coverage {
    histories: u32,
    /// Histories in which the end of the backfill raised alerts.
    raised: u32,
    /// Facts behind the settled line when they arrived, which still counted.
    behind_line: u32,
    /// Plan changes during a backfill.
    edited: u32,
}

/// A history in which some plans are installed late, with the earlier facts as their backfill.
struct LateHistory {
    history: History,
    /// The plans with a backfill that are not removed.
    late_plans: BTreeSet<PlanId>,
    /// The facts still to come.
    backfill: Vec<Fact>,
    /// The epoch of the last facts.
    ends_at: u64,
    stages: Stages,
    /// The oracle of the late plans.
    late_oracle: Reference,
    /// The oracle of the other plans.
    oracle: Reference,
}

/// The changes of one epoch, as the oracles take them.
struct OracleEpoch<'e> {
    steps: &'e [PlanStep],
    facts: &'e [Fact],
    late_clock: Option<TenantClock>,
    clock: Option<TenantClock>,
}

impl LateHistory {
    fn new(seed: u64, only: Option<&'static str>) -> Self {
        let mut history = History::new(seed, only);
        let ends_at = INSTALLED_AT + history.rng.random_range(1..8);
        Self {
            history,
            late_plans: BTreeSet::new(),
            backfill: Vec::new(),
            ends_at,
            stages: Stages::default(),
            late_oracle: Reference::default(),
            oracle: Reference::default(),
        }
    }

    /// Whether a plan is installed late, removed or not.
    fn is_late(&self, plan: PlanId) -> bool {
        self.history.only == Some("chain") || plan.0 == 1
    }

    /// The plan steps of an epoch. A plan removed during its backfill is not installed again.
    fn steps(&mut self, epoch: u64) -> Vec<PlanStep> {
        let mut steps = self.history.plan_steps(epoch);
        if epoch == 1 {
            let late = self.history.plans.keys().filter(|id| self.is_late(**id));
            self.late_plans = late.copied().collect();
            steps.retain(|step| !self.late_plans.contains(&plan_of(step)));
        } else if epoch < INSTALLED_AT {
            // A late plan is installed as it is after all earlier changes.
            for step in &steps {
                if let PlanStep::Install(plan) = step {
                    self.history.plans.insert(plan.id, plan.clone());
                }
            }
            steps.retain(|step| !self.late_plans.contains(&plan_of(step)));
        } else if epoch == INSTALLED_AT {
            self.late_plans
                .retain(|id| self.history.plans.contains_key(id));
            steps.retain(|step| !self.late_plans.contains(&plan_of(step)));
            let late = self.late_plans.iter();
            let install = |id: &PlanId| PlanStep::Install(self.history.plans[id].clone());
            steps.extend(late.map(install));
        } else if epoch <= self.ends_at {
            let mut removed = removed_plans(&steps);
            removed.retain(|id| self.late_plans.contains(id));
            for id in &removed {
                self.history.plans.remove(id);
                self.late_plans.remove(id);
            }
            let again =
                |s: &PlanStep| matches!(s, PlanStep::Install(plan) if removed.contains(&plan.id));
            steps.retain(|step| !again(step));
        }
        steps
    }

    /// The part of the backfill that arrives in an epoch.
    fn backfill_part(&mut self, epoch: u64) -> Vec<Fact> {
        if epoch < INSTALLED_AT || epoch > self.ends_at {
            return Vec::new();
        }
        let left = self.backfill.len();
        let count = match epoch == self.ends_at {
            true => left,
            false => self.history.rng.random_range(0..=left),
        };
        let mut part: Vec<Fact> = self.backfill.drain(..count).collect();
        retain_running(&mut part, &self.history);
        part
    }

    /// Sets aside the facts of late plans, and returns all facts that the oracles get.
    fn set_aside(&mut self, epoch: u64, facts: &mut Vec<Fact>) -> Vec<Fact> {
        if epoch < INSTALLED_AT {
            let late = |fact: &&Fact| self.late_plans.contains(&fact.plan);
            let again = facts.iter().filter(late).filter(|fact| !is_late(fact));
            self.backfill.extend(again);
            facts.retain(|fact| !self.late_plans.contains(&fact.plan));
        }
        let mut all = facts.clone();
        if epoch == INSTALLED_AT {
            retain_running(&mut self.backfill, &self.history);
            all.extend(&self.backfill);
            self.backfill.shuffle(&mut self.history.rng);
        }
        all
    }

    fn play(&mut self, coverage: &mut Coverage) -> Result<(), String> {
        let mut now = 50;
        let mut last_clock: Option<TenantClock> = None;
        for epoch in 1..=40 {
            now += self.history.rng.random_range(0..8);
            let steps = self.steps(epoch);
            let running = (INSTALLED_AT..self.ends_at).contains(&epoch);
            coverage.edited += u32::from(epoch > INSTALLED_AT && running && !steps.is_empty());
            let mut facts = self.history.facts(now);
            let times = self.history.source_times(now);
            self.observe_sources(&times, epoch);
            let before = last_clock;
            let line = self.history.clock.settled;
            let clock = self.history.advance(now);
            last_clock = clock.or(last_clock);
            let oracle_facts = self.set_aside(epoch, &mut facts);
            let part = self.backfill_part(epoch);
            let late = |fact: &&Fact| fact.time < line && epoch > INSTALLED_AT;
            coverage.behind_line += part.iter().filter(late).count() as u32;
            facts.extend(&part);
            let mut changes = OracleEpoch {
                steps: &steps,
                facts: &oracle_facts,
                late_clock: last_clock.filter(|_| !running),
                clock,
            };
            if epoch == self.ends_at {
                // The late clock moves on, then takes the source times of this epoch.
                (changes.late_clock, changes.clock) = (before, None);
                self.run_oracles(&changes);
                for (source, time) in &times {
                    self.late_oracle.observe_source(*source, *time);
                }
                changes = OracleEpoch {
                    steps: &[],
                    facts: &[],
                    late_clock: last_clock,
                    clock,
                };
            }
            self.run_oracles(&changes);
            let output = self.run_stages(epoch, &steps, &facts, &oracle_facts, &times, clock);
            let mut late_rows = output.rows.iter().map(|(row, _)| row);
            let late_row = late_rows.find(|row| self.late_plans.contains(&row.plan));
            self.check_late_row(epoch, late_row, coverage)?;
            self.stages.add(output, &removed_plans(&steps))?;
            self.compare(epoch)?;
        }
        coverage.histories += 1;
        Ok(())
    }

    /// The late oracle takes the source times of the last epoch later, after its clock moved.
    fn observe_sources(&mut self, times: &[(SourceKey, EventTime)], epoch: u64) {
        for (source, time) in times {
            self.oracle.observe_source(*source, *time);
            if epoch != self.ends_at {
                self.late_oracle.observe_source(*source, *time);
            }
        }
    }

    /// Runs an epoch of the correlators, and links the groups of the late oracle.
    fn run_stages(
        &mut self,
        epoch: u64,
        steps: &[PlanStep],
        facts: &[Fact],
        oracle_facts: &[Fact],
        times: &[(SourceKey, EventTime)],
        clock: Option<TenantClock>,
    ) -> CorrelatorOutput {
        let links = self.history.links(facts);
        let oracle_links = self.history.links(oracle_facts);
        for link in links.iter().chain(&oracle_links).flatten() {
            self.late_oracle.link(*link);
        }
        let mut all = directives(steps, times, clock);
        let late = self.late_plans.iter().copied();
        if epoch == INSTALLED_AT {
            all.extend(late.clone().map(Directive::BeginBackfill));
        }
        if epoch == self.ends_at {
            all.extend(late.map(Directive::EndBackfill));
        }
        let staged = self.history.staged(facts);
        self.stages.epoch(Epoch(epoch), &staged, &links, &all)
    }

    fn run_oracles(&mut self, changes: &OracleEpoch<'_>) {
        for late in [true, false] {
            let steps = changes.steps.iter();
            let steps: Vec<PlanStep> = steps
                .filter(|step| self.is_late(plan_of(step)) == late)
                .cloned()
                .collect();
            let facts = changes.facts.iter();
            let facts: Vec<Fact> = facts
                .filter(|fact| self.is_late(fact.plan) == late)
                .copied()
                .collect();
            let (oracle, clock) = match late {
                true => (&mut self.late_oracle, changes.late_clock),
                false => (&mut self.oracle, changes.clock),
            };
            let clock = clock.map(reference_clock);
            oracle.epoch(&steps, &facts, clock.as_slice());
        }
    }

    /// Fails if a late plan emits a row before its backfill ends, or then names an event as the cause.
    fn check_late_row(
        &self,
        epoch: u64,
        row: Option<&Arc<AlertRow>>,
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let running = (INSTALLED_AT..self.ends_at).contains(&epoch);
        if let Some(row) = row.filter(|_| running) {
            return Err(format!(
                "epoch {epoch}: a row before the backfill ends: {row:?}"
            ));
        }
        let ended = row.filter(|_| epoch == self.ends_at);
        let by_event =
            |row: &&Arc<AlertRow>| matches!(row.cause, Cause::LateEvent(_) | Cause::Event(_));
        if let Some(row) = ended.filter(by_event) {
            return Err(format!("epoch {epoch}: the rule brought this row: {row:?}"));
        }
        coverage.raised += u32::from(ended.is_some());
        Ok(())
    }

    fn compare(&self, epoch: u64) -> Result<(), String> {
        let mut wanted = self.oracle.standing();
        if !(INSTALLED_AT..self.ends_at).contains(&epoch) {
            wanted.extend(self.late_oracle.standing());
        }
        wanted.sort();
        compare(epoch, &self.stages.rows(), &wanted)
    }
}

/// Whether a fact counts only before the settled line. What is read again has no such facts.
pub fn is_late(fact: &Fact) -> bool {
    fact.time_mark == Some(TimeMark::LateBeyondHorizon)
}

/// The time at which rules detect the event of a fact.
pub fn seen_at(fact: &Fact) -> EventTime {
    match is_late(fact) {
        true => EventTime(fact.received.0),
        false => fact.time,
    }
}

/// Retains the facts of plans that have not ended.
fn retain_running(facts: &mut Vec<Fact>, history: &History) {
    facts.retain(|fact| {
        let plan = history.plans.get(&fact.plan);
        plan.is_some_and(|plan| seen_at(fact) < plan.until)
    });
}

fn plan_of(step: &PlanStep) -> PlanId {
    match step {
        PlanStep::Install(plan) => plan.id,
        PlanStep::Remove(id) => *id,
    }
}

#[test]
fn a_stepwise_backfill_ends_with_the_result_of_a_whole_one() {
    let mut coverage = Coverage::default();
    for seed in 0..1_500 {
        let only = match seed % 3 {
            0 => Some("chain"),
            1 if seed % 4 == 0 => Some(RULE),
            1 => Some(KINDS[(seed / 3) as usize % KINDS.len()]),
            _ => None,
        };
        let mut late = LateHistory::new(seed, only);
        if let Err(difference) = late.play(&mut coverage) {
            panic!("seed {seed}, {only:?}: {difference}");
        }
    }
    println!("{coverage:?}");
    assert!(coverage.raised > coverage.histories / 3, "{coverage:?}");
    assert!(
        coverage.behind_line > coverage.histories && coverage.edited > 100,
        "{coverage:?}"
    );
}

/// The facts of an epoch; for a basis of facts, the shadow gets a copy of each.
fn with_copies(facts: &[Fact], basis: Basis) -> Vec<Fact> {
    let mut all = facts.to_vec();
    if matches!(basis, Basis::Facts(_)) {
        all.extend(facts.iter().map(|fact| Fact {
            plan: SHADOW,
            ..*fact
        }));
    }
    all
}

/// Tries a what-if on a plan during its backfill. Returns the outputs of all epochs.
fn run_what_if(basis: Basis, promoted: bool) -> Vec<CorrelatorOutput> {
    let facts: Vec<Fact> = (0..40)
        .map(|n| fact(PLAN, 1, n % 3, i64::try_from(n).expect("small"), n))
        .collect();
    let mut correlator = Correlator::default();
    let install = [
        Directive::Install(pair(PLAN)),
        Directive::BeginBackfill(PLAN),
    ];
    let shadow = Directive::Shadow {
        plan: Arc::new(Plan {
            id: SHADOW,
            output: PlanOutput::WhatIf(WHAT_IF),
            ..(*pair(PLAN)).clone()
        }),
        basis,
    };
    let mut end = vec![Directive::EndBackfill(PLAN), Directive::EndBackfill(SHADOW)];
    if promoted && basis == Basis::Groups(PLAN) {
        let plan = pair(PLAN);
        end.insert(0, Directive::Promote { plan, from: SHADOW });
    }
    vec![
        correlator.epoch(Epoch(1), &facts[..10], &install),
        // The settled line of other plans passes all facts.
        correlator.epoch(Epoch(2), &facts[10..20], &[Directive::Clock(FAR)]),
        correlator.epoch(Epoch(3), &with_copies(&facts[20..30], basis), &[shadow]),
        correlator.epoch(Epoch(4), &with_copies(&facts[30..], basis), &end),
    ]
}

#[test]
fn a_what_if_waits_for_the_backfill_of_its_plan() {
    for (basis, promoted) in [
        (Basis::Groups(PLAN), false),
        (Basis::Groups(PLAN), true),
        (Basis::Facts(PLAN), false),
        (Basis::Facts(PLAN), true),
    ] {
        let mut outputs = run_what_if(basis, promoted);
        let last = outputs.pop().expect("four epochs");
        for output in outputs {
            assert!(output.rows.is_empty() && output.retractions.is_empty());
            let mut what_ifs = output.what_ifs.values();
            assert!(what_ifs.all(|what_if| what_if.rows.is_empty()));
        }
        let counts: Vec<u64> = last.rows.iter().map(|(row, _)| row.count).collect();
        assert_eq!(counts.iter().sum::<u64>(), 40, "{basis:?}, {promoted}");
        if let Some(what_if) = last.what_ifs.get(&WHAT_IF).filter(|_| !promoted) {
            let shadow: Vec<u64> = what_if.rows.iter().map(|(row, _)| row.count).collect();
            assert_eq!(shadow, counts, "{basis:?}");
        }
    }
}
