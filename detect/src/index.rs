//! What an event is held against: detections by log source, and the plans that read each.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{Event, EventTime, GroupKey, LogSource, PlanId, RuleId, TenantKey};

use crate::document::{Body, Detection, Shape};
use crate::group::{self, Grouped};
use crate::matcher::{View, accepts};
use crate::plans::{Catalog, LivePlan};

/// Buffers for what an event means to all plans; reused from event to event.
#[derive(Clone, Debug, Default)]
pub struct Detected {
    /// Rules (no correlations) whose detection matches, in order of id. Empty where only certain
    /// plans were asked for.
    pub matches: Vec<RuleId>,
    /// In order of plan and member; each once.
    pub facts: Vec<FactDraft>,
    /// Facts dropped since a field to group by is missing.
    pub ungrouped: u32,
    /// Facts of which groups beyond [`crate::GROUPS_MAX`] were left out.
    pub capped: u32,
    hits: Vec<(u32, u16)>,
}

impl Detected {
    pub fn clear(&mut self) {
        self.matches.clear();
        self.facts.clear();
        self.hits.clear();
        self.ungrouped = 0;
        self.capped = 0;
    }
}

/// A fact but for what the caller knows: tenant, time, event and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactDraft {
    pub plan: PlanId,
    pub group: GroupKey,
    pub member: u16,
}

/// Built from the catalog whenever that changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// In order of id.
    pub plans: Vec<Arc<LivePlan>>,
    routes: Vec<(LogSource, Vec<Watch>)>,
}

/// One detection and who reads it.
#[derive(Clone, Debug)]
struct Watch {
    rule: RuleId,
    detection: Arc<Detection>,
    /// When it is the rule's own, `[since, until)`.
    spans: Vec<(EventTime, EventTime)>,
    /// Place in `Index::plans`, and member.
    uses: Vec<(u32, u16)>,
}

impl Index {
    pub(crate) fn new(catalog: &Catalog) -> Self {
        let mut plans: Vec<Arc<LivePlan>> = catalog
            .rules
            .values()
            .flat_map(|entry| entry.plans.iter().cloned())
            .collect();
        plans.sort_by_key(|live| live.plan.id);
        let mut watches: BTreeMap<(RuleId, Shape), Watch> = BTreeMap::new();
        let mut watch = |rule: &RuleId, detection: &Arc<Detection>, add: &dyn Fn(&mut Watch)| {
            let key = (rule.clone(), detection.shape);
            add(watches.entry(key).or_insert_with(|| Watch {
                rule: rule.clone(),
                detection: detection.clone(),
                spans: Vec::new(),
                uses: Vec::new(),
            }));
        };
        for (rule, entry) in &catalog.rules {
            for version in &entry.versions {
                if let Body::Rule(detection, _) = &version.document.body {
                    let span = (version.since, version.until);
                    watch(rule, detection, &|watch| watch.spans.push(span));
                }
            }
        }
        for (at, live) in (0..).zip(&plans) {
            let counts = matches!(live.plan.kind, weir_schema::PlanKind::EventCount { .. });
            for (member, source) in (0..).zip(&live.sources) {
                // Which rule an event counts for does not matter, so that it counts once.
                let member = if counts { 0 } else { member };
                watch(&source.rule, &source.detection, &|watch| {
                    watch.uses.push((at, member));
                });
            }
        }
        let mut routes: BTreeMap<LogSource, Vec<Watch>> = BTreeMap::new();
        for watch in watches.into_values() {
            let route = routes.entry(watch.detection.logsource.clone()).or_default();
            route.push(watch);
        }
        Self {
            plans,
            routes: routes.into_iter().collect(),
        }
    }

    pub(crate) fn plan(&self, id: PlanId) -> Option<&LivePlan> {
        let at = self
            .plans
            .binary_search_by_key(&id, |live| live.plan.id)
            .ok()?;
        self.plans.get(at).map(|live| &**live)
    }

    fn runs(&self, place: u32, time: EventTime, only: Option<&[PlanId]>) -> bool {
        self.plans.get(place as usize).is_some_and(|live| {
            let plan = &live.plan;
            plan.since <= time && time < plan.until && only.is_none_or(|ids| ids.contains(&plan.id))
        })
    }

    pub(crate) fn detect(
        &self,
        event: &Event<'_>,
        tenant: TenantKey,
        only: Option<&[PlanId]>,
        out: &mut Detected,
    ) {
        out.clear();
        let time = event.time;
        for (logsource, watches) in &self.routes {
            if !accepts(logsource, &event.logsource) {
                continue;
            }
            for watch in watches {
                let own = only.is_none()
                    && watch
                        .spans
                        .iter()
                        .any(|(since, until)| *since <= time && time < *until);
                let used = || {
                    watch
                        .uses
                        .iter()
                        .any(|(plan, _)| self.runs(*plan, time, only))
                };
                if !(own || used()) || !watch.detection.matcher.matches(&View::new(event, None)) {
                    continue;
                }
                if own {
                    out.matches.push(watch.rule.clone());
                }
                let runs = |(plan, _): &&(u32, u16)| self.runs(*plan, time, only);
                out.hits.extend(watch.uses.iter().filter(runs));
            }
        }
        out.matches.sort_unstable();
        out.hits.sort_unstable();
        out.hits.dedup();
        let hits = std::mem::take(&mut out.hits);
        for (place, member) in &hits {
            if let Some(live) = self.plans.get(*place as usize) {
                draft(live, *member, event, tenant, out);
            }
        }
        out.hits = hits;
    }
}

fn draft(live: &LivePlan, member: u16, event: &Event<'_>, tenant: TenantKey, out: &mut Detected) {
    let plan = live.plan.id;
    let grouping = (live.plan.group_by.as_slice(), live.lenient);
    let facts = &mut out.facts;
    let grouped = group::each(grouping, event, tenant, |group, _| {
        facts.push(FactDraft {
            plan,
            group,
            member,
        });
    });
    match grouped {
        Grouped::Done => {}
        Grouped::Missing => out.ungrouped = out.ungrouped.saturating_add(1),
        Grouped::Capped => out.capped = out.capped.saturating_add(1),
    }
}
