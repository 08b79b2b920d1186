//! From versions as added to versions as they run: with values of placeholders, and with filters.
//!
//! Settings and filters apply from a time on, so a version may be split:
//!
//! ```text
//! rule     |------------- v1 ------------- v2 -----   as added
//! filter            |------ f1 -------|
//! active   |-- v1 --|-- v1 and f1 ----| v1 | v2 --   one version for each period of equal shape
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_schema::{EventTime, RuleId};

use crate::book::catalog::{Catalog, RuleEntry, Version};
use crate::sigma::combine::combine;
use crate::sigma::diagnostic::Diagnostic;
use crate::sigma::document::{self, RuleBody, RuleDocument};

impl Catalog {
    /// The filters that apply to this rule in some version, in order of id.
    pub(crate) fn filters_of(&self, rule: &RuleDocument) -> Vec<&RuleId> {
        let applies = |id: &&RuleId| {
            let entry = self.rules.get(*id);
            entry.is_some_and(|entry| entry.filters().any(|filter| rule.is_filtered_by(filter)))
        };
        self.filters.iter().filter(applies).collect()
    }

    /// The rules to which this filter applies.
    pub(crate) fn filtered_by(&self, id: &RuleId) -> BTreeSet<RuleId> {
        let Some(filter) = self.rules.get(id).filter(|_| self.filters.contains(id)) else {
            return BTreeSet::new();
        };
        let is_filtered = |entry: &RuleEntry| {
            let mut versions = entry.source_versions.iter();
            versions.any(|version| {
                let mut filters = filter.filters();
                filters.any(|filter| version.document.is_filtered_by(filter))
            })
        };
        let rules = self.rules.iter().filter(|(_, entry)| is_filtered(entry));
        rules.map(|(id, _)| id.clone()).collect()
    }

    /// All rules that use placeholders, and the rules of such filters. Filters come first.
    pub(crate) fn with_placeholders(&self) -> Vec<RuleId> {
        let uses = |entry: &RuleEntry| {
            let mut versions = entry.source_versions.iter();
            versions.any(|version| version.document.template.is_some())
        };
        let found = self.rules.iter().filter(|(_, entry)| uses(entry));
        let (filters, rules): (Vec<_>, Vec<_>) = found
            .map(|(id, _)| id.clone())
            .partition(|id| self.filters.contains(id));
        let mut rules: BTreeSet<RuleId> = rules.into_iter().collect();
        for filter in &filters {
            rules.append(&mut self.filtered_by(filter));
        }
        rules.retain(|rule| !filters.contains(rule));
        filters.into_iter().chain(rules).collect()
    }

    /// Derives the active versions of a rule. Its filters must be up to date.
    ///
    /// The diagnostics say why the rule does not run now.
    pub(crate) fn derive_versions(&self, id: &RuleId) -> (Vec<Version>, Vec<Diagnostic>) {
        let (mut found, mut diagnostics) = (Vec::new(), Vec::new());
        let Some(entry) = self.rules.get(id) else {
            return (found, diagnostics);
        };
        for (at, version) in entry.source_versions.iter().enumerate() {
            let filters = self.filters_of(&version.document);
            if version.document.template.is_none() && filters.is_empty() {
                found.push(version.clone());
                continue;
            }
            let filters: Vec<&RuleEntry> = filters
                .iter()
                .filter_map(|id| self.rules.get(*id))
                .collect();
            let mut refused = self.split(version, entry, &filters, &mut found);
            if at + 1 == entry.source_versions.len() {
                diagnostics.append(&mut refused);
            }
        }
        (found, diagnostics)
    }

    /// Adds the parts of one version. Returns why the last part does not run, if so.
    fn split(
        &self,
        version: &Version,
        entry: &RuleEntry,
        filters: &[&RuleEntry],
        found: &mut Vec<Version>,
    ) -> Vec<Diagnostic> {
        let mut cuts = BTreeSet::from([version.since, version.until]);
        if version.document.template.is_some() {
            cuts.extend(self.settings.times());
        }
        for filter in filters {
            let versions = filter.active_versions.iter();
            cuts.extend(versions.flat_map(|v| [v.since, v.until]));
        }
        let cuts: Vec<EventTime> = cuts.range(version.since..=version.until).copied().collect();
        let first = found.len();
        let mut refused = Vec::new();
        for cut in cuts.windows(2) {
            let &[since, until] = cut else { continue };
            refused.clear();
            let bound = match self.bind_placeholders(&version.document, since, entry) {
                Ok(document) => document,
                Err(mut diagnostics) => {
                    refused.append(&mut diagnostics);
                    continue;
                }
            };
            let document = add_filters(bound, since, entry, filters);
            match found.get_mut(first..).and_then(<[Version]>::last_mut) {
                Some(last) if last.until == since && last.document.shape == document.shape => {
                    last.until = until;
                }
                _ => found.push(Version {
                    since,
                    until,
                    document,
                }), // A gap, or another shape.
            }
        }
        refused
    }

    /// The document with the values that its placeholders have at `time`.
    ///
    /// Reuses a document of `entry` that is compiled with these values.
    fn bind_placeholders(
        &self,
        document: &Arc<RuleDocument>,
        time: EventTime,
        entry: &RuleEntry,
    ) -> Result<Arc<RuleDocument>, Vec<Diagnostic>> {
        let Some(template) = &document.template else {
            return Ok(document.clone());
        };
        let values = self.settings.values(template.values.keys(), time);
        let active = entry.active_versions.iter();
        let active = active.map(|version| &version.document);
        let known = std::iter::once(document).chain(active).find(|known| {
            let same = known.template.as_ref().is_some_and(|t| t.values == values);
            same && known.version == document.version
        });
        if let Some(known) = known {
            return Ok(known.clone());
        }
        document::read(&template.text, &document.origin, &values)
            .map(|(document, _)| Arc::new(document))
            .map_err(|mut diagnostics| {
                diagnostics.retain(|diagnostic| diagnostic.refused);
                diagnostics
            })
    }
}

/// The document with the filters that are in force at `time`.
fn add_filters(
    document: Arc<RuleDocument>,
    time: EventTime,
    entry: &RuleEntry,
    filters: &[&RuleEntry],
) -> Arc<RuleDocument> {
    let in_force = filters.iter().filter_map(|filter| {
        let mut versions = filter.active_versions.iter();
        let version = versions.find(|version| version.period().contains(time))?;
        let applies = match &version.document.body {
            RuleBody::Filter(filter) => document.is_filtered_by(filter),
            RuleBody::Rule(..) | RuleBody::Correlation(_) => false,
        };
        applies.then(|| version.document.clone())
    });
    let in_force: Vec<Arc<RuleDocument>> = in_force.collect();
    if in_force.is_empty() {
        return document;
    }
    let Some(combined) = combine(&document, &in_force) else {
        return document;
    };
    let active = entry.active_versions.iter();
    let mut active = active.map(|version| &version.document);
    let same = |known: &&Arc<RuleDocument>| {
        known.shape == combined.shape && known.version == combined.version
    };
    active
        .find(same)
        .cloned()
        .unwrap_or_else(|| Arc::new(combined))
}
