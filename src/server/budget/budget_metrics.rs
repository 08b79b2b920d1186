//! The metrics of the budget of rules.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::{CounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use weir_schema::{RuleId, RuleTimes};

use crate::server::metrics::{OTHER, RULE_BYTES_MAX, RULES_LABELLED_MAX};

/// The metrics of the budget of rules. Rules beyond the limit share the row `other`.
pub struct BudgetMetrics {
    /// `weir_rule_seconds_total{rule}`: working time of rules on all workers, by samples.
    seconds: CounterVec,
    /// `weir_rule_suspended{rule}`: 1 for a rule that Weir has suspended.
    suspended: IntGaugeVec,
    labelled: BTreeSet<RuleId>,
}

impl BudgetMetrics {
    /// Registers the metrics; `workers` are the workers of this process.
    pub fn register(registry: &Registry, workers: usize) -> Result<Self, prometheus::Error> {
        let seconds = Opts::new(
            "weir_rule_seconds_total",
            "Working time of rules on all workers, by samples.",
        );
        let seconds = CounterVec::new(seconds, &["rule"])?;
        registry.register(Box::new(seconds.clone()))?;
        let suspended = Opts::new(
            "weir_rule_suspended",
            "One, for a rule that Weir has suspended.",
        );
        let suspended = IntGaugeVec::new(suspended, &["rule"])?;
        registry.register(Box::new(suspended.clone()))?;
        let count = IntGauge::new("weir_graph_workers", "Workers of the graph.")?;
        registry.register(Box::new(count.clone()))?;
        count.set(i64::try_from(workers).unwrap_or(i64::MAX));
        let _ = seconds.with_label_values(&[OTHER]);
        let _ = suspended.with_label_values(&[OTHER]);
        Ok(Self {
            seconds,
            suspended,
            labelled: BTreeSet::new(),
        })
    }

    pub fn record(&mut self, times: &RuleTimes) {
        for (rule, nanos) in &times.0 {
            let seconds = *nanos as f64 / 1e9;
            let label = self.label(rule);
            self.seconds.with_label_values(&[label]).inc_by(seconds);
        }
    }

    /// Sets the suspended rules.
    pub fn set_suspended(&mut self, rules: &BTreeSet<RuleId>) {
        let mut rows: BTreeMap<String, i64> = BTreeMap::new();
        for rule in rules {
            let label = self.label(rule).to_owned();
            *rows.entry(label).or_default() += 1;
        }
        self.suspended.reset();
        rows.entry(OTHER.to_owned()).or_default();
        for (label, count) in rows {
            self.suspended.with_label_values(&[&label]).set(count);
        }
    }

    fn label<'r>(&mut self, rule: &'r RuleId) -> &'r str {
        let has_room = self.labelled.len() < RULES_LABELLED_MAX && rule.len() <= RULE_BYTES_MAX;
        if has_room && !self.labelled.contains(rule) {
            self.labelled.insert(RuleId::clone(rule));
        }
        if self.labelled.contains(rule) {
            rule
        } else {
            OTHER
        }
    }
}
