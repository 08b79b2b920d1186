//! The catalog: all rules with their versions and plans, found by id, name and reference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_schema::{EventTime, RuleId};

use crate::book::live::LivePlan;
use crate::book::period::Period;
use crate::book::settings::SettingsTimeline;
use crate::sigma::correlation::Correlation;
use crate::sigma::document::{RuleBody, RuleDocument};
use crate::sigma::filter::Filter;

/// A document, and the period of the events that it applies to.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub since: EventTime,
    pub until: EventTime,
    pub document: Arc<RuleDocument>,
}

impl Version {
    pub(crate) fn period(&self) -> Period {
        Period {
            since: self.since,
            until: self.until,
        }
    }
}

/// The versions and the plans of one rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleEntry {
    /// The versions as they were added, in order of `since`. Their periods do not overlap.
    pub source_versions: Vec<Version>,
    /// The versions as they run: split where placeholders or filters change, with both applied.
    pub active_versions: Vec<Version>,
    /// In order of `since`.
    pub plans: Vec<Arc<LivePlan>>,
    /// When correlations read the rule that are removed now: it raises no alerts for these times. A
    /// period for each removal, far smaller than its entry in the journal.
    pub silent: Vec<Period>,
}

impl RuleEntry {
    /// The version that was added last.
    pub(crate) fn current(&self) -> Option<&Version> {
        self.source_versions.last()
    }

    /// The version that runs now, or ran last.
    pub(crate) fn active(&self) -> Option<&Version> {
        self.active_versions.last().or(self.source_versions.last())
    }

    pub(crate) fn correlations(&self) -> impl Iterator<Item = (&Version, &Correlation)> {
        self.active_versions
            .iter()
            .filter_map(|version| match &version.document.body {
                RuleBody::Correlation(correlation) => Some((version, correlation)),
                RuleBody::Rule(..) | RuleBody::Filter(_) => None,
            })
    }

    /// The filters among all versions.
    pub(crate) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.source_versions
            .iter()
            .filter_map(|version| match &version.document.body {
                RuleBody::Filter(filter) => Some(filter),
                RuleBody::Rule(..) | RuleBody::Correlation(_) => None,
            })
    }
}

/// All rules, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    pub rules: BTreeMap<RuleId, RuleEntry>,
    /// Name to id, for current versions.
    pub names: BTreeMap<String, RuleId>,
    /// Id or name of a rule, to the correlations that list it in some version. It finds the
    /// readers of a rule without a scan of all rules.
    pub correlations_by_reference: BTreeMap<String, BTreeSet<RuleId>>,
    /// Rules that are a filter in some version.
    pub filters: BTreeSet<RuleId>,
    pub settings: SettingsTimeline,
}

impl Catalog {
    /// The rule with this id, else with this name.
    pub(crate) fn resolve(&self, reference: &str) -> Option<&RuleId> {
        let by_id = self.rules.get_key_value(reference).map(|(id, _)| id);
        by_id.or_else(|| self.names.get(reference))
    }

    /// Correlations that read the rule in some version.
    pub(crate) fn readers(&self, id: &RuleId) -> BTreeSet<RuleId> {
        let name = self.rules.get(id).and_then(RuleEntry::current);
        let name = name.and_then(|current| current.document.name.as_deref());
        let references = BTreeSet::from([&**id, name.unwrap_or(id)])
            .into_iter()
            .filter(|reference| self.resolve(reference) == Some(id));
        let readers = references
            .filter_map(|reference| self.correlations_by_reference.get(reference))
            .flatten();
        let is_active = |reader: &&RuleId| {
            let entry = self.rules.get(*reader);
            entry.is_some_and(|entry| entry.correlations().any(|(_, c)| self.reads(c, id)))
        };
        readers.filter(is_active).cloned().collect()
    }

    /// Whether the rule is a member of the correlation.
    pub(crate) fn reads(&self, correlation: &Correlation, id: &RuleId) -> bool {
        let mut members = correlation.members.iter();
        members.any(|member| self.resolve(member) == Some(id))
    }

    /// Removes a rule from the indexes by name, by member and by kind.
    pub(crate) fn unindex_rule(&mut self, id: &RuleId) {
        let Some(entry) = self.rules.get(id) else {
            return;
        };
        if let Some(name) = entry.current().and_then(|now| now.document.name.as_ref()) {
            self.names.remove(name);
        }
        for version in &entry.source_versions {
            let RuleBody::Correlation(correlation) = &version.document.body else {
                continue;
            };
            for member in &correlation.members {
                let readers = self.correlations_by_reference.get_mut(member);
                if readers.is_some_and(|readers| readers.remove(id) && readers.is_empty()) {
                    self.correlations_by_reference.remove(member);
                }
            }
        }
        self.filters.remove(id);
    }

    /// Adds a rule to the indexes by name, by member and by kind.
    pub(crate) fn index_rule(&mut self, id: &RuleId) {
        let Some(entry) = self.rules.get(id) else {
            return;
        };
        if let Some(name) = entry.current().and_then(|now| now.document.name.as_ref()) {
            self.names.insert(name.clone(), id.clone());
        }
        for version in &entry.source_versions {
            match &version.document.body {
                RuleBody::Rule(..) => {}
                RuleBody::Correlation(correlation) => {
                    for member in &correlation.members {
                        let by_reference = &mut self.correlations_by_reference;
                        let readers = by_reference.entry(member.clone()).or_default();
                        readers.insert(id.clone());
                    }
                }
                RuleBody::Filter(_) => drop(self.filters.insert(id.clone())),
            }
        }
    }

    /// The rules whose plans may depend on this one: itself, its direct and indirect readers, and
    /// its members.
    pub(crate) fn affected_by(&self, id: &RuleId) -> BTreeSet<RuleId> {
        let mut affected = BTreeSet::from([id.clone()]);
        let mut next = vec![id.clone()];
        while let Some(read) = next.pop() {
            let readers = self.readers(&read).into_iter();
            next.extend(readers.filter(|reader| affected.insert(reader.clone())));
        }
        if let Some(entry) = self.rules.get(id) {
            let members = entry.correlations().flat_map(|(_, c)| &c.members);
            affected.extend(members.filter_map(|member| self.resolve(member).cloned()));
        }
        affected
    }

    /// Whether the rule's current version is a correlation.
    pub(crate) fn is_correlation(&self, id: &RuleId) -> bool {
        let current = self.rules.get(id).and_then(RuleEntry::current);
        current.is_some_and(|version| matches!(version.document.body, RuleBody::Correlation(_)))
    }
}
