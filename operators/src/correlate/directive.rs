//! Directives: the changes of plans and clocks that every worker applies alike.

use std::sync::Arc;

use weir_schema::{Basis, EventTime, Plan, PlanId, SourceKey};

use crate::clock::TenantClock;

/// A change that governs how facts are evaluated; equal on every worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Directive {
    /// Adds a plan, or changes the parameters of one.
    Install(Arc<Plan>),
    /// Removes a plan and all its alerts.
    Remove(PlanId),
    /// Adds a plan of a what-if.
    Shadow { plan: Arc<Plan>, basis: Basis },
    /// Turns the shadow `from` into `plan`, which replaces the plan that it was tried for, if any.
    Promote { plan: Arc<Plan>, from: PlanId },
    /// Buffers the output of a plan installed in this epoch, whose backfill takes several epochs.
    BeginBackfill(PlanId),
    /// Ends the backfill of a plan: with the facts of this epoch it is complete.
    EndBackfill(PlanId),
    /// Moves the watermark and settled line of a tenant, from the end of this epoch on.
    Clock(TenantClock),
    /// Reports the event time up to which a source was observed. Sent while a silence plan exists.
    SourceTime(SourceKey, EventTime),
}
