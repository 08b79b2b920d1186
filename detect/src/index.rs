//! What an event is held against: detections by log source, and the plans that read each.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{
    Event, EventTime, FactValue, GroupKey, Link, LogSource, PlanId, RuleId, TenantKey,
};

use crate::chain;
use crate::document::{Body, Detection, Shape};
use crate::group::{self, Grouped};
use crate::live::{LivePlan, Source};
use crate::matcher::{Renames, View};
use crate::plans::Catalog;
use crate::sources::{LogSources, Reading};
use crate::values;

/// Buffers for what an event means to all plans; reused from event to event.
#[derive(Clone, Debug, Default)]
pub struct Detected {
    /// Rules (no correlations) whose detection matches, in order of id. Empty where only certain
    /// plans were asked for.
    pub matches: Vec<RuleId>,
    /// In order of plan and member; each once.
    pub facts: Vec<FactDraft>,
    /// Where the groups of these facts belong, for plans that others hear: the group of the plan
    /// that hears it, then where that one belongs, and so on.
    pub links: Vec<Vec<Link>>,
    /// Facts dropped since a field to group by is missing.
    pub ungrouped: u32,
    /// Facts of which groups beyond [`crate::GROUPS_MAX`] were left out.
    pub capped: u32,
    /// Facts dropped since the event has no value, or no number, that their plan could compute with.
    pub valueless: u32,
}

impl Detected {
    pub fn clear(&mut self) {
        self.matches.clear();
        self.facts.clear();
        self.links.clear();
        self.ungrouped = 0;
        self.capped = 0;
        self.valueless = 0;
    }
}

/// A fact but for what the caller knows: tenant, time, event and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactDraft {
    pub plan: PlanId,
    pub group: GroupKey,
    pub member: u16,
    pub value: FactValue,
}

/// Built from the catalog whenever that changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// In order of id.
    pub plans: Vec<Arc<LivePlan>>,
    pub routes: Vec<Route>,
    pub watches: Vec<Watch>,
}

/// The detections of one log source, and how an event is read for them.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub logsource: LogSource,
    pub readings: Vec<Reading>,
    /// Places in [`Index::watches`].
    pub watches: Vec<u32>,
}

/// One detection and who reads it.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    rule: RuleId,
    pub detection: Arc<Detection>,
    /// When it is the rule's own, `[since, until)`.
    spans: Vec<(EventTime, EventTime)>,
    uses: Vec<Use>,
}

/// Where a plan reads a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    /// Place in `Index::plans`.
    plan: u32,
    member: u16,
    /// Place in the plan's sources.
    source: u16,
}

/// A detection that matched: its place in [`Index::watches`], and the reading by which it did.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    pub watch: u32,
    pub renames: Option<Arc<Renames>>,
}

/// A plan whose member was met, and under which names of fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    found: Use,
    renames: Option<Arc<Renames>>,
}

impl Index {
    /// `shadows` are plans of what-ifs.
    pub(crate) fn new(
        catalog: &Catalog,
        shadows: Vec<Arc<LivePlan>>,
        sources: &LogSources,
    ) -> Self {
        let mut plans: Vec<Arc<LivePlan>> = catalog
            .rules
            .values()
            .flat_map(|entry| entry.plans.iter().cloned())
            .chain(shadows)
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
            for (place, source) in (0..).zip(&live.sources) {
                let found = Use {
                    plan: at,
                    member: source.member,
                    source: place,
                };
                watch(&source.rule, &source.detection, &|watch| {
                    watch.uses.push(found);
                });
            }
        }
        let watches: Vec<Watch> = watches.into_values().collect();
        let mut routes: BTreeMap<&LogSource, Vec<u32>> = BTreeMap::new();
        for (at, watch) in (0..).zip(&watches) {
            routes
                .entry(&watch.detection.logsource)
                .or_default()
                .push(at);
        }
        let routes = routes.into_iter().map(|(logsource, watches)| Route {
            logsource: logsource.clone(),
            readings: sources.readings(logsource),
            watches,
        });
        Self {
            plans,
            routes: routes.collect(),
            watches,
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

    /// What the event means, by plain loops: the meaning that the engine must keep.
    pub(crate) fn detect(
        &self,
        event: &Event<'_>,
        tenant: TenantKey,
        only: Option<&[PlanId]>,
        out: &mut Detected,
    ) {
        out.clear();
        let mut found: Vec<Match> = Vec::new();
        let plain = View::new(event, None);
        for route in &self.routes {
            let admitted = route.readings.iter();
            for reading in admitted.filter(|r| r.admits(&route.logsource, &plain)) {
                let renames = reading.renames();
                let view = View::new(event, renames.map(|renames| &**renames));
                for &watch in &route.watches {
                    let detection = self.watches.get(watch as usize).map(|w| &w.detection);
                    if detection.is_some_and(|detection| detection.matcher.matches(&view)) {
                        let renames = renames.cloned();
                        found.push(Match { watch, renames });
                    }
                }
            }
        }
        self.conclude(&mut found, event, (tenant, only), out);
    }

    /// From the detections that matched to matches and facts.
    pub(crate) fn conclude(
        &self,
        found: &mut Vec<Match>,
        event: &Event<'_>,
        (tenant, only): (TenantKey, Option<&[PlanId]>),
        out: &mut Detected,
    ) {
        let time = event.time;
        let mut hits: Vec<Hit> = Vec::new();
        for one in found.drain(..) {
            let Some(watch) = self.watches.get(one.watch as usize) else {
                continue; // Places are those of this index.
            };
            let sees = |(since, until): &(EventTime, EventTime)| *since <= time && time < *until;
            if only.is_none() && watch.spans.iter().any(sees) {
                out.matches.push(watch.rule.clone());
            }
            let runs = watch
                .uses
                .iter()
                .filter(|found| self.runs(found.plan, time, only));
            hits.extend(runs.map(|&found| Hit {
                found,
                renames: one.renames.clone(),
            }));
        }
        out.matches.sort_unstable();
        out.matches.dedup();
        // One fact of a member and group, though the event be read in two ways: of the first.
        hits.sort();
        hits.dedup_by_key(|hit| hit.found);
        for hit in &hits {
            if let Some(live) = self.plans.get(hit.found.plan as usize) {
                let view = View::new(event, hit.renames.as_deref());
                draft(live, hit.found, &view, tenant, out);
            }
        }
    }

    /// Every way in which a rule that the plan reads reads the event, with the event's own names.
    pub(crate) fn views<'e>(
        &'e self,
        live: &'e LivePlan,
        event: &'e Event<'e>,
    ) -> Vec<(View<'e>, &'e Source)> {
        let plain = View::new(event, None);
        let mut views = Vec::new();
        for source in live.sources.iter().chain(&live.beneath) {
            views.push((plain, source));
            let logsource = &source.detection.logsource;
            let route = self
                .routes
                .iter()
                .find(|route| route.logsource == *logsource);
            let readings = route.map_or(&[][..], |route| route.readings.as_slice());
            let admitted = readings.iter().filter(|r| r.admits(logsource, &plain));
            let renames = admitted.filter_map(Reading::renames);
            views.extend(renames.map(|renames| (View::new(event, Some(renames)), source)));
        }
        views
    }
}

fn draft(live: &LivePlan, found: Use, view: &View<'_>, tenant: TenantKey, out: &mut Detected) {
    let (plan, member) = (live.plan.id, found.member);
    let Some(source) = live.sources.get(usize::from(found.source)) else {
        return; // Places are those of this index.
    };
    let Some(value) = values::value(&live.plan.kind, &source.values, view) else {
        out.valueless = out.valueless.saturating_add(1);
        return;
    };
    let names = live.plan.group_by.as_slice();
    let grouping = (names, source.group_by.as_slice(), live.lenient);
    let facts = &mut out.facts;
    // Another source of the plan may have named the group already.
    let same = |fact: &&FactDraft| fact.plan == plan && fact.member == member;
    let others = facts.len() - facts.iter().rev().take_while(same).count();
    let links = &mut out.links;
    let grouped = group::each(grouping, view, tenant, |group, values| {
        if !facts[others..].iter().any(|fact| fact.group == group) {
            facts.push(FactDraft {
                plan,
                group,
                member,
                value,
            });
            if let Some(onward) = &live.onward {
                links.push(chain::links(live, onward, (tenant, group), values));
            }
        }
    });
    match grouped {
        Grouped::Done => {}
        Grouped::Missing => out.ungrouped = out.ungrouped.saturating_add(1),
        Grouped::Capped => out.capped = out.capped.saturating_add(1),
    }
}
