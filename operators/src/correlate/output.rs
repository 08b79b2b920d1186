//! The output of a correlator for one epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_schema::{AlertId, AlertRow, Cause, RuleId, RuleTimes, WhatIfId};

use super::stage_update::StageUpdate;

/// The output of one epoch.
#[derive(Debug, Default)]
pub struct CorrelatorOutput {
    /// Rows with +1 or -1.
    pub rows: Vec<(Arc<AlertRow>, isize)>,
    /// The causes of alerts that no longer have a row.
    pub retractions: Vec<(AlertId, Cause)>,
    /// Updates for the stages behind this one.
    pub downstream: Vec<StageUpdate>,
    pub counts: CorrelationCounts,
    pub what_ifs: BTreeMap<WhatIfId, WhatIfOutput>,
    /// The working time of rules since it was last reported, if it is due.
    pub times: Option<RuleTimes>,
}

/// The output of one epoch for one what-if.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct WhatIfOutput {
    /// Rows with +1 or -1.
    pub rows: Vec<(Arc<AlertRow>, isize)>,
    pub counts: CorrelationCounts,
}

/// Counts of the facts of one epoch, and of those without full effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CorrelationCounts {
    pub facts: u64,
    /// Facts before the settled line: recorded and searchable, but without effect.
    pub not_re_evaluated: u64,
    /// Facts before the settled line that a rule sees at their time of receipt.
    pub beyond_horizon: u64,
    /// Facts behind the watermark, which correct earlier output.
    pub late: u64,
    /// Facts refused because their plan has too many groups.
    pub limited: u64,
    /// The rules of the plans that refused facts; their results are incomplete from now on.
    pub incomplete: BTreeSet<RuleId>,
}

impl CorrelationCounts {
    /// Adds the counts of another worker.
    pub fn add(&mut self, other: &Self) {
        self.facts += other.facts;
        self.not_re_evaluated += other.not_re_evaluated;
        self.beyond_horizon += other.beyond_horizon;
        self.late += other.late;
        self.limited += other.limited;
        self.incomplete.extend(other.incomplete.iter().cloned());
    }
}
