//! The index of detections: by log source, with the plans that read each.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{Event, EventTime, LogSource, PlanId, RuleId};

use crate::book::catalog::Catalog;
use crate::book::drafts::{Detections, FactCollector, MatchedMember};
use crate::book::live::{LivePlan, PlanSource};
use crate::book::origin::EventOrigin;
use crate::book::period::Period;
use crate::sigma::detection::{Detection, ShapeHash};
use crate::sigma::document::RuleBody;
use crate::sigma::log_sources::{LogSources, SourceReading};
use crate::sigma::view::{EventView, Renames};

/// An index of all detections, built again whenever the catalog changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct DetectionIndex {
    /// In order of id.
    pub plans: Vec<Arc<LivePlan>>,
    pub routes: Vec<Route>,
    /// In order of the ids of their rules.
    pub detections: Vec<IndexedDetection>,
}

/// The detections of one log source, and the ways in which they read an event.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub logsource: LogSource,
    pub readings: Vec<SourceReading>,
    /// Indexes into [`DetectionIndex::detections`].
    pub detections: Vec<u32>,
}

/// A detection, with the plans that read it.
#[derive(Clone, Debug)]
pub(crate) struct IndexedDetection {
    rule: RuleId,
    pub detection: Arc<Detection>,
    /// The periods in which its rule has this detection.
    periods: Vec<Period>,
    inputs: Vec<PlanInput>,
}

impl IndexedDetection {
    pub(crate) fn rule(&self) -> &RuleId {
        &self.rule
    }
}

/// The place where a plan reads a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PlanInput {
    /// Index into [`DetectionIndex::plans`].
    plan: u32,
    member: u16,
    /// Index into the plan's sources.
    source: u16,
}

/// A detection that matched, and the field names under which it did.
#[derive(Clone, Debug)]
pub(crate) struct DetectionMatch {
    /// Index into [`DetectionIndex::detections`].
    pub detection: u32,
    pub renames: Option<Arc<Renames>>,
}

/// A plan with a member that matched, and the field names under which it did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MemberHit {
    input: PlanInput,
    renames: Option<Arc<Renames>>,
}

impl DetectionIndex {
    /// Builds the index. `shadows` are plans of what-ifs.
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
        let detections = index_detections(catalog, &plans);
        let mut routes: BTreeMap<&LogSource, Vec<u32>> = BTreeMap::new();
        for (at, indexed) in (0..).zip(&detections) {
            routes
                .entry(&indexed.detection.logsource)
                .or_default()
                .push(at);
        }
        let routes = routes.into_iter().map(|(logsource, detections)| Route {
            logsource: logsource.clone(),
            readings: sources.readings(logsource),
            detections,
        });
        Self {
            plans,
            routes: routes.collect(),
            detections,
        }
    }

    pub(crate) fn plan(&self, id: PlanId) -> Option<&LivePlan> {
        let at = self
            .plans
            .binary_search_by_key(&id, |live| live.plan.id)
            .ok()?;
        self.plans.get(at).map(|live| &**live)
    }

    fn is_running(&self, plan: u32, time: EventTime, only: Option<&[PlanId]>) -> bool {
        self.plans.get(plan as usize).is_some_and(|live| {
            let plan = &live.plan;
            plan.since <= time && time < plan.until && only.is_none_or(|ids| ids.contains(&plan.id))
        })
    }

    /// Finds matches and facts by plain loops. This is the reference for the engine.
    pub(crate) fn detect(
        &self,
        event: &Event<'_>,
        origin: EventOrigin<'_>,
        only: Option<&[PlanId]>,
        out: &mut Detections,
    ) {
        out.clear();
        let mut found: Vec<DetectionMatch> = Vec::new();
        let plain = EventView::new(event, None);
        for route in &self.routes {
            let admitted = route.readings.iter();
            for reading in admitted.filter(|r| r.admits(&route.logsource, &plain)) {
                let renames = reading.renames();
                let view = EventView::new(event, renames.map(|renames| &**renames));
                for &at in &route.detections {
                    let detection = self.detections.get(at as usize).map(|d| &d.detection);
                    if detection.is_some_and(|detection| detection.matcher.matches(&view)) {
                        let renames = renames.cloned();
                        found.push(DetectionMatch {
                            detection: at,
                            renames,
                        });
                    }
                }
            }
        }
        self.collect_facts(&mut found, event, origin, only, out);
    }

    /// Turns the detections that matched into matches and facts.
    pub(crate) fn collect_facts(
        &self,
        found: &mut Vec<DetectionMatch>,
        event: &Event<'_>,
        origin: EventOrigin<'_>,
        only: Option<&[PlanId]>,
        out: &mut Detections,
    ) {
        let time = event.time;
        // Detections are in order of their rules' ids, and numbers are compared faster than ids.
        found.sort_unstable_by_key(|one| one.detection);
        let mut hits: Vec<MemberHit> = Vec::with_capacity(found.len());
        for one in found.drain(..) {
            let Some(indexed) = self.detections.get(one.detection as usize) else {
                continue; // Unreachable: matches refer to this index.
            };
            if only.is_none() && indexed.periods.iter().any(|p| p.contains(time)) {
                out.matches.push(indexed.rule.clone());
            }
            let running = indexed
                .inputs
                .iter()
                .filter(|input| self.is_running(input.plan, time, only));
            hits.extend(running.map(|&input| MemberHit {
                input,
                renames: one.renames.clone(),
            }));
        }
        out.matches.dedup();
        // An event that is read in two ways makes one fact for a member and group: that of the
        // first way.
        hits.sort();
        hits.dedup_by_key(|hit| hit.input);
        let mut facts = FactCollector::new(origin, out);
        for hit in &hits {
            let live = self.plans.get(hit.input.plan as usize);
            let source = live.and_then(|live| live.sources.get(usize::from(hit.input.source)));
            if let (Some(live), Some(source)) = (live, source) {
                let member = MatchedMember {
                    live,
                    source,
                    renames: hit.renames.as_ref(),
                };
                facts.add(member, &EventView::new(event, hit.renames.as_deref()));
            }
        }
    }

    /// All views of the event under which a source of the plan may read it.
    ///
    /// The view under the event's own names comes first for each source.
    pub(crate) fn views<'e>(
        &'e self,
        live: &'e LivePlan,
        event: &'e Event<'e>,
    ) -> Vec<(EventView<'e>, &'e PlanSource)> {
        let plain = EventView::new(event, None);
        let mut views = Vec::new();
        for source in live.sources.iter().chain(&live.upstream_sources) {
            views.push((plain, source));
            let logsource = &source.detection.logsource;
            let route = self
                .routes
                .iter()
                .find(|route| route.logsource == *logsource);
            let readings = route.map_or(&[][..], |route| route.readings.as_slice());
            let admitted = readings.iter().filter(|r| r.admits(logsource, &plain));
            let renames = admitted.filter_map(SourceReading::renames);
            views.extend(renames.map(|renames| (EventView::new(event, Some(renames)), source)));
        }
        views
    }
}

/// Collects the detections of all versions and plans, without duplicates.
fn index_detections(catalog: &Catalog, plans: &[Arc<LivePlan>]) -> Vec<IndexedDetection> {
    let mut detections: BTreeMap<(RuleId, ShapeHash), IndexedDetection> = BTreeMap::new();
    let mut update =
        |rule: &RuleId, detection: &Arc<Detection>, add: &dyn Fn(&mut IndexedDetection)| {
            let key = (rule.clone(), detection.shape);
            add(detections.entry(key).or_insert_with(|| IndexedDetection {
                rule: rule.clone(),
                detection: detection.clone(),
                periods: Vec::new(),
                inputs: Vec::new(),
            }));
        };
    for (rule, entry) in &catalog.rules {
        for version in &entry.active_versions {
            if let RuleBody::Rule(detection, _) = &version.document.body {
                let period = version.period();
                update(rule, detection, &|indexed| indexed.periods.push(period));
            }
        }
    }
    for (at, live) in (0..).zip(plans) {
        for (place, source) in (0..).zip(&live.sources) {
            let input = PlanInput {
                plan: at,
                member: source.member,
                source: place,
            };
            update(&source.rule, &source.detection, &|indexed| {
                indexed.inputs.push(input);
            });
        }
    }
    detections.into_values().collect()
}
