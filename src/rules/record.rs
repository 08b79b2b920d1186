//! Listens while a story is told: which rules match, which are raised, and which only just stay silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use weir_detect::{Detected, Explanation, RuleBook};
use weir_operators::Reading;
use weir_schema::{
    ChangeKind, Control, Event, EventTime, GroupField, LogSource, RuleId, TenantKey, TimeBounds,
};
use weir_story::{Delivery, Settled, System, batches};

/// Which stories prove what, by rule.
#[derive(Debug, Default)]
pub struct Proofs {
    /// It matched an event.
    pub matched: BTreeMap<RuleId, BTreeSet<String>>,
    /// It raised an alert.
    pub raised: BTreeMap<RuleId, BTreeSet<String>>,
    /// It met what is like what it is for, and was silent.
    pub near_misses: BTreeMap<RuleId, BTreeSet<String>>,
}

impl Proofs {
    /// Adds what was seen in a story.
    pub fn add(&mut self, story: &str, seen: &Mutex<Seen>) {
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = seen
            .asked
            .iter()
            .filter(|asked| !seen.raised.contains(*asked));
        let silent = silent.chain(&seen.withdrawn).map(|(rule, _)| rule);
        let raised = seen.raised.iter().map(|(rule, _)| rule);
        let near = seen.near.iter().chain(silent);
        let add = |to: &mut BTreeMap<RuleId, BTreeSet<String>>, rule: &RuleId| {
            to.entry(rule.clone()).or_default().insert(story.to_owned());
        };
        seen.matched
            .iter()
            .for_each(|rule| add(&mut self.matched, rule));
        raised.for_each(|rule| add(&mut self.raised, rule));
        near.for_each(|rule| add(&mut self.near_misses, rule));
    }
}

type Group = (RuleId, Vec<(String, String)>);

/// What was seen in one story, which bounds it.
#[derive(Debug, Default)]
pub struct Seen {
    matched: BTreeSet<RuleId>,
    /// Rules that were silent on an event of their log source that has a field they ask for.
    near: BTreeSet<RuleId>,
    /// Groups of correlations in which one of their rules matched.
    asked: BTreeSet<Group>,
    raised: BTreeSet<Group>,
    /// Groups of which an alert was taken back.
    withdrawn: BTreeSet<Group>,
}

/// A system that is told a story, and somebody who looks over its shoulder.
pub struct Recorder<S> {
    system: S,
    bounds: TimeBounds,
    book: RuleBook,
    /// For each log source of the rules, one that matches all of its events: its own place.
    probes: RuleBook,
    probed: BTreeMap<LogSource, RuleId>,
    seen: Arc<Mutex<Seen>>,
}

impl<S: System> Recorder<S> {
    pub fn new(system: S) -> Self {
        Self {
            system,
            bounds: TimeBounds::default(),
            book: RuleBook::new(),
            probes: RuleBook::new(),
            probed: BTreeMap::new(),
            seen: Arc::default(),
        }
    }

    /// What will have been seen.
    pub fn seen(&self) -> Arc<Mutex<Seen>> {
        Arc::clone(&self.seen)
    }

    fn event(&self, event: &Event<'_>, tenant: TenantKey, seen: &mut Seen) {
        let mut detected = Detected::default();
        self.book.detect(event, tenant, None, &mut detected);
        for fact in &detected.facts {
            let Some(plan) = self.book.plan(fact.plan) else {
                continue;
            };
            let fields = self.book.group_fields(fact.plan, event, tenant, fact.group);
            seen.asked
                .insert(group(&plan.rule, &fields.unwrap_or_default()));
        }
        let mut probed = Detected::default();
        self.probes.detect(event, tenant, None, &mut probed);
        for rule in self.book.rules() {
            let source = rule.logsource.as_ref();
            let probe = source.and_then(|source| self.probed.get(source));
            let looks = probe.is_some_and(|probe| probed.matches.contains(probe));
            if looks && !detected.matches.contains(&rule.id) {
                let explained = self.book.explain(&rule.id, event);
                if explained.is_some_and(|explained| is_near(&explained)) {
                    seen.near.insert(rule.id);
                }
            }
        }
        seen.matched.extend(detected.matches);
    }

    /// Keeps a probe for the log source of each rule.
    fn probe(&mut self) {
        for source in self
            .book
            .rules()
            .into_iter()
            .filter_map(|rule| rule.logsource)
        {
            let probe = format!("probe {}", self.probed.len());
            if self.probed.contains_key(&source) {
                continue;
            }
            let words = [
                ("category", &source.category),
                ("product", &source.product),
                ("service", &source.service),
            ];
            let words: serde_json::Map<_, _> = words
                .into_iter()
                .filter_map(|(key, word)| Some((key.to_owned(), word.clone()?.into())))
                .collect();
            // JSON is YAML; a field that no event has is null in all of them.
            let text = json!({
                "title": &probe,
                "id": &probe,
                "logsource": words,
                "detection": { "every": { "no such field": null }, "condition": "every" },
            });
            self.probes.apply(&Control::RulePut {
                text: text.to_string(),
                origin: String::new(),
                since: EventTime::MIN,
            });
            self.probed.insert(source, probe.as_str().into());
        }
    }
}

/// Whether the event has something that the rule asks for.
fn is_near(explained: &Explanation) -> bool {
    let own = explained.clauses.iter();
    let mut own = own.filter(|clause| clause.identifier != "logsource");
    own.any(|clause| clause.field.is_none() || clause.value.is_some() || clause.matched)
}

fn group(rule: &RuleId, fields: &[GroupField]) -> Group {
    let pair = |field: &GroupField| (field.name.clone(), field.value.clone());
    (rule.clone(), fields.iter().map(pair).collect())
}

impl<S: System> System for Recorder<S> {
    fn deliver(&mut self, events: &[Delivery]) {
        let seen = Arc::clone(&self.seen);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in batches(events) {
            let reading = Reading::of(&batch, &self.bounds, None);
            for frame in &batch.frames {
                let event = weir_parse::decode(frame, &reading.context());
                self.event(&event, batch.tenant_key(), &mut seen);
            }
        }
        self.system.deliver(events);
    }

    fn control(&mut self, controls: Vec<Control>) {
        for control in &controls {
            if let Control::Start { bounds, .. } = control {
                self.bounds = *bounds;
            }
            self.book.apply(control);
            if let Control::Settings { .. } = control {
                self.probes.apply(control);
            }
        }
        self.probe();
        self.system.control(controls);
    }

    fn settle(&mut self) -> Settled {
        let settled = self.system.settle();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for change in settled.commits.iter().flat_map(|commit| &commit.changes) {
            let group = group(&change.record.rule, &change.record.group);
            match change.kind {
                ChangeKind::Raised => seen.raised.insert(group),
                ChangeKind::Retracted => seen.withdrawn.insert(group),
                ChangeKind::Revised => false,
            };
        }
        drop(seen);
        settled
    }

    fn restart(&mut self) {
        self.system.restart();
    }

    fn diagnostics(&mut self) -> Vec<String> {
        self.system.diagnostics()
    }

    fn ask(&mut self, query: &str) -> Vec<String> {
        self.system.ask(query)
    }

    fn why_not(&mut self, effect: &str) -> Option<String> {
        self.system.why_not(effect)
    }
}
