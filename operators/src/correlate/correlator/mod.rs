//! The correlator of one worker and stage.
//!
//! One epoch is one call of [`Correlator::epoch`], in this order: plans change; facts are admitted
//! under the settled line of the epoch before; touched groups are evaluated; sources and clocks
//! advance. Nothing here knows timely: `operator.rs` wraps it.
//!
//! ```text
//!   directives ─► plans.rs, shadow.rs, promote.rs, backfill.rs
//!                     │ plans
//!   facts ─────► intake.rs ──┐
//!   upstream ──► chain.rs ───┴─► touched groups ─► evaluate.rs ─┬─► rows, retractions
//!   clocks, source times ──────► scheduled groups ─► advance.rs ┴─► downstream
//! ```

mod advance;
mod backfill;
mod chain;
mod evaluate;
mod forgotten_alerts;
mod intake;
mod plans;
mod promote;
mod shadow;

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{Epoch, Fact, PlanId, Stopwatch, TenantKey, WhatIfId};

use super::alert_emitter::SourceTimes;
use super::calendar::Calendar;
use super::directive::Directive;
use super::group::EvaluationBuffers;
use super::group_store::GroupStore;
use super::meter::PlanMeter;
use super::output::CorrelatorOutput;
use super::plan_table::PlanTable;
use super::shard::SHARDS;
use super::slots::{GroupSlot, PlanSlot};
use super::stage_update::StageUpdate;
use crate::clock::TenantClock;
use forgotten_alerts::ForgottenAlerts;

/// Most groups of one plan. A further group is refused and counted, and the rule is incomplete.
pub const GROUPS_MAX: usize = 4 << 20;

/// The plans and groups of one worker and stage.
///
/// **Invariant.** After each epoch the rows emitted so far, added up, are the alerts that plain
/// loops over all admitted facts would raise (`reference/`). This holds for any order of facts
/// within an epoch and any number of workers.
///
/// **Cost.** A fact costs one hash look-up and an append, amortized; a late fact, the merge of its
/// group's newer events. Each touched group costs the evaluation of the anchors that its new facts
/// can change, and O(log queue) in the calendar. See [`super::group::Group`] for memory.
#[derive(Default)]
pub struct Correlator {
    /// It runs only the plans of this stage.
    stage: u8,
    plans: PlanTable,
    groups: GroupStore,
    clocks: BTreeMap<TenantKey, TenantClock>,
    source_times: SourceTimes,
    calendar: Calendar,
    /// The groups to evaluate at the end of this epoch.
    touched: Vec<GroupSlot>,
    buffers: EvaluationBuffers,
    /// Limits the groups of one plan; [`GROUPS_MAX`] if `None`.
    groups_max: Option<usize>,
    /// The most groups that any shard of any plan has had.
    fullest_shard: usize,
    /// The plans of what-ifs.
    shadows: BTreeMap<PlanId, WhatIfId>,
    /// For a plan, the shadows that share its facts.
    followers: BTreeMap<PlanSlot, Vec<PlanSlot>>,
    /// For a shadow, the alerts that were forgotten while it ran.
    forgotten: BTreeMap<PlanSlot, ForgottenAlerts>,
    /// Plans whose backfill is incomplete.
    backfilling: BTreeSet<PlanSlot>,
    meter: PlanMeter,
}

impl Correlator {
    /// A correlator with at most `groups_max` groups per plan.
    #[must_use]
    pub fn with_groups_max(groups_max: usize) -> Self {
        Self {
            groups_max: Some(groups_max),
            ..Self::default()
        }
    }

    /// A correlator of the plans whose facts pass through `stage` other plans.
    #[must_use]
    pub fn for_stage(stage: u8, stopwatch: Option<Stopwatch>) -> Self {
        Self {
            stage,
            meter: PlanMeter::new(stopwatch),
            ..Self::default()
        }
    }

    /// The number of groups, and the bytes that they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.groups.len(), self.groups.bytes())
    }

    /// Processes one epoch. `facts` may be in any order.
    pub fn epoch(
        &mut self,
        epoch: Epoch,
        facts: &[Fact],
        directives: &[Directive],
    ) -> CorrelatorOutput {
        self.epoch_in_chain(epoch, facts, &[], directives)
    }

    /// As [`Correlator::epoch`], with updates from earlier stages.
    pub fn epoch_in_chain(
        &mut self,
        epoch: Epoch,
        facts: &[Fact],
        upstream: &[StageUpdate],
        directives: &[Directive],
    ) -> CorrelatorOutput {
        let mut output = CorrelatorOutput::default();
        for directive in directives {
            self.change_plans_measured(epoch, directive, &mut output);
        }
        if self.fullest_shard.saturating_add(facts.len()) > self.shard_groups_max() {
            // The first facts take the free places, and workers pass facts on in any order.
            let mut sorted = facts.to_vec();
            sorted.sort_unstable();
            self.admit_facts(&sorted, &mut output);
        } else {
            self.admit_facts(facts, &mut output);
        }
        if !upstream.is_empty() {
            self.admit_upstream(upstream, &mut output);
        }
        for directive in directives {
            if let Directive::EndBackfill(plan) = directive {
                self.end_backfill(*plan, epoch);
            }
        }
        self.evaluate_touched(epoch, &mut output);
        for directive in directives {
            if let Directive::SourceTime(source, time) = directive {
                self.advance_source(epoch, *source, *time, &mut output);
            }
        }
        for directive in directives {
            if let Directive::Clock(clock) = directive {
                self.advance_clock(epoch, *clock, &mut output);
            }
        }
        self.separate_what_ifs(directives, &mut output);
        output.times = self.meter.report(epoch.0, &self.plans);
        output
    }

    /// As [`Self::change_plans`]; the time counts for the plan that is installed.
    fn change_plans_measured(
        &mut self,
        epoch: Epoch,
        directive: &Directive,
        output: &mut CorrelatorOutput,
    ) {
        let plan = match directive {
            Directive::Install(plan) | Directive::Promote { plan, .. } => Some(plan.id),
            _ => None, // The time of other directives belongs to no rule in force.
        };
        let mut round = plan.and_then(|_| self.meter.begin(1, epoch.0));
        self.change_plans(epoch, directive, output);
        if let Some(slot) = plan.and_then(|plan| self.plans.slot(plan)) {
            PlanMeter::weigh(&mut round, slot, 1);
            self.meter.end(round);
        }
    }

    /// Applies a directive that takes effect before the facts of its epoch.
    fn change_plans(&mut self, epoch: Epoch, directive: &Directive, output: &mut CorrelatorOutput) {
        match directive {
            Directive::Install(plan)
            | Directive::Shadow { plan, .. }
            | Directive::Promote { plan, .. }
                if plan.chain.stage != self.stage => {}
            Directive::Install(plan) => self.install(epoch, plan, output),
            Directive::Remove(plan) => self.remove(*plan, output),
            Directive::Shadow { plan, basis } => self.add_shadow(epoch, plan, *basis, output),
            Directive::Promote { plan, from } => self.promote(epoch, plan, *from, output),
            Directive::BeginBackfill(plan) => self.begin_backfill(*plan),
            Directive::EndBackfill(_) | Directive::Clock(_) | Directive::SourceTime(..) => {}
        }
    }

    /// Most groups of one plan in one shard.
    fn shard_groups_max(&self) -> usize {
        self.groups_max.unwrap_or(GROUPS_MAX) / SHARDS
    }
}

/// The clock of a tenant.
fn clock_of(clocks: &BTreeMap<TenantKey, TenantClock>, tenant: TenantKey) -> TenantClock {
    let clock = clocks.get(&tenant).copied();
    clock.unwrap_or(TenantClock::start(tenant))
}
