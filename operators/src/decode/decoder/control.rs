//! Control entries: changes of rules become directives, bounds and ticks become observations.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_detect::PlanChange;
use weir_schema::{Control, Epoch, Plan, PlanId, PlanKind, SourceKey, TenantKey, WatermarkHolder};

use super::{Decoder, PlanRows, RuleRows};
use crate::backfills::{WhatIfMap, promoted_plans};
use crate::clock::Observation;
use crate::correlate::Directive;
use crate::decode::output::{DecodeOutput, RuleRow};
use crate::note::Note;
use crate::sources::{ConditionNote, SourceNote};

impl Decoder {
    /// Applies a control entry of `epoch`.
    pub(super) fn apply_control(
        &mut self,
        epoch: Epoch,
        control: &Control,
        output: &mut DecodeOutput,
    ) {
        let before = self.book.what_ifs().clone();
        let update = self.book.apply(control);
        let had_silences = !self.silences.is_empty();
        let backfilling =
            self.backfills
                .apply(epoch, &before, &self.book, control, &update.changes);
        self.add_shadows(&before, control, output);
        let mut promoted = promoted_plans(&before, control);
        for change in update.changes {
            self.change_plan(epoch, change, &mut promoted, output);
        }
        self.remove_shadows(&before, output);
        let backfilling = backfilling.into_iter();
        output
            .directives
            .extend(backfilling.map(Directive::BeginBackfill));
        let has_silences = !self.silences.is_empty();
        if has_silences != had_silences {
            let report = Observation::ReportSourceTimes(has_silences);
            output.observations.push(report);
        }
        self.observe_control(control, output);
        let diagnostics = update.diagnostics.iter();
        let notes = diagnostics.map(|diagnostic| Note::Diagnostic(diagnostic.to_string()));
        output.notes.extend(notes);
    }

    /// Installs or removes a plan. `promoted` maps plans to the shadows that become them.
    fn change_plan(
        &mut self,
        epoch: Epoch,
        change: PlanChange,
        promoted: &mut BTreeMap<PlanId, PlanId>,
        output: &mut DecodeOutput,
    ) {
        match change {
            PlanChange::Put { plan, .. } => {
                let shadow = promoted.remove(&plan.id);
                if plan.kind == PlanKind::Silence {
                    self.silences.insert(plan.id);
                }
                if plan.chain.stage > 0 {
                    self.stages.insert(plan.id, plan.chain.stage);
                }
                let row = self.rule_rows.add(epoch, &plan);
                output.rules.extend(row.map(|row| (row, 1)));
                let plan = Arc::new(plan);
                output.directives.push(match shadow {
                    Some(from) => Directive::Promote { plan, from },
                    None => Directive::Install(plan),
                });
            }
            PlanChange::Remove(plan) => {
                let rows = self.rule_rows.remove(plan).into_iter();
                output.rules.extend(rows.map(|row| (row, -1)));
                self.silences.remove(&plan);
                self.stages.remove(&plan);
                output.directives.push(Directive::Remove(plan));
            }
        }
    }

    /// Adds the shadows of a new what-if.
    fn add_shadows(&mut self, before: &WhatIfMap, control: &Control, output: &mut DecodeOutput) {
        let Control::WhatIfPut { id, .. } = control else {
            return;
        };
        let what_if = self.book.what_ifs().get(id).cloned();
        let Some(what_if) = what_if.filter(|_| !before.contains_key(id)) else {
            return; // The book refused it.
        };
        for shadow in &what_if.shadows {
            if shadow.plan.kind == PlanKind::Silence {
                self.silences.insert(shadow.plan.id);
            }
            output.directives.push(Directive::Shadow {
                plan: Arc::new(shadow.plan.clone()),
                basis: shadow.basis,
            });
        }
    }

    /// Removes the shadows of what-ifs that ended.
    fn remove_shadows(&mut self, before: &WhatIfMap, output: &mut DecodeOutput) {
        for (id, what_if) in before {
            if self.book.what_ifs().contains_key(id) {
                continue;
            }
            for shadow in &what_if.shadows {
                self.silences.remove(&shadow.plan.id);
                // The correlator ignores the removal of a shadow that was promoted.
                output.directives.push(Directive::Remove(shadow.plan.id));
            }
        }
    }

    /// Passes bounds, receive times and heartbeats to the clocks and the source monitor.
    fn observe_control(&mut self, control: &Control, output: &mut DecodeOutput) {
        let (observations, sources) = (&mut output.observations, &mut output.sources);
        match control {
            Control::Start {
                bounds, received, ..
            } => {
                self.bounds = *bounds;
                observations.push(Observation::Bounds(*bounds));
                observations.push(Observation::Now(*received));
                sources.push(SourceNote::Start(*received));
            }
            Control::Tick { received } => {
                observations.push(Observation::Now(*received));
                if self.source_bounds.is_on() {
                    sources.push(SourceNote::Now(*received));
                }
            }
            Control::SelfAlerts(bounds) => {
                self.source_bounds = *bounds;
                sources.push(SourceNote::Bounds(*bounds));
            }
            Control::Heartbeat {
                tenant,
                source,
                time,
            } => {
                let ((tenant, source), time) = (keys_of(tenant, source), *time);
                sources.push(SourceNote::Heartbeat { tenant, source });
                let heartbeat = Observation::Heartbeat {
                    tenant,
                    source,
                    time,
                };
                observations.push(heartbeat);
            }
            Control::Condition(condition) => {
                self.conditions += 1;
                let note = ConditionNote::new(self.conditions, condition);
                sources.push(SourceNote::Condition(note));
            }
            Control::Finish => observations.push(Observation::Finish),
            Control::WatermarkHolders(holders) => observations.extend(observe_holders(holders)),
            // The rule book applies these; the others affect no row here.
            Control::Delivered(_)
            | Control::Reading { .. }
            | Control::ClockJump(_)
            | Control::ClockRepair(_)
            | Control::Ahead { .. }
            | Control::WhatIfPut { .. }
            | Control::WhatIfPromote { .. }
            | Control::WhatIfDrop { .. }
            | Control::RulePut { .. }
            | Control::RuleDisable { .. }
            | Control::RuleSuspend { .. }
            | Control::RuleRemove { .. }
            | Control::RuleDelete { .. }
            | Control::Settings { .. } => {}
        }
    }
}

/// The keys of a source that is known by name.
fn keys_of(tenant: &str, source: &str) -> (TenantKey, SourceKey) {
    let key = weir_schema::journal::source_key(tenant, source);
    (TenantKey::of(&[tenant.as_bytes()]), key)
}

/// Replaces the sources that hold the watermark.
fn observe_holders(holders: &[WatermarkHolder]) -> impl Iterator<Item = Observation> {
    let holder = |holder: &WatermarkHolder| {
        let (tenant, source) = keys_of(&holder.tenant, &holder.source);
        Observation::Holder { tenant, source }
    };
    std::iter::once(Observation::ClearHolders).chain(holders.iter().map(holder))
}

impl RuleRows {
    /// Adds the row of a version of a plan. Returns it if it is new.
    fn add(&mut self, epoch: Epoch, plan: &Plan) -> Option<RuleRow> {
        let rows = self.0.entry(plan.id).or_insert_with(|| PlanRows {
            epoch,
            versions: Vec::new(),
        });
        let mut known = rows.versions.iter();
        if known.any(|(version, _)| *version == plan.version) {
            return None;
        }
        rows.versions.push((plan.version, plan.level));
        Some(((plan.id, rows.epoch, plan.version), plan.level))
    }

    /// Removes and returns the rows of a plan.
    fn remove(&mut self, plan: PlanId) -> Vec<RuleRow> {
        let Some(PlanRows { epoch, versions }) = self.0.remove(&plan) else {
            return Vec::new();
        };
        let versions = versions.into_iter();
        versions
            .map(|(version, level)| ((plan, epoch, version), level))
            .collect()
    }
}
