//! From the versions of all rules to the plans that run.
//!
//! The result depends on the content of the catalog only, not on the order of its entries. Each
//! rule has a sequence of versions in event time, `[since, until)`. A plan covers a part of it:
//!
//! ```text
//! rule         |---- v1 -----|-------- v2 -----------   v2 has another shape
//! correlation        |------- reads the rule --------
//! plans        |=rule=|=corr=|======= corr ==========   the rule alerts alone until it is read
//! ```

use std::sync::Arc;

use weir_schema::{EventTime, RuleId};

use crate::book::catalog::{Catalog, Version};
use crate::book::live::{LivePlan, rule_plan};
use crate::book::members::{self, NamedCorrelation};
use crate::book::period::Period;
use crate::book::segments;
use crate::sigma::correlation::Correlation;
use crate::sigma::diagnostic::Diagnostic;
use crate::sigma::document::RuleBody;
use crate::sigma::issue::Issue;

impl Catalog {
    /// Derives the plans of a rule from the versions of all rules.
    ///
    /// The diagnostics concern the rule's current version.
    pub(crate) fn derive_plans(&self, id: &RuleId) -> (Vec<Arc<LivePlan>>, Vec<Diagnostic>) {
        let (mut plans, mut diagnostics) = (Vec::new(), Vec::new());
        let Some(entry) = self.rules.get(id) else {
            return (plans, diagnostics);
        };
        for (at, version) in entry.active_versions.iter().enumerate() {
            let is_current = at + 1 == entry.active_versions.len();
            match &version.document.body {
                RuleBody::Rule(detection, grouping) => {
                    for period in self.unread_periods(id, version) {
                        let own = rule_plan(&version.document, detection, grouping, period);
                        plans.push(Arc::new(own));
                    }
                }
                RuleBody::Correlation(correlation) => {
                    let mut found = self.correlation_plans(id, version, correlation);
                    plans.append(&mut found.0);
                    if is_current {
                        diagnostics.append(&mut found.1);
                    }
                }
                RuleBody::Filter(_) => {} // It is part of the versions of its rules.
            }
        }
        (plans, diagnostics)
    }

    /// The plans of one version of a correlation, and why it does not run to its end.
    fn correlation_plans(
        &self,
        id: &RuleId,
        version: &Version,
        correlation: &Correlation,
    ) -> (Vec<Arc<LivePlan>>, Vec<Diagnostic>) {
        let (mut plans, mut diagnostics) = (Vec::new(), Vec::new());
        if let Err(issues) = members::resolve(self, NamedCorrelation { id, correlation }) {
            diagnostics.extend(issues.into_iter().map(|issue| {
                let (origin, place) = (&version.document.origin, version.document.references_at);
                let mut diagnostic = issue.into_diagnostic_at(origin, Some(place), true);
                let title = &version.document.title;
                diagnostic.message = format!("`{title}`: {}", diagnostic.message);
                diagnostic
            }));
            return (plans, diagnostics);
        }
        for period in self.unread_periods(id, version) {
            let found = segments::plans(self, version, correlation, period);
            if !reaches_end(period, &found) {
                diagnostics.push(stopped(version));
            }
            plans.extend(found.into_iter().map(Arc::new));
        }
        (plans, diagnostics)
    }

    /// The parts of a version that no correlation reads, except with `generate`.
    fn unread_periods(&self, id: &RuleId, version: &Version) -> Vec<Period> {
        let mut unread = vec![version.period()];
        for reader in self.readers(id) {
            let Some(entry) = self.rules.get(&reader) else {
                continue; // Unreachable: readers are rules.
            };
            for (at, read) in entry.active_versions.iter().enumerate() {
                let RuleBody::Correlation(correlation) = &read.document.body else {
                    continue;
                };
                if correlation.generate || !self.reads(correlation, id) {
                    continue;
                }
                // A disabled correlation goes on reading. Otherwise all of its members would start
                // to raise alerts when it is disabled.
                let end = entry
                    .active_versions
                    .get(at + 1)
                    .map_or(EventTime::MAX, |next| next.since);
                unread = unread
                    .into_iter()
                    .flat_map(|period| {
                        let before = Period {
                            until: period.until.min(read.since),
                            ..period
                        };
                        let after = Period {
                            since: period.since.max(end),
                            ..period
                        };
                        [before, after]
                    })
                    .filter(|period| !period.is_empty())
                    .collect();
            }
        }
        unread.retain(|period| !period.is_empty());
        unread
    }
}

fn stopped(version: &Version) -> Diagnostic {
    let message = format!(
        "`{}` is stopped: one of its rules is disabled or is no longer a detection",
        version.document.title
    );
    let (origin, place) = (&version.document.origin, version.document.references_at);
    Issue::new(message).into_diagnostic_at(origin, Some(place), true)
}

fn reaches_end(period: Period, plans: &[LivePlan]) -> bool {
    let ends = |live: &LivePlan| live.plan.until == period.until;
    period.is_empty() || plans.last().is_some_and(ends)
}
