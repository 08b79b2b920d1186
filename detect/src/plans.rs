//! From the versions of all rules to the plans that run: a function of content, not of order.
//!
//! Each rule has a line of versions in event time, `[since, until)`. A plan is a stretch of it:
//!
//! ```text
//! rule         |---- v1 -----|-------- v2 -----------   edited in shape
//! correlation        |------- reads the rule --------
//! plans        |=rule=|=corr=|======= corr ==========   the rule alerts alone until it is read
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_schema::{EventTime, RuleId};

use crate::chain;
use crate::correlation::Correlation;
use crate::diagnostic::{Diagnostic, Refusal};
use crate::document::{Body, Document};
use crate::filter::Filter;
use crate::live::{LivePlan, own_plan, segments};
use crate::settings::Timeline;

/// A document and the events that it sees.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub since: EventTime,
    pub until: EventTime,
    pub document: Arc<Document>,
}

impl Version {
    pub(crate) fn sees(&self, time: EventTime) -> bool {
        self.since <= time && time < self.until
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// As they were put, in order of `since`, apart from each other.
    pub puts: Vec<Version>,
    /// These as they run: cut where placeholders or filters change, and with both in them.
    pub versions: Vec<Version>,
    /// In order of `since`.
    pub plans: Vec<Arc<LivePlan>>,
}

impl Entry {
    /// As it was put last.
    pub(crate) fn current(&self) -> Option<&Version> {
        self.puts.last()
    }

    /// What runs of it now, or did last.
    pub(crate) fn running(&self) -> Option<&Version> {
        self.versions.last().or(self.puts.last())
    }

    pub(crate) fn correlations(&self) -> impl Iterator<Item = (&Version, &Correlation)> {
        self.versions
            .iter()
            .filter_map(|version| match &version.document.body {
                Body::Correlation(correlation) => Some((version, correlation)),
                Body::Rule(..) | Body::Filter(_) => None,
            })
    }

    /// Calls it for the filters of all versions.
    pub(crate) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.puts.iter().filter_map(|put| match &put.document.body {
            Body::Filter(filter) => Some(filter),
            Body::Rule(..) | Body::Correlation(_) => None,
        })
    }
}

/// All rules, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    pub rules: BTreeMap<RuleId, Entry>,
    /// Name to id, of current versions.
    pub names: BTreeMap<String, RuleId>,
    /// Correlations of which some version lists this id or name, so that those that read a rule are
    /// found without a look at all.
    pub listed_by: BTreeMap<String, BTreeSet<RuleId>>,
    /// Rules of which some version is a filter.
    pub filters: BTreeSet<RuleId>,
    pub settings: Timeline,
}

impl Catalog {
    /// The rule of this id, else of this name.
    pub(crate) fn resolve(&self, reference: &str) -> Option<&RuleId> {
        let by_id = self.rules.get_key_value(reference).map(|(id, _)| id);
        by_id.or_else(|| self.names.get(reference))
    }

    /// Correlations of which some version reads the rule.
    pub(crate) fn readers(&self, id: &RuleId) -> BTreeSet<RuleId> {
        let name = self.rules.get(id).and_then(Entry::current);
        let name = name.and_then(|current| current.document.name.as_deref());
        let words = BTreeSet::from([&**id, name.unwrap_or(id)]);
        let mine = words
            .into_iter()
            .filter(|word| self.resolve(word) == Some(id));
        let readers = mine.filter_map(|word| self.listed_by.get(word)).flatten();
        let runs = |reader: &&RuleId| {
            let entry = self.rules.get(*reader);
            entry.is_some_and(|entry| entry.correlations().any(|(_, c)| self.reads(c, id)))
        };
        readers.filter(runs).cloned().collect()
    }

    fn reads(&self, correlation: &Correlation, id: &RuleId) -> bool {
        let mut members = correlation.members.iter();
        members.any(|member| self.resolve(member) == Some(id))
    }

    /// Takes a rule's name, members and kinds out of what finds rules by them.
    pub(crate) fn forget_words(&mut self, id: &RuleId) {
        let Some(entry) = self.rules.get(id) else {
            return;
        };
        if let Some(name) = entry.current().and_then(|put| put.document.name.as_ref()) {
            self.names.remove(name);
        }
        for put in &entry.puts {
            let Body::Correlation(correlation) = &put.document.body else {
                continue;
            };
            for member in &correlation.members {
                let readers = self.listed_by.get_mut(member);
                if readers.is_some_and(|readers| readers.remove(id) && readers.is_empty()) {
                    self.listed_by.remove(member);
                }
            }
        }
        self.filters.remove(id);
    }

    /// Lets a rule be found by its name, by its members, and as a filter.
    pub(crate) fn keep_words(&mut self, id: &RuleId) {
        let Some(entry) = self.rules.get(id) else {
            return;
        };
        if let Some(name) = entry.current().and_then(|put| put.document.name.as_ref()) {
            self.names.insert(name.clone(), id.clone());
        }
        for put in &entry.puts {
            match &put.document.body {
                Body::Rule(..) => {}
                Body::Correlation(correlation) => {
                    for member in &correlation.members {
                        let readers = self.listed_by.entry(member.clone()).or_default();
                        readers.insert(id.clone());
                    }
                }
                Body::Filter(_) => drop(self.filters.insert(id.clone())),
            }
        }
    }

    /// The rules whose plans may depend on this one: itself, its readers, theirs, its members.
    pub(crate) fn touched(&self, id: &RuleId) -> BTreeSet<RuleId> {
        let mut touched = BTreeSet::from([id.clone()]);
        let mut next = vec![id.clone()];
        while let Some(read) = next.pop() {
            let readers = self.readers(&read).into_iter();
            next.extend(readers.filter(|reader| touched.insert(reader.clone())));
        }
        if let Some(entry) = self.rules.get(id) {
            let members = entry.correlations().flat_map(|(_, c)| &c.members);
            touched.extend(members.filter_map(|member| self.resolve(member).cloned()));
        }
        touched
    }

    /// The plans of a rule as all versions of all rules have them.
    pub(crate) fn plans_of(&self, id: &RuleId) -> (Vec<Arc<LivePlan>>, Vec<Diagnostic>) {
        let (mut plans, mut diagnostics) = (Vec::new(), Vec::new());
        let Some(entry) = self.rules.get(id) else {
            return (plans, diagnostics);
        };
        for (at, version) in entry.versions.iter().enumerate() {
            match &version.document.body {
                Body::Rule(detection, grouping) => {
                    for (since, until) in self.unread(id, version) {
                        let own = own_plan(version, detection, grouping, since, until);
                        plans.push(Arc::new(own));
                    }
                }
                Body::Correlation(correlation) => match self.members(id, correlation) {
                    Ok(_) => {
                        let free = self.unread(id, version);
                        let is_current = at + 1 == entry.versions.len();
                        for (since, until) in free {
                            let found = segments(self, version, correlation, (since, until));
                            if is_current && !reaches_end((since, until), &found) {
                                diagnostics.push(stopped(version));
                            }
                            plans.extend(found.into_iter().map(Arc::new));
                        }
                    }
                    Err(refusals) if at + 1 == entry.versions.len() => {
                        let origin = &version.document.origin;
                        diagnostics.extend(refusals.into_iter().map(|refusal| {
                            let place = Some(version.document.refers_at);
                            let mut diagnostic = refusal.into_diagnostic_at(origin, place, true);
                            let title = &version.document.title;
                            diagnostic.message = format!("`{title}`: {}", diagnostic.message);
                            diagnostic
                        }));
                    }
                    Err(_) => {} // Said when it was the current version.
                },
                Body::Filter(_) => {} // It is in the versions of its rules.
            }
        }
        (plans, diagnostics)
    }

    /// The stretches of a version that no correlation reads without `generate`.
    fn unread(&self, id: &RuleId, version: &Version) -> Vec<(EventTime, EventTime)> {
        let mut free = vec![(version.since, version.until)];
        for reader in self.readers(id) {
            let Some(entry) = self.rules.get(&reader) else {
                continue; // Readers are rules.
            };
            for (at, read) in entry.versions.iter().enumerate() {
                let Body::Correlation(correlation) = &read.document.body else {
                    continue;
                };
                if correlation.generate || !self.reads(correlation, id) {
                    continue;
                }
                // A disabled correlation goes on reading: else to disable it would set all of
                // its members loose.
                let end = entry
                    .versions
                    .get(at + 1)
                    .map_or(EventTime::MAX, |next| next.since);
                free = free
                    .into_iter()
                    .flat_map(|(a, b)| [(a, b.min(read.since)), (a.max(end), b)])
                    .filter(|(a, b)| a < b)
                    .collect();
            }
        }
        free.retain(|(a, b)| a < b);
        free
    }

    /// The entries of all members, or why there are none.
    pub(crate) fn members<'a>(
        &'a self,
        id: &str,
        correlation: &Correlation,
    ) -> Result<Vec<(&'a RuleId, &'a Entry)>, Vec<Refusal>> {
        let (mut members, mut refusals, mut rules) = (Vec::new(), Vec::new(), 0);
        for reference in &correlation.members {
            let found = self.resolve(reference);
            match found.and_then(|found| self.rules.get_key_value(found)) {
                None => refusals.push(
                    Refusal::new(format!("waits for rule `{reference}`, which is not there"))
                        .hint("the correlation starts when a rule of this id or name is added"),
                ),
                Some((member, _)) if **member == *id => refusals.push(of_itself(reference)),
                Some((member, _)) if self.filters.contains(member) => {
                    let message = format!("`{reference}` names a filter, which matches nothing");
                    refusals.push(Refusal::new(message));
                }
                Some((member, _)) if members.iter().any(|(known, _)| *known == member) => {
                    let message = format!("`{reference}` names a rule that is listed already");
                    refusals.push(Refusal::new(message));
                }
                Some((member, entry)) => {
                    let asked = ((id, correlation), (reference.as_str(), entry));
                    refusals.extend(chain::refusal(self, asked.0, asked.1, &mut rules));
                    members.push((member, entry));
                }
            }
        }
        if refusals.is_empty() {
            Ok(members)
        } else {
            Err(refusals)
        }
    }

    /// Whether the rule's current version is a correlation.
    pub(crate) fn is_correlation(&self, id: &RuleId) -> bool {
        let current = self.rules.get(id).and_then(Entry::current);
        current.is_some_and(|version| matches!(version.document.body, Body::Correlation(_)))
    }
}

pub(crate) fn of_itself(reference: &str) -> Refusal {
    Refusal::new(format!("`{reference}` is a member of itself"))
        .hint("correlations of correlations must not form a circle")
}

fn stopped(version: &Version) -> Diagnostic {
    let message = format!(
        "`{}` is stopped: one of its rules is disabled or is no longer a detection",
        version.document.title
    );
    let (origin, place) = (&version.document.origin, version.document.refers_at);
    Refusal::new(message).into_diagnostic_at(origin, Some(place), true)
}

fn reaches_end((since, until): (EventTime, EventTime), plans: &[LivePlan]) -> bool {
    since >= until || plans.last().is_some_and(|live| live.plan.until == until)
}
