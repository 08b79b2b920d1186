//! The rule book: applies rule entries, derives plans, and finds the facts of an event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use weir_schema::{
    Basis, Control, Event, EventTime, GroupField, GroupKey, Plan, PlanId, PlanOutput, RuleId,
    WhatIfId,
};

use crate::book::admit::{VERSIONS_MAX, admit, ineffective_references};
use crate::book::catalog::{Catalog, RuleEntry, Version};
use crate::book::change::BookUpdate;
use crate::book::drafts::Detections;
use crate::book::explain::{self, Explanation};
use crate::book::group::{self, GroupBy};
use crate::book::index::DetectionIndex;
use crate::book::live::LivePlan;
use crate::book::origin::EventOrigin;
use crate::book::rederive::{rederive_plans, rederive_versions, set_source_versions};
use crate::book::settings::{SETTINGS_CHANGES_MAX, Settings};
use crate::book::summary::{RuleSummary, summary};
use crate::sigma::diagnostic::Diagnostic;
use crate::sigma::document;
use crate::sigma::issue::Issue;
use crate::sigma::log_sources::LogSources;
use crate::sigma::placeholders::Placeholders;
use crate::what_if::{ShadowPlan, WhatIf};

/// All rules that were added and not removed. A clone shares its content until it is changed.
#[derive(Clone, Debug, Default)]
pub struct RuleBook {
    inner: Arc<Inner>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    catalog: Catalog,
    /// Built at the first use after a change, so loading many rules builds it once.
    index: OnceLock<Arc<DetectionIndex>>,
    sources: Option<Arc<LogSources>>,
    what_ifs: BTreeMap<WhatIfId, Arc<WhatIf>>,
}

impl RuleBook {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a rule entry; other entries change nothing.
    pub fn apply(&mut self, control: &Control) -> BookUpdate {
        match control {
            Control::RulePut {
                text,
                origin,
                since,
            } => self.add_rule(text, origin, *since),
            Control::RuleDisable { rule, until } | Control::RuleSuspend { rule, until, .. } => {
                self.disable_rule(rule, *until)
            }
            Control::RuleRemove { rule } => self.remove_rule(rule, EventTime::MIN),
            Control::RuleDelete { rule, since } => self.remove_rule(rule, *since),
            Control::Start { .. }
            | Control::Tick { .. }
            | Control::Heartbeat { .. }
            | Control::SelfAlerts(_)
            | Control::Condition(_)
            | Control::Delivered(_)
            | Control::Reading { .. }
            | Control::WatermarkHolders(_)
            | Control::ClockJump(_)
            | Control::ClockRepair(_)
            | Control::Ahead { .. }
            | Control::Finish => BookUpdate::default(),
            Control::Settings { text, since } => self.change_settings(text, *since),
            Control::WhatIfPut {
                id,
                changes,
                since,
                from_journal,
            } => self.add_what_if(*id, *since, changes, *from_journal),
            Control::WhatIfPromote { id } => self.promote_what_if(*id),
            Control::WhatIfDrop { id } => {
                self.what_ifs_mut().remove(id);
                BookUpdate::default()
            }
        }
    }

    /// All plans in order of id, ended ones included; those of what-ifs are not.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        let plans = self.index().plans.iter().map(|live| &live.plan);
        plans.filter(|plan| !matches!(plan.output, PlanOutput::WhatIf(_)))
    }

    /// The plan with this id, which may belong to a what-if.
    #[must_use]
    pub fn plan(&self, id: PlanId) -> Option<&Plan> {
        self.live(id).map(|live| &live.plan)
    }

    fn live(&self, id: PlanId) -> Option<&LivePlan> {
        let indexed = self.index().plan(id);
        indexed.or_else(|| self.shadow(id).map(|shadow| &*shadow.live))
    }

    fn shadow(&self, plan: PlanId) -> Option<&ShadowPlan> {
        let mut shadows = self
            .what_ifs()
            .values()
            .flat_map(|what_if| &what_if.shadows);
        shadows.find(|shadow| shadow.plan.id == plan)
    }

    /// Finds matches and facts of the event. With `only`, finds facts of those plans alone.
    pub fn detect<'o>(
        &self,
        event: &Event<'_>,
        origin: impl Into<EventOrigin<'o>>,
        only: Option<&[PlanId]>,
        out: &mut Detections,
    ) {
        self.index().detect(event, origin.into(), only, out);
    }

    /// The names and values of the group with this key, or of its late twin, if the event has it.
    #[must_use]
    pub fn group_fields<'o>(
        &self,
        plan: PlanId,
        event: &Event<'_>,
        origin: impl Into<EventOrigin<'o>>,
        group: GroupKey,
    ) -> Option<Vec<GroupField>> {
        let index = self.index();
        let live = self.live(plan)?;
        let names = live.plan.group_by.as_slice();
        let origin = origin.into();
        index.views(live, event).iter().find_map(|(view, source)| {
            let mut found = None;
            let group_by = GroupBy {
                names,
                fields: &source.group_by,
                missing: live.missing,
                detection: &source.detection,
                origin,
            };
            group::for_each_group(group_by, view, |event_group| {
                if [event_group.key, event_group.key.late_twin()].contains(&group) {
                    found = Some(event_group.fields());
                }
            });
            found
        })
    }

    /// Explains why the active version of the rule matches the event, or why it does not.
    ///
    /// A correlation is explained by its members.
    #[must_use]
    pub fn explain(&self, rule: &str, event: &Event<'_>) -> Option<Explanation> {
        explain::explain(&self.inner.catalog, self.sources(), rule, event)
    }

    /// All rules in order of id.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleSummary> {
        let catalog = &self.inner.catalog;
        let summary = |(id, entry): (&RuleId, &RuleEntry)| summary(catalog, id, entry);
        catalog.rules.iter().filter_map(summary).collect()
    }

    pub(crate) fn index(&self) -> &Arc<DetectionIndex> {
        let inner = &*self.inner;
        let build = || {
            // Shadow plans that share the facts of another plan need none of their own.
            let shadows = inner.what_ifs.values().flat_map(|what_if| &what_if.shadows);
            let shadows = shadows.filter(|shadow| !matches!(shadow.basis, Basis::Groups(_)));
            let shadows = shadows.map(|shadow| shadow.live.clone()).collect();
            Arc::new(DetectionIndex::new(&inner.catalog, shadows, self.sources()))
        };
        inner.index.get_or_init(build)
    }

    /// The mappings of log sources: the built-in ones and those of the settings.
    #[must_use]
    pub fn sources(&self) -> &LogSources {
        static BUILT_IN: OnceLock<LogSources> = OnceLock::new();
        let built_in = || BUILT_IN.get_or_init(LogSources::default);
        self.inner.sources.as_deref().unwrap_or_else(built_in)
    }

    /// The latest settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        static NONE: Settings = Settings {
            placeholders: Placeholders::new(),
            log_sources: Vec::new(),
        };
        let current = self.inner.catalog.settings.current();
        current.map_or(&NONE, |settings| settings)
    }

    fn add_rule(&mut self, text: &str, origin: &str, since: EventTime) -> BookUpdate {
        let placeholders = &self.settings().placeholders;
        let (document, mut diagnostics) = match document::read(text, origin, placeholders) {
            Ok(read) => read,
            Err(diagnostics) => return BookUpdate::refused(diagnostics),
        };
        let catalog = &self.inner.catalog;
        let entry = catalog.rules.get(&document.id);
        let current = entry.and_then(RuleEntry::current);
        let is_enabled = |version: &&Version| version.until == EventTime::MAX;
        if current
            .filter(is_enabled)
            .is_some_and(|v| v.document.version == document.version)
        {
            return BookUpdate::default();
        }
        let mut versions = entry.map_or_else(Vec::new, |entry| entry.source_versions.clone());
        let has_shape = |last: &Version| last.document.written_shape == document.written_shape;
        let is_edit = versions
            .last()
            .is_some_and(|last| is_enabled(&last) && has_shape(last));
        if !is_edit {
            for version in &mut versions {
                version.until = version.until.min(since);
            }
            versions.retain(|version| version.since < version.until);
        }
        // A rule that is put back at the time of its end goes on as if it had never ended.
        let continues = |last: &Version| last.until == since && has_shape(last);
        let same_shape = is_edit || versions.last().is_some_and(continues);
        let is_full = !same_shape && versions.len() >= VERSIONS_MAX;
        if let Err(issue) = admit(catalog, &document, is_full) {
            return BookUpdate::refused(vec![issue.into_diagnostic(origin, text, true)]);
        }
        let remarks = ineffective_references(catalog, &document).into_iter();
        diagnostics.extend(remarks.map(|remark| remark.into_diagnostic(origin, text, false)));
        let document = Arc::new(document);
        let id = document.id.clone();
        match versions.last_mut() {
            Some(last) if same_shape => {
                last.until = EventTime::MAX;
                last.document = document;
            }
            _ => versions.push(Version {
                since,
                until: EventTime::MAX,
                document,
            }),
        }
        self.replace_versions(&id, versions, diagnostics)
    }

    fn disable_rule(&mut self, rule: &str, until: EventTime) -> BookUpdate {
        let Some((id, mut versions)) = self.source_versions(rule) else {
            return unknown(rule);
        };
        for version in &mut versions {
            version.until = version.until.min(until);
        }
        self.replace_versions(&id, versions, Vec::new())
    }

    /// Removes a rule. The rules that it read alone stay without alerts before `since`.
    fn remove_rule(&mut self, rule: &str, since: EventTime) -> BookUpdate {
        match self.source_versions(rule) {
            Some((id, _)) => {
                self.catalog_mut().keep_silent(&id, since);
                self.replace_versions(&id, Vec::new(), Vec::new())
            }
            None => unknown(rule),
        }
    }

    fn source_versions(&self, rule: &str) -> Option<(RuleId, Vec<Version>)> {
        let catalog = &self.inner.catalog;
        let id = catalog.resolve(rule)?;
        let entry = catalog.rules.get(id)?;
        Some((id.clone(), entry.source_versions.clone()))
    }

    /// Replaces the versions of a rule, and derives again all that depends on them.
    fn replace_versions(
        &mut self,
        id: &RuleId,
        versions: Vec<Version>,
        mut diagnostics: Vec<Diagnostic>,
    ) -> BookUpdate {
        let catalog = self.catalog_mut();
        let mut stale = catalog.filtered_by(id);
        let mut affected_rules = catalog.affected_by(id);
        let removed = set_source_versions(catalog, id, versions);
        stale.append(&mut catalog.filtered_by(id));
        stale.remove(id);
        let stale: Vec<RuleId> = std::iter::once(id.clone()).chain(stale).collect();
        affected_rules.append(&mut rederive_versions(catalog, &stale, &mut diagnostics));
        let changes = rederive_plans(catalog, &affected_rules, Some(&removed), &mut diagnostics);
        let name = catalog.rules.get(id).and_then(RuleEntry::current);
        let name = name.and_then(|current| current.document.name.as_deref());
        affected_rules.extend(name.map(RuleId::from));
        self.end_what_ifs(&affected_rules);
        BookUpdate {
            diagnostics,
            changes,
            affected_rules,
        }
    }

    fn change_settings(&mut self, text: &str, since: EventTime) -> BookUpdate {
        let refuse = |message: String| {
            BookUpdate::refused(vec![
                Issue::new(message).into_diagnostic_at("settings", None, true),
            ])
        };
        let settings = match Settings::read(text) {
            Ok(settings) => settings,
            Err(reason) => return refuse(reason),
        };
        if *self.settings() == settings {
            return BookUpdate::default();
        }
        if self.inner.catalog.settings.changes() >= SETTINGS_CHANGES_MAX {
            return refuse(format!(
                "more than {SETTINGS_CHANGES_MAX} changes of settings"
            ));
        }
        let (sources, mut diagnostics) = LogSources::with(&settings.log_sources);
        let catalog = self.catalog_mut();
        catalog.settings.set(since, settings);
        let stale = catalog.with_placeholders();
        let affected_rules = rederive_versions(catalog, &stale, &mut diagnostics);
        let changes = rederive_plans(catalog, &affected_rules, None, &mut diagnostics);
        Arc::make_mut(&mut self.inner).sources = Some(Arc::new(sources));
        self.end_what_ifs(&affected_rules);
        BookUpdate {
            diagnostics,
            changes,
            affected_rules,
        }
    }

    /// Ends the what-ifs that depend on rules that have changed.
    fn end_what_ifs(&mut self, changed: &BTreeSet<RuleId>) {
        let depends = |what_if: &Arc<WhatIf>| what_if.depends_on_any(changed);
        if self.what_ifs().values().any(depends) {
            self.what_ifs_mut().retain(|_, what_if| !depends(what_if));
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

    /// A copy of the rules alone, to try changes on.
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

    /// The catalog, for a change; drops the index.
    fn catalog_mut(&mut self) -> &mut Catalog {
        let inner = Arc::make_mut(&mut self.inner);
        inner.index = OnceLock::new();
        &mut inner.catalog
    }
}

fn unknown(rule: &str) -> BookUpdate {
    let issue = Issue::new("there is no such rule");
    BookUpdate::refused(vec![issue.into_diagnostic_at(rule, None, true)])
}
