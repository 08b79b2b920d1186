//! Detection at speed: what [`crate::RuleBook::detect`] says by plain loops, with memory of what
//! values have shown before.
//!
//! ```text
//! event ─► layout ─► routes: which log sources is it? ─► scope: the rules of these, compiled
//!                                                          each value ─► atoms that it answers
//!                                                          atoms ─► rules worth evaluating ─► matches
//! ```
//!
//! An *atom* is a question that rules share: whether a value passes one of some tests. A value's
//! verdict (its atoms) is found in one pass, and remembered. A rule is evaluated only when an atom
//! was answered without which it cannot match. Nothing here bears on what matches, only on how
//! fast that is known; `tests/engine.rs` holds it against the plain loops.

mod field;
mod layout;
mod lines;
mod memo;
mod needles;
mod program;
mod router;
mod scope;
mod sieve;

use std::collections::HashMap;
use std::sync::Arc;

use weir_schema::{Event, PlanId, TenantKey};

use crate::book::RuleBook;
use crate::index::{Detected, Index, Match};

use field::Scratch;
use layout::Layouts;
use program::Instance;
use router::Router;
use scope::Scope;

/// What all memos may take together; when they take more they begin anew.
const MEMO_BYTES_MAX: usize = 32 << 20;

/// Events between two looks at what the memos take.
const MEMO_CHECK_EVENTS: u32 = 4_096;

/// More routes are found anew: whoever makes up log sources should not fill memory.
const ROUTES_MAX: usize = 4_096;

/// More scopes are compiled anew when they are needed again. Real logs have about a hundred.
const SCOPES_MAX: usize = 512;

/// A worker's way to run a rule book over events. It holds no state that bears on results.
#[derive(Debug, Default)]
pub struct Detector {
    index: Option<Arc<Index>>,
    layouts: Layouts,
    router: Router,
    scopes: Vec<Scope>,
    /// By scope: whether an event of the current rules needed it.
    used: Vec<bool>,
    /// Scopes by the keys of their instances.
    known: HashMap<Vec<(usize, usize)>, usize>,
    /// By route: the scope, and the watch of each of its instances.
    routes: Vec<(usize, Vec<u32>)>,
    scratch: Scratch,
    found: Vec<Match>,
    events: u32,
}

impl Detector {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Matches and facts of the event; with `only`, facts of those plans alone, and no matches.
    pub fn detect(
        &mut self,
        book: &RuleBook,
        event: &Event<'_>,
        tenant: TenantKey,
        only: Option<&[PlanId]>,
        out: &mut Detected,
    ) {
        out.clear();
        self.follow(book);
        let Some(index) = self.index.clone() else {
            return; // It was just set.
        };
        self.bound();
        let layout = self.layouts.of(event);
        let place = match self
            .router
            .find(event, (&self.layouts, layout), &mut self.scratch)
        {
            Ok(place) => place,
            Err(admitted) => self.route(&index, &admitted),
        };
        let Some((scope, watches)) = self.routes.get(place) else {
            return; // Places are those of this table.
        };
        let Some(scope) = self.scopes.get_mut(*scope) else {
            return; // As above.
        };
        let found = &mut self.found;
        let mut matched = Vec::new();
        scope.run(event, (&self.layouts, layout), &mut self.scratch, |at| {
            matched.push(at)
        });
        for at in matched {
            let instance = scope.instances().get(at as usize);
            if let (Some(watch), Some(instance)) = (watches.get(at as usize), instance) {
                let renames = instance.renames.clone();
                let watch = *watch;
                found.push(Match { watch, renames });
            }
        }
        if !found.is_empty() {
            index.conclude(found, event, (tenant, only), out);
        }
    }

    /// Takes the rules as they are now; scopes whose rules have not changed stay.
    fn follow(&mut self, book: &RuleBook) {
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
        // What neither the rules before nor these have needed since is of rules that are gone.
        let used = std::mem::take(&mut self.used);
        let scopes = std::mem::take(&mut self.scopes).into_iter().zip(used);
        self.scopes = scopes
            .filter_map(|(scope, used)| used.then_some(scope))
            .collect();
        self.used = vec![false; self.scopes.len()];
        let keys = self.scopes.iter().map(Scope::key);
        self.known = keys.zip(0..).collect();
    }

    fn bound(&mut self) {
        self.events += 1;
        if self.events < MEMO_CHECK_EVENTS {
            return;
        }
        self.events = 0;
        let bytes: usize = self.scopes.iter().map(Scope::memo_bytes).sum();
        if bytes > MEMO_BYTES_MAX {
            self.scopes.iter_mut().for_each(Scope::forget);
        }
    }

    /// Makes the entry of a route that is new: the rules of the readings that it admits.
    fn route(&mut self, index: &Index, admitted: &router::Admitted) -> usize {
        let mut instances = Vec::new();
        let mut watches = Vec::new();
        for (route, reading) in &admitted.readings {
            let Some(route) = index.routes.get(*route as usize) else {
                continue; // The router was made of these routes.
            };
            let reading = route.readings.get(*reading as usize);
            let renames = reading.and_then(|reading| reading.renames());
            for &watch in &route.watches {
                if let Some(found) = index.watches.get(watch as usize) {
                    instances.push(Instance {
                        detection: found.detection.clone(),
                        renames: renames.cloned(),
                    });
                    watches.push(watch);
                }
            }
        }
        let key: Vec<_> = instances.iter().map(Instance::key).collect();
        let scope = match self.known.get(&key) {
            Some(scope) => *scope,
            None => self.scope(key, instances),
        };
        if let Some(used) = self.used.get_mut(scope) {
            *used = true;
        }
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
            self.router.forget();
        }
        self.routes.push((scope, watches));
        let place = self.routes.len() - 1;
        self.router.keep(admitted, place);
        place
    }

    fn scope(&mut self, key: Vec<(usize, usize)>, instances: Vec<Instance>) -> usize {
        if self.scopes.len() >= SCOPES_MAX {
            self.scopes.clear();
            self.used.clear();
            self.known.clear();
            self.routes.clear();
            self.router.forget();
        }
        self.scopes.push(Scope::new(instances));
        self.used.push(true);
        self.known.insert(key, self.scopes.len() - 1);
        self.scopes.len() - 1
    }
}
