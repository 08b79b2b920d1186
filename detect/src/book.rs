//! The rule book: rule entries in, plans and their changes out; and what an event means to them.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use weir_schema::{
    Control, Event, EventTime, GroupField, GroupKey, Level, LogSource, Plan, PlanId, PlanKind,
    RuleId, RuleVersion, TenantKey,
};

use crate::diagnostic::{Diagnostic, Refusal};
use crate::document::{self, Body, Document};
use crate::explain::{self, Explanation};
use crate::group;
use crate::index::{Detected, Index};
use crate::plans::{Catalog, Entry, LivePlan, Version, chained};
use crate::sources::LogSources;

/// More rules are refused; the largest public collection has about 4,000.
pub const RULES_MAX: usize = 10_000;

/// More versions of one rule are refused: the plans of all of them live on, with their alerts.
pub const VERSIONS_MAX: usize = 64;

/// All rules that were ever put and not removed. A clone shares everything until it is changed.
#[derive(Clone, Debug, Default)]
pub struct RuleBook {
    inner: Arc<Inner>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    catalog: Catalog,
    /// Built at the first use after a change, so that loading many rules builds it once.
    index: OnceLock<Arc<Index>>,
    sources: Option<Arc<LogSources>>,
}

/// What an entry did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub diagnostics: Vec<Diagnostic>,
    /// In order of rule id; for one rule removals first, then plans by `since`.
    pub changes: Vec<PlanChange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanChange {
    /// A plan that is new (`backfill`), or another version or `until` of a known one.
    Put { plan: Plan, backfill: bool },
    /// The plan should never have spoken. A removal may be followed by a `Put` of the same plan:
    /// then its `until` moved back, and its facts are to be derived afresh.
    Remove(PlanId),
}

/// What a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleKind {
    /// Matches single events.
    Event,
    EventCount,
    Temporal,
}

/// The current version of a rule, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSummary {
    pub id: RuleId,
    pub name: Option<String>,
    pub title: String,
    pub level: Level,
    pub version: RuleVersion,
    pub since: EventTime,
    pub until: EventTime,
    pub kind: RuleKind,
    /// Whether it raises alerts of its own: not where a correlation reads it without `generate`,
    /// nor where a correlation waits for its rules.
    pub alerts: bool,
    /// Correlations that read it.
    pub referenced_by: Vec<RuleId>,
    pub tags: Vec<String>,
    /// Names of all fields that it reads, in order, as the rule writes them.
    pub fields: Vec<String>,
    /// What it states; `None` for a correlation.
    pub logsource: Option<LogSource>,
    pub status: Option<String>,
    pub falsepositives: Vec<String>,
    /// Where its text came from.
    pub origin: String,
}

impl RuleBook {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a rule entry; other entries change nothing.
    pub fn apply(&mut self, control: &Control) -> Applied {
        match control {
            Control::RulePut {
                text,
                origin,
                since,
            } => self.put(text, origin, *since),
            Control::RuleDisable { rule, until } => self.disable(rule, *until),
            Control::RuleRemove { rule } => self.remove(rule),
            Control::Start { .. }
            | Control::Tick { .. }
            | Control::Heartbeat { .. }
            | Control::Settings { .. }
            | Control::Finish => Applied::default(),
        }
    }

    /// Plans in order of id, with those that have ended.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.index().plans.iter().map(|live| &live.plan)
    }

    #[must_use]
    pub fn plan(&self, id: PlanId) -> Option<&Plan> {
        self.index().plan(id).map(|live| &live.plan)
    }

    /// Matches and facts of the event; with `only`, facts of those plans alone, and no matches.
    pub fn detect(
        &self,
        event: &Event<'_>,
        tenant: TenantKey,
        only: Option<&[PlanId]>,
        out: &mut Detected,
    ) {
        self.index().detect(event, tenant, only, out);
    }

    /// The group in words, where the event names a group of this key.
    #[must_use]
    pub fn group_fields(
        &self,
        plan: PlanId,
        event: &Event<'_>,
        tenant: TenantKey,
        group: GroupKey,
    ) -> Option<Vec<GroupField>> {
        let index = self.index();
        let live = index.plan(plan)?;
        let fields = live.plan.group_by.as_slice();
        index.views(live, event).iter().find_map(|view| {
            let mut found = None;
            group::each((fields, live.lenient), view, tenant, |key, values| {
                if key == group {
                    found = Some(group::named(fields, values));
                }
            });
            found
        })
    }

    /// Why the current version of the rule matches the event, or why not. A correlation is
    /// explained by its members.
    #[must_use]
    pub fn explain(&self, rule: &str, event: &Event<'_>) -> Option<Explanation> {
        explain::explain(&self.inner.catalog, rule, event)
    }

    /// All rules in order of id.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleSummary> {
        let catalog = &self.inner.catalog;
        let summary = |(id, entry): (&RuleId, &Entry)| summary(catalog, id, entry);
        catalog.rules.iter().filter_map(summary).collect()
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        let inner = &*self.inner;
        inner.index.get_or_init(|| {
            let own = || {
                static OWN: OnceLock<LogSources> = OnceLock::new();
                OWN.get_or_init(LogSources::default)
            };
            let sources = inner.sources.as_deref().unwrap_or_else(own);
            Arc::new(Index::new(&inner.catalog, sources))
        })
    }

    fn put(&mut self, text: &str, origin: &str, since: EventTime) -> Applied {
        let (document, diagnostics) = match document::read(text, origin) {
            Ok(read) => read,
            Err(diagnostics) => {
                return Applied {
                    diagnostics,
                    changes: Vec::new(),
                };
            }
        };
        let catalog = &self.inner.catalog;
        let entry = catalog.rules.get(&document.id);
        let current = entry.and_then(Entry::current);
        let runs = |version: &&Version| version.until == EventTime::MAX;
        if current
            .filter(runs)
            .is_some_and(|v| v.document.version == document.version)
        {
            return Applied::default();
        }
        if let Err(refusal) = admit(catalog, &document) {
            return Applied {
                diagnostics: vec![refusal.into_diagnostic(origin, text, true)],
                changes: Vec::new(),
            };
        }
        let mut versions = entry
            .map(|entry| entry.versions.clone())
            .unwrap_or_default();
        let document = Arc::new(document);
        let id = document.id.clone();
        match versions.last_mut() {
            Some(last) if runs(&&*last) && last.document.shape == document.shape => {
                last.document = document;
            }
            _ => {
                for version in &mut versions {
                    version.until = version.until.min(since);
                }
                versions.retain(|version| version.since < version.until);
                versions.push(Version {
                    since,
                    until: EventTime::MAX,
                    document,
                });
            }
        }
        self.replace(&id, versions, diagnostics)
    }

    fn disable(&mut self, rule: &str, until: EventTime) -> Applied {
        let Some((id, mut versions)) = self.versions(rule) else {
            return unknown(rule);
        };
        for version in &mut versions {
            version.until = version.until.min(until);
        }
        self.replace(&id, versions, Vec::new())
    }

    fn remove(&mut self, rule: &str) -> Applied {
        match self.versions(rule) {
            Some((id, _)) => self.replace(&id, Vec::new(), Vec::new()),
            None => unknown(rule),
        }
    }

    fn versions(&self, rule: &str) -> Option<(RuleId, Vec<Version>)> {
        let catalog = &self.inner.catalog;
        let id = catalog.resolve(rule)?;
        let entry = catalog.rules.get(id)?;
        Some((id.clone(), entry.versions.clone()))
    }

    /// Puts the versions of a rule in place and derives the plans that depend on them.
    fn replace(
        &mut self,
        id: &RuleId,
        versions: Vec<Version>,
        mut diagnostics: Vec<Diagnostic>,
    ) -> Applied {
        let inner = Arc::make_mut(&mut self.inner);
        inner.index = OnceLock::new();
        let catalog = &mut inner.catalog;
        let mut touched = catalog.touched(id);
        let before = set_versions(catalog, id, versions);
        touched.append(&mut catalog.touched(id));
        let mut changes = Vec::new();
        for rule in &touched {
            let (plans, mut found) = catalog.plans_of(rule);
            diagnostics.append(&mut found);
            let old = match catalog.rules.get_mut(rule) {
                Some(entry) => std::mem::replace(&mut entry.plans, plans.clone()),
                None if rule == id => before.clone(),
                None => Vec::new(),
            };
            differences(&old, &plans, &mut changes);
        }
        Applied {
            diagnostics,
            changes,
        }
    }
}

/// Returns the plans of a rule that is there no more.
fn set_versions(catalog: &mut Catalog, id: &RuleId, versions: Vec<Version>) -> Vec<Arc<LivePlan>> {
    catalog.names.retain(|_, named| named != id);
    catalog.correlations.remove(id);
    let Some(current) = versions.last() else {
        return catalog
            .rules
            .remove(id)
            .map(|entry| entry.plans)
            .unwrap_or_default();
    };
    if let Some(name) = &current.document.name {
        catalog.names.insert(name.clone(), id.clone());
    }
    let is_correlation = |v: &Version| matches!(v.document.body, Body::Correlation(_));
    if versions.iter().any(is_correlation) {
        catalog.correlations.insert(id.clone());
    }
    catalog.rules.entry(id.clone()).or_default().versions = versions;
    Vec::new()
}

fn differences(old: &[Arc<LivePlan>], new: &[Arc<LivePlan>], changes: &mut Vec<PlanChange>) {
    let find = |plans: &[Arc<LivePlan>], id: PlanId| -> Option<Arc<LivePlan>> {
        plans.iter().find(|live| live.plan.id == id).cloned()
    };
    for live in old {
        let kept = find(new, live.plan.id).is_some_and(|now| now.plan.until <= live.plan.until);
        if !kept {
            changes.push(PlanChange::Remove(live.plan.id));
        }
    }
    for live in new {
        let plan = &live.plan;
        let backfill = match find(old, plan.id) {
            Some(known) if known.plan == *plan => continue,
            Some(known) => known.plan.until < plan.until,
            None => true,
        };
        changes.push(PlanChange::Put {
            plan: plan.clone(),
            backfill,
        });
    }
}

/// Refuses what would take the place of another rule, chain correlations, or pass a limit.
fn admit(catalog: &Catalog, document: &Document) -> Result<(), Refusal> {
    let id = &document.id;
    let entry = catalog.rules.get(id);
    if entry.is_none() && catalog.rules.len() >= RULES_MAX {
        return Err(Refusal::new(format!("more than {RULES_MAX} rules")).hint("remove some"));
    }
    if entry.is_some_and(|entry| entry.versions.len() >= VERSIONS_MAX) {
        let message = format!("more than {VERSIONS_MAX} versions of one rule");
        return Err(Refusal::new(message).hint("remove the rule, or give the new one another id"));
    }
    let words = BTreeSet::from([&**id, document.name.as_deref().unwrap_or(id)]);
    for word in words {
        let other = catalog.resolve(word).filter(|other| *other != id);
        if let Some(other) = other {
            return Err(
                Refusal::new(format!("`{word}` already names rule `{other}`"))
                    .hint("ids and names of all rules must differ"),
            );
        }
    }
    if let Body::Correlation(correlation) = &document.body {
        for member in &correlation.members {
            let found = catalog.resolve(member);
            let itself = **member == **id || document.name.as_ref() == Some(member);
            if itself || found.is_some_and(|found| catalog.is_correlation(found)) {
                return Err(chained(member).key("rules"));
            }
        }
    }
    Ok(())
}

fn unknown(rule: &str) -> Applied {
    Applied {
        diagnostics: vec![Refusal::new("there is no such rule").into_diagnostic(rule, "", true)],
        changes: Vec::new(),
    }
}

fn summary(catalog: &Catalog, id: &RuleId, entry: &Entry) -> Option<RuleSummary> {
    let current = entry.current()?;
    let document = &current.document;
    let kind = match &document.body {
        Body::Rule(..) => RuleKind::Event,
        Body::Correlation(correlation) => match correlation.kind {
            PlanKind::EventCount { .. } => RuleKind::EventCount,
            PlanKind::Temporal { .. } => RuleKind::Temporal,
        },
    };
    let last = entry.plans.last();
    Some(RuleSummary {
        id: id.clone(),
        name: document.name.clone(),
        title: document.title.clone(),
        level: document.level,
        version: document.version,
        since: current.since,
        until: current.until,
        kind,
        alerts: last.is_some_and(|live| live.plan.until == current.until),
        referenced_by: catalog.readers(id),
        tags: document.about.tags.clone(),
        fields: document.about.fields.clone(),
        logsource: document.about.logsource.clone(),
        status: document.about.status.clone(),
        falsepositives: document.about.falsepositives.clone(),
        origin: document.origin.clone(),
    })
}
