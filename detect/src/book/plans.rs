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

use std::collections::BTreeSet;
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

    /// The parts of a version that no correlation reads or has read, except with `generate`.
    fn unread_periods(&self, id: &RuleId, version: &Version) -> Vec<Period> {
        let readers = self.readers(id);
        let read = readers
            .iter()
            .flat_map(|reader| self.periods_of_reading(reader, id));
        let silent = self.rules.get(id).into_iter().flat_map(|rule| &rule.silent);
        let mut unread = vec![version.period()];
        for read in read.chain(silent.copied()) {
            unread = unread
                .into_iter()
                .flat_map(|period| period.without(read))
                .filter(|period| !period.is_empty())
                .collect();
        }
        unread.retain(|period| !period.is_empty());
        unread
    }

    /// When the rule `reader` reads `id`, so that `id` raises no alerts by itself.
    ///
    /// A disabled correlation goes on reading. Otherwise all of its members would start to raise
    /// alerts when it is disabled.
    fn periods_of_reading(&self, reader: &RuleId, id: &RuleId) -> Vec<Period> {
        let entry = self.rules.get(reader);
        let versions = entry.map_or(&[][..], |entry| &entry.active_versions);
        let ends = versions.iter().skip(1).map(|next| next.since);
        let ends = ends.chain([EventTime::MAX]);
        let reading = versions.iter().zip(ends).filter(|(version, _)| {
            matches!(
                &version.document.body,
                RuleBody::Correlation(read) if !read.generate && self.reads(read, id)
            )
        });
        let period = |(version, until): (&Version, EventTime)| Period {
            since: version.since,
            until,
        };
        reading.map(period).collect()
    }

    /// Lets the rules that only `reader` reads raise no alerts by themselves before `since`, once it
    /// is removed.
    pub(crate) fn keep_silent(&mut self, reader: &RuleId, since: EventTime) {
        let Some(entry) = self.rules.get(reader) else {
            return;
        };
        let members = entry.correlations().flat_map(|(_, read)| &read.members);
        let members: BTreeSet<RuleId> = members
            .filter_map(|member| self.resolve(member).cloned())
            .collect();
        for member in members {
            let mut read = self.periods_of_reading(reader, &member);
            for period in &mut read {
                period.until = period.until.min(since);
            }
            read.retain(|period| !period.is_empty());
            if let Some(entry) = self.rules.get_mut(&member) {
                entry.silent.append(&mut read);
            }
        }
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
