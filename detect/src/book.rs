//! The rule book: rule entries in, plans and their changes out; and what an event means to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use weir_schema::{
    Basis, Control, Event, EventTime, GroupField, GroupKey, Hearer, Plan, PlanId, RuleId,
    TenantKey, WhatIfId,
};

use crate::admit::{VERSIONS_MAX, admit, unreached};
use crate::diagnostic::{Diagnostic, Refusal};
use crate::document;
use crate::explain::{self, Explanation};
use crate::group;
use crate::index::{Detected, Index};
use crate::live::LivePlan;
use crate::plans::{Catalog, Entry, Version};
use crate::settings::{Placeholders, SETTINGS_CHANGES_MAX, Settings};
use crate::sources::LogSources;
use crate::summary::{RuleSummary, summary};
use crate::what_if::WhatIf;

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
    what_ifs: BTreeMap<WhatIfId, Arc<WhatIf>>,
}

/// What an entry did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub diagnostics: Vec<Diagnostic>,
    /// In order of rule id; for one rule removals first, then plans by `since`.
    pub changes: Vec<PlanChange>,
    /// The rules whose plans were derived anew.
    pub touched: BTreeSet<RuleId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanChange {
    /// A plan that is new (`backfill`), or another version or `until` of a known one.
    Put { plan: Plan, backfill: bool },
    /// The plan should never have spoken. A removal may be followed by a `Put` of the same plan:
    /// then its `until` moved back, and its facts are to be derived afresh.
    Remove(PlanId),
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
            | Control::SelfAlerts(_)
            | Control::Delivered(_)
            | Control::Finish => Applied::default(),
            Control::Settings { text, since } => self.set(text, *since),
            Control::WhatIfPut {
                id,
                changes,
                since,
                from_journal,
            } => self.put_what_if(*id, (*since, changes), *from_journal),
            Control::WhatIfPromote { id } => self.promote_what_if(*id),
            Control::WhatIfDrop { id } => {
                self.what_ifs_mut().remove(id);
                Applied::default()
            }
        }
    }

    /// Plans in order of id, with those that have ended; without those of what-ifs.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        let plans = self.index().plans.iter().map(|live| &live.plan);
        plans.filter(|plan| !matches!(plan.hearer, Hearer::WhatIf(_)))
    }

    /// The plan of this id, be it of a what-if.
    #[must_use]
    pub fn plan(&self, id: PlanId) -> Option<&Plan> {
        self.live(id).map(|live| &live.plan)
    }

    fn live(&self, id: PlanId) -> Option<&LivePlan> {
        let runs = self.index().plan(id);
        runs.or_else(|| self.shadow(id).map(|shadow| &*shadow.live))
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
        let live = self.live(plan)?;
        let names = live.plan.group_by.as_slice();
        index.views(live, event).iter().find_map(|(view, source)| {
            let mut found = None;
            let grouping = (names, source.group_by.as_slice(), live.lenient);
            group::each(grouping, view, tenant, |key, values| {
                if key == group {
                    found = Some(group::named(names, values));
                }
            });
            found
        })
    }

    /// Why the current version of the rule matches the event, or why not. A correlation is
    /// explained by its members.
    #[must_use]
    pub fn explain(&self, rule: &str, event: &Event<'_>) -> Option<Explanation> {
        explain::explain(&self.inner.catalog, self.sources(), rule, event)
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
        let new = || {
            // Shadows that share the facts of a plan need none of their own.
            let shadows = inner.what_ifs.values().flat_map(|one| &one.shadows);
            let shadows = shadows.filter(|shadow| !matches!(shadow.basis, Basis::Groups(_)));
            let shadows = shadows.map(|shadow| shadow.live.clone()).collect();
            Arc::new(Index::new(&inner.catalog, shadows, self.sources()))
        };
        inner.index.get_or_init(new)
    }

    /// How log sources are told: what comes with Weir, and what configuration adds.
    #[must_use]
    pub fn sources(&self) -> &LogSources {
        static OWN: OnceLock<LogSources> = OnceLock::new();
        let own = || OWN.get_or_init(LogSources::default);
        self.inner.sources.as_deref().unwrap_or_else(own)
    }

    /// What configuration says, as the journal has it last.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        static NONE: Settings = Settings {
            placeholders: Placeholders::new(),
            log_sources: Vec::new(),
        };
        let current = self.inner.catalog.settings.current();
        current.map_or(&NONE, |settings| settings)
    }

    fn put(&mut self, text: &str, origin: &str, since: EventTime) -> Applied {
        let placeholders = &self.settings().placeholders;
        let (document, mut diagnostics) = match document::read(text, origin, placeholders) {
            Ok(read) => read,
            Err(diagnostics) => return refused(diagnostics),
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
        let mut puts = entry.map(|entry| entry.puts.clone()).unwrap_or_default();
        let edited = puts
            .last()
            .is_some_and(|last| runs(&last) && last.document.written == document.written);
        if !edited {
            for version in &mut puts {
                version.until = version.until.min(since);
            }
            puts.retain(|version| version.since < version.until);
        }
        if let Err(refusal) = admit(catalog, &document, !edited && puts.len() >= VERSIONS_MAX) {
            return refused(vec![refusal.into_diagnostic(origin, text, true)]);
        }
        let unreached = unreached(catalog, &document).into_iter();
        diagnostics.extend(unreached.map(|remark| remark.into_diagnostic(origin, text, false)));
        let document = Arc::new(document);
        let id = document.id.clone();
        match puts.last_mut() {
            Some(last) if edited => last.document = document,
            _ => puts.push(Version {
                since,
                until: EventTime::MAX,
                document,
            }),
        }
        self.replace(&id, puts, diagnostics)
    }

    fn disable(&mut self, rule: &str, until: EventTime) -> Applied {
        let Some((id, mut puts)) = self.puts(rule) else {
            return unknown(rule);
        };
        for version in &mut puts {
            version.until = version.until.min(until);
        }
        self.replace(&id, puts, Vec::new())
    }

    fn remove(&mut self, rule: &str) -> Applied {
        match self.puts(rule) {
            Some((id, _)) => self.replace(&id, Vec::new(), Vec::new()),
            None => unknown(rule),
        }
    }

    fn puts(&self, rule: &str) -> Option<(RuleId, Vec<Version>)> {
        let catalog = &self.inner.catalog;
        let id = catalog.resolve(rule)?;
        let entry = catalog.rules.get(id)?;
        Some((id.clone(), entry.puts.clone()))
    }

    /// Puts the versions of a rule in place and derives all that depends on them.
    fn replace(
        &mut self,
        id: &RuleId,
        puts: Vec<Version>,
        mut diagnostics: Vec<Diagnostic>,
    ) -> Applied {
        let catalog = self.changed();
        let mut stale = catalog.filtered_by(id);
        let mut touched = catalog.touched(id);
        let gone = set_puts(catalog, id, puts);
        stale.append(&mut catalog.filtered_by(id));
        stale.remove(id);
        let stale: Vec<RuleId> = std::iter::once(id.clone()).chain(stale).collect();
        touched.append(&mut revise(catalog, &stale, &mut diagnostics));
        let changes = replan(catalog, &touched, (id, &gone), &mut diagnostics);
        let name = catalog.rules.get(id).and_then(Entry::current);
        let name = name.and_then(|current| current.document.name.as_deref());
        touched.extend(name.map(RuleId::from));
        self.overtake(&touched);
        Applied {
            diagnostics,
            changes,
            touched,
        }
    }

    fn set(&mut self, text: &str, since: EventTime) -> Applied {
        let refuse = |message: String| {
            refused(vec![
                Refusal::new(message).into_diagnostic_at("settings", None, true),
            ])
        };
        let settings = match Settings::read(text) {
            Ok(settings) => settings,
            Err(reason) => return refuse(reason),
        };
        if *self.settings() == settings {
            return Applied::default();
        }
        if self.inner.catalog.settings.changes() >= SETTINGS_CHANGES_MAX {
            return refuse(format!(
                "more than {SETTINGS_CHANGES_MAX} changes of settings"
            ));
        }
        let (sources, mut diagnostics) = LogSources::with(&settings.log_sources);
        let catalog = self.changed();
        catalog.settings.put(since, settings);
        let stale = catalog.with_placeholders();
        let touched = revise(catalog, &stale, &mut diagnostics);
        let changes = replan(catalog, &touched, (&"".into(), &[]), &mut diagnostics);
        Arc::make_mut(&mut self.inner).sources = Some(Arc::new(sources));
        self.overtake(&touched);
        Applied {
            diagnostics,
            changes,
            touched,
        }
    }

    /// Ends what-ifs that bear on rules that have changed.
    fn overtake(&mut self, touched: &BTreeSet<RuleId>) {
        if self
            .what_ifs()
            .values()
            .any(|one| one.bears_on_any(touched))
        {
            self.what_ifs_mut()
                .retain(|_, one| !one.bears_on_any(touched));
        }
    }

    /// The what-ifs that run.
    #[must_use]
    pub fn what_ifs(&self) -> &BTreeMap<WhatIfId, Arc<WhatIf>> {
        &self.inner.what_ifs
    }

    pub(crate) fn what_ifs_mut(&mut self) -> &mut BTreeMap<WhatIfId, Arc<WhatIf>> {
        let inner = Arc::make_mut(&mut self.inner);
        inner.index = OnceLock::new();
        &mut inner.what_ifs
    }

    /// The rules, to try changes on.
    pub(crate) fn without_what_ifs(&self) -> Self {
        let mut copy = self.clone();
        if !copy.what_ifs().is_empty() {
            copy.what_ifs_mut().clear();
        }
        copy
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// The catalog, to be changed.
    fn changed(&mut self) -> &mut Catalog {
        let inner = Arc::make_mut(&mut self.inner);
        inner.index = OnceLock::new();
        &mut inner.catalog
    }
}

/// Brings the running versions of `stale` up to date, in this order. Returns the rules whose plans
/// may depend on them.
fn revise(
    catalog: &mut Catalog,
    stale: &[RuleId],
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeSet<RuleId> {
    let mut touched = BTreeSet::new();
    for rule in stale {
        let (versions, mut found) = catalog.running_versions(rule);
        diagnostics.append(&mut found);
        if let Some(entry) = catalog.rules.get_mut(rule) {
            entry.versions = versions;
        }
        touched.append(&mut catalog.touched(rule));
    }
    touched
}

/// Derives the plans of these rules anew. Of a rule that is gone its plans are given.
fn replan(
    catalog: &mut Catalog,
    touched: &BTreeSet<RuleId>,
    (gone, before): (&RuleId, &[Arc<LivePlan>]),
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<PlanChange> {
    let mut changes = Vec::new();
    for rule in touched {
        let (plans, mut found) = catalog.plans_of(rule);
        diagnostics.append(&mut found);
        let old = match catalog.rules.get_mut(rule) {
            Some(entry) => std::mem::replace(&mut entry.plans, plans.clone()),
            None if rule == gone => before.to_vec(),
            None => Vec::new(),
        };
        differences(&old, &plans, &mut changes);
    }
    changes
}

/// Returns the plans of a rule that is there no more.
fn set_puts(catalog: &mut Catalog, id: &RuleId, puts: Vec<Version>) -> Vec<Arc<LivePlan>> {
    catalog.forget_words(id);
    if puts.is_empty() {
        let gone = catalog.rules.remove(id);
        return gone.map(|entry| entry.plans).unwrap_or_default();
    }
    catalog.rules.entry(id.clone()).or_default().puts = puts;
    catalog.keep_words(id);
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

fn refused(diagnostics: Vec<Diagnostic>) -> Applied {
    Applied {
        diagnostics,
        ..Applied::default()
    }
}

fn unknown(rule: &str) -> Applied {
    let refusal = Refusal::new("there is no such rule");
    refused(vec![refusal.into_diagnostic_at(rule, None, true)])
}
