//! The detection engine: the results of [`crate::RuleBook::detect`], computed faster.
//!
//! ```text
//! event ─► layout ─► router: which log sources is it? ─► scope: the rules of these, compiled
//!                                                          each value ─► atoms that it passes
//!                                                          atoms ─► rules to evaluate ─► matches
//! ```
//!
//! An *atom* is a test that rules share: whether a value passes one of some tests. One pass over a
//! value finds all of its atoms, and a memo remembers them. A rule is evaluated only if an atom
//! passed without which it cannot match. The engine never changes what matches, only how fast it is
//! found; `tests/engine.rs` compares it with the plain loops.

mod hits;
mod memo;

mod lines;

mod needles;
mod prefilter;

mod field;

mod answers;

mod layout;

mod program;

mod scope;

mod router;

use std::collections::HashMap;
use std::sync::Arc;

use weir_schema::{Event, PlanId, RuleTimes, Stopwatch};

use crate::book::drafts::{Detections, FactDraft};
use crate::book::index::{DetectionIndex, DetectionMatch};
use crate::book::origin::EventOrigin;
use crate::book::rule_book::RuleBook;

use field::{FieldScratch, TestMeter};
use layout::{EventLayout, Layouts};
use program::Instance;
use router::{AdmittedReadings, RouteLookup, Router};
use scope::RuleScope;

/// Maximum size of all memos. Beyond it they are cleared.
const MEMO_BYTES_MAX: usize = 32 << 20;

/// Number of events between two checks of the size of the memos.
const MEMO_CHECK_EVENTS: u32 = 4_096;

/// Maximum number of routes. Beyond it all are cleared, so a sender of made-up log sources cannot
/// fill the memory.
const ROUTES_MAX: usize = 4_096;

/// Maximum number of compiled scopes. Beyond it all are cleared. Real logs have about a hundred.
const SCOPES_MAX: usize = 512;

/// Runs the rules of a rule book over events, for one worker. No state of it affects results.
#[derive(Debug, Default)]
pub struct Detector {
    index: Option<Arc<DetectionIndex>>,
    layouts: Layouts,
    router: Router,
    scopes: Vec<RuleScope>,
    /// For each scope: whether an event has needed it under the current rules.
    used: Vec<bool>,
    /// Index into `scopes`, by the keys of the instances.
    scope_index: HashMap<Vec<(usize, usize)>, usize>,
    routes: Vec<RouteRules>,
    scratch: FieldScratch,
    found: Vec<DetectionMatch>,
    events: u32,
}

/// Where the working time of rules is measured to.
#[derive(Debug)]
pub struct Measure<'m> {
    pub stopwatch: Stopwatch,
    pub times: &'m mut RuleTimes,
}

/// The rules for the events of one route.
#[derive(Debug)]
struct RouteRules {
    /// Index into the scopes.
    scope: usize,
    /// For each instance of the scope, its index into [`DetectionIndex::detections`].
    detections: Vec<u32>,
}

impl Detector {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Self::detect`]; adds the working time of the rules to `times`.
    ///
    /// The pass over values that all rules share belongs to no rule.
    pub fn detect_measured(
        &mut self,
        book: &RuleBook,
        event: &Event<'_>,
        origin: EventOrigin<'_>,
        only: Option<&[PlanId]>,
        out: &mut Detections,
        measure: Measure<'_>,
    ) {
        self.scratch.meter = Some(TestMeter::new(measure.stopwatch));
        self.detect(book, event, origin, only, out);
        let (Some(mut meter), Some(index)) = (self.scratch.meter.take(), &self.index) else {
            return; // Unreachable: both were just set.
        };
        for (detection, nanos) in meter.instances.drain(..) {
            if let Some(indexed) = index.detections.get(detection as usize) {
                measure.times.add(indexed.rule(), nanos);
            }
        }
        let members = |draft: &FactDraft| u64::from(draft.members.count());
        let all: u64 = out.facts.iter().map(members).sum();
        let nanos = meter.lap() / all.max(1);
        for draft in &out.facts {
            if let Some(live) = index.plan(draft.plan) {
                measure.times.add(&live.plan.rule, nanos * members(draft));
            }
        }
    }

    /// Finds matches and facts of the event. With `only`, finds facts of those plans alone.
    pub fn detect<'o>(
        &mut self,
        book: &RuleBook,
        event: &Event<'_>,
        origin: impl Into<EventOrigin<'o>>,
        only: Option<&[PlanId]>,
        out: &mut Detections,
    ) {
        out.clear();
        self.update_rules(book);
        let Some(index) = self.index.clone() else {
            return; // Unreachable: it has just been set.
        };
        self.limit_memos();
        let id = self.layouts.find_or_add(event);
        let layout = EventLayout {
            layouts: &self.layouts,
            id,
        };
        let route = match self.router.find(event, layout, &mut self.scratch) {
            RouteLookup::Known(route) => route,
            RouteLookup::New(admitted) => self.add_route(&index, &admitted),
        };
        let Some(route) = self.routes.get(route) else {
            return; // Unreachable: the router only has indexes of these routes.
        };
        let Some(scope) = self.scopes.get_mut(route.scope) else {
            return; // Unreachable: routes only have indexes of these scopes.
        };
        let found = &mut self.found;
        let mut matched = Vec::new();
        let layout = EventLayout {
            layouts: &self.layouts,
            id,
        };
        scope.run(event, layout, &mut self.scratch, |at| matched.push(at));
        for at in matched {
            let instance = scope.instances().get(at as usize);
            let detection = route.detections.get(at as usize);
            if let (Some(detection), Some(instance)) = (detection, instance) {
                found.push(DetectionMatch {
                    detection: *detection,
                    renames: instance.renames.clone(),
                });
            }
        }
        if let Some(meter) = &mut self.scratch.meter {
            // From instances of this scope to detections of the index.
            for (at, _) in &mut meter.instances {
                *at = route
                    .detections
                    .get(*at as usize)
                    .copied()
                    .unwrap_or(u32::MAX);
            }
        }
        if !found.is_empty() {
            index.collect_facts(found, event, origin.into(), only, out);
        }
    }

    /// Takes over the current rules. Scopes whose rules have not changed stay.
    fn update_rules(&mut self, book: &RuleBook) {
        let index = book.index();
        if self
            .index
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, index))
        {
            return;
        }
        self.router = Router::new(&index.routes);
        self.routes.clear();
        self.index = Some(index.clone());
        // Drop the scopes that no event needed under the previous rules: their rules may be gone.
        let used = std::mem::take(&mut self.used);
        let scopes = std::mem::take(&mut self.scopes).into_iter().zip(used);
        self.scopes = scopes
            .filter_map(|(scope, used)| used.then_some(scope))
            .collect();
        self.used = vec![false; self.scopes.len()];
        let keys = self.scopes.iter().map(RuleScope::key);
        self.scope_index = keys.zip(0..).collect();
    }

    /// Clears the memos of all scopes if they are too large.
    fn limit_memos(&mut self) {
        self.events += 1;
        if self.events < MEMO_CHECK_EVENTS {
            return;
        }
        self.events = 0;
        let bytes: usize = self.scopes.iter().map(RuleScope::memo_bytes).sum();
        if bytes > MEMO_BYTES_MAX {
            self.scopes.iter_mut().for_each(RuleScope::clear_memos);
        }
    }

    /// Adds a route with the rules of the admitted readings, and returns its index.
    fn add_route(&mut self, index: &DetectionIndex, admitted: &AdmittedReadings) -> usize {
        let mut instances = Vec::new();
        let mut detections = Vec::new();
        for id in &admitted.readings {
            let Some(route) = index.routes.get(id.route as usize) else {
                continue; // Unreachable: the router is built from these routes.
            };
            let reading = route.readings.get(id.reading as usize);
            let renames = reading.and_then(|reading| reading.renames());
            for &at in &route.detections {
                if let Some(indexed) = index.detections.get(at as usize) {
                    instances.push(Instance {
                        detection: indexed.detection.clone(),
                        renames: renames.cloned(),
                    });
                    detections.push(at);
                }
            }
        }
        let key: Vec<_> = instances.iter().map(Instance::key).collect();
        let scope = match self.scope_index.get(&key) {
            Some(scope) => *scope,
            None => self.add_scope(key, instances),
        };
        if let Some(used) = self.used.get_mut(scope) {
            *used = true;
        }
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
            self.router.clear_routes();
        }
        self.routes.push(RouteRules { scope, detections });
        let route = self.routes.len() - 1;
        self.router.insert(admitted, route);
        route
    }

    /// Compiles a scope of these rules, and returns its index.
    fn add_scope(&mut self, key: Vec<(usize, usize)>, instances: Vec<Instance>) -> usize {
        if self.scopes.len() >= SCOPES_MAX {
            self.scopes.clear();
            self.used.clear();
            self.scope_index.clear();
            self.routes.clear();
            self.router.clear_routes();
        }
        self.scopes.push(RuleScope::new(instances));
        self.used.push(true);
        self.scope_index.insert(key, self.scopes.len() - 1);
        self.scopes.len() - 1
    }
}
