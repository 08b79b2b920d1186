//! From rules as they were put to rules as they run: with the values of their placeholders, and
//! with the filters that are for them, each in its time.
//!
//! ```text
//! rule     |------------- v1 ------------- v2 -----   as put
//! filter            |------ f1 -------|
//! runs     |-- v1 --|-- v1 and f1 ----| v1 | v2 --   one version for each stretch that is alike
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_schema::{EventTime, RuleId};

use crate::diagnostic::Diagnostic;
use crate::document::{self, Body, Document};
use crate::filter;
use crate::plans::{Catalog, Entry, Version};

impl Catalog {
    /// The filters that are for this rule, or were, in order of id.
    pub(crate) fn filters_of(&self, rule: &Document) -> Vec<&RuleId> {
        let is_for = |id: &&RuleId| {
            let entry = self.rules.get(*id);
            entry.is_some_and(|entry| entry.filters().any(|filter| filter.is_for(rule)))
        };
        self.filters.iter().filter(is_for).collect()
    }

    /// The rules that this one filters.
    pub(crate) fn filtered_by(&self, id: &RuleId) -> BTreeSet<RuleId> {
        let Some(filter) = self.rules.get(id).filter(|_| self.filters.contains(id)) else {
            return BTreeSet::new();
        };
        let is_for = |entry: &Entry| {
            let mut puts = entry.puts.iter();
            puts.any(|put| filter.filters().any(|filter| filter.is_for(&put.document)))
        };
        let rules = self.rules.iter().filter(|(_, entry)| is_for(entry));
        rules.map(|(id, _)| id.clone()).collect()
    }

    /// Rules whose placeholders may have changed, filters first, with all that these filter.
    pub(crate) fn with_placeholders(&self) -> Vec<RuleId> {
        let uses = |entry: &Entry| entry.puts.iter().any(|put| put.document.recipe.is_some());
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

    /// The versions of a rule as they run. Filters must be up to date. The diagnostics are about
    /// what does not run now.
    pub(crate) fn running_versions(&self, id: &RuleId) -> (Vec<Version>, Vec<Diagnostic>) {
        let (mut found, mut diagnostics) = (Vec::new(), Vec::new());
        let Some(entry) = self.rules.get(id) else {
            return (found, diagnostics);
        };
        for (at, put) in entry.puts.iter().enumerate() {
            let filters = self.filters_of(&put.document);
            if put.document.recipe.is_none() && filters.is_empty() {
                found.push(put.clone());
                continue;
            }
            let filters: Vec<&Entry> = filters
                .iter()
                .filter_map(|id| self.rules.get(*id))
                .collect();
            let mut refused = self.cut(put, entry, &filters, &mut found);
            if at + 1 == entry.puts.len() {
                diagnostics.append(&mut refused);
            }
        }
        (found, diagnostics)
    }

    /// Adds the stretches of one version; returns why its last one does not run.
    fn cut(
        &self,
        put: &Version,
        entry: &Entry,
        filters: &[&Entry],
        found: &mut Vec<Version>,
    ) -> Vec<Diagnostic> {
        let mut cuts = BTreeSet::from([put.since, put.until]);
        if put.document.recipe.is_some() {
            cuts.extend(self.settings.times());
        }
        for filter in filters {
            cuts.extend(filter.versions.iter().flat_map(|v| [v.since, v.until]));
        }
        let cuts: Vec<EventTime> = cuts.range(put.since..=put.until).copied().collect();
        let first = found.len();
        let mut refused = Vec::new();
        for stretch in cuts.windows(2) {
            let &[since, until] = stretch else { continue };
            refused.clear();
            let placed = match self.placed(&put.document, since, entry) {
                Ok(document) => document,
                Err(mut diagnostics) => {
                    refused.append(&mut diagnostics);
                    continue;
                }
            };
            let document = filtered(placed, since, entry, filters);
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

    /// The document under the values that its placeholders have at `time`.
    fn placed(
        &self,
        document: &Arc<Document>,
        time: EventTime,
        entry: &Entry,
    ) -> Result<Arc<Document>, Vec<Diagnostic>> {
        let Some(recipe) = &document.recipe else {
            return Ok(document.clone());
        };
        let values = self.settings.values(recipe.values.keys(), time);
        let runs = entry.versions.iter().map(|version| &version.document);
        let known = std::iter::once(document).chain(runs).find(|known| {
            let same = known.recipe.as_ref().is_some_and(|r| r.values == values);
            same && known.version == document.version
        });
        if let Some(known) = known {
            return Ok(known.clone());
        }
        document::read(&recipe.text, &document.origin, &values)
            .map(|(document, _)| Arc::new(document))
            .map_err(|mut diagnostics| {
                diagnostics.retain(|diagnostic| diagnostic.refused);
                diagnostics
            })
    }
}

/// The document with the filters that are in force at `time`.
fn filtered(
    document: Arc<Document>,
    time: EventTime,
    entry: &Entry,
    filters: &[&Entry],
) -> Arc<Document> {
    let in_force = filters.iter().filter_map(|filter| {
        let version = filter.versions.iter().find(|version| version.sees(time))?;
        let is_for = match &version.document.body {
            Body::Filter(filter) => filter.is_for(&document),
            Body::Rule(..) | Body::Correlation(_) => false,
        };
        is_for.then(|| version.document.clone())
    });
    let in_force: Vec<Arc<Document>> = in_force.collect();
    if in_force.is_empty() {
        return document;
    }
    let Some(combined) = filter::combine(&document, &in_force) else {
        return document;
    };
    let mut runs = entry.versions.iter().map(|version| &version.document);
    let same =
        |known: &&Arc<Document>| known.shape == combined.shape && known.version == combined.version;
    runs.find(same)
        .cloned()
        .unwrap_or_else(|| Arc::new(combined))
}
