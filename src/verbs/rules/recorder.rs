//! Records which rules match, raise alerts or only just stay silent while a story runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use weir_detect::{Detections, EventOrigin, Explanation, RuleBook};
use weir_operators::BatchContext;
use weir_schema::{
    ChangeKind, Control, Event, EventTime, GroupField, LogSource, RuleId, TimeBounds,
};
use weir_story::{EventDelivery, System, SystemOutput, batches};

/// The stories that prove each rule.
#[derive(Debug, Default)]
pub struct Proofs {
    /// Stories in which the rule matched an event.
    pub matched: BTreeMap<RuleId, BTreeSet<String>>,
    /// Stories in which the rule raised an alert.
    pub raised: BTreeMap<RuleId, BTreeSet<String>>,
    /// Stories in which the rule saw an event close to a match, and stayed silent.
    pub near_misses: BTreeMap<RuleId, BTreeSet<String>>,
}

impl Proofs {
    /// Adds the record of a story.
    pub fn add(&mut self, story: &str, record: &Mutex<StoryRecord>) {
        let record = record.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = record
            .counted
            .iter()
            .filter(|group| !record.raised.contains(*group));
        let silent = silent.chain(&record.retracted).map(|(rule, _)| rule);
        let raised = record.raised.iter().map(|(rule, _)| rule);
        let near = record.near_misses.iter().chain(silent);
        let add = |to: &mut BTreeMap<RuleId, BTreeSet<String>>, rule: &RuleId| {
            to.entry(rule.clone()).or_default().insert(story.to_owned());
        };
        record
            .matched
            .iter()
            .for_each(|rule| add(&mut self.matched, rule));
        raised.for_each(|rule| add(&mut self.raised, rule));
        near.for_each(|rule| add(&mut self.near_misses, rule));
    }
}

/// A rule and the values of one of its groups.
type RuleGroup = (RuleId, Vec<(String, String)>);

/// The record of one story, whose size bounds it.
#[derive(Debug, Default)]
pub struct StoryRecord {
    matched: BTreeSet<RuleId>,
    /// Rules that did not match an event of their log source although it has a field they read.
    near_misses: BTreeSet<RuleId>,
    /// Groups of correlations in which a member matched.
    counted: BTreeSet<RuleGroup>,
    raised: BTreeSet<RuleGroup>,
    /// Groups with a retracted alert.
    retracted: BTreeSet<RuleGroup>,
}

/// A system that records its rules while it runs a story.
pub struct StoryRecorder<S> {
    system: S,
    bounds: TimeBounds,
    book: RuleBook,
    /// A rule for each log source of the rules, which matches all of its events.
    probes: RuleBook,
    /// The probe of each log source.
    probed: BTreeMap<LogSource, RuleId>,
    record: Arc<Mutex<StoryRecord>>,
}

impl<S: System> StoryRecorder<S> {
    pub fn new(system: S) -> Self {
        Self {
            system,
            bounds: TimeBounds::default(),
            book: RuleBook::new(),
            probes: RuleBook::new(),
            probed: BTreeMap::new(),
            record: Arc::default(),
        }
    }

    /// The record, which is complete once the story has ended.
    pub fn record(&self) -> Arc<Mutex<StoryRecord>> {
        Arc::clone(&self.record)
    }

    fn record_event(&self, event: &Event<'_>, origin: EventOrigin<'_>, record: &mut StoryRecord) {
        let mut detected = Detections::default();
        self.book.detect(event, origin, None, &mut detected);
        for fact in &detected.facts {
            let Some(plan) = self.book.plan(fact.plan) else {
                continue;
            };
            let fields = self.book.group_fields(fact.plan, event, origin, fact.group);
            record
                .counted
                .insert(rule_group(&plan.rule, &fields.unwrap_or_default()));
        }
        let mut probed = Detections::default();
        self.probes.detect(event, origin, None, &mut probed);
        for rule in self.book.rules() {
            let source = rule.logsource.as_ref();
            let probe = source.and_then(|source| self.probed.get(source));
            let reads = probe.is_some_and(|probe| probed.matches.contains(probe));
            if reads && !detected.matches.contains(&rule.id) {
                let explained = self.book.explain(&rule.id, event);
                if explained.is_some_and(|explained| is_near_miss(&explained)) {
                    record.near_misses.insert(rule.id);
                }
            }
        }
        record.matched.extend(detected.matches);
    }

    /// Adds a probe for each new log source of the rules.
    fn add_probes(&mut self) {
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
            // JSON is YAML. A field that no event has is null in every event.
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

/// Whether the event has a field or a value that the rule reads.
fn is_near_miss(explained: &Explanation) -> bool {
    let own = explained.clauses.iter();
    let mut own = own.filter(|clause| clause.identifier != "logsource");
    own.any(|clause| clause.field.is_none() || clause.value.is_some() || clause.matched)
}

fn rule_group(rule: &RuleId, fields: &[GroupField]) -> RuleGroup {
    let pair = |field: &GroupField| (field.name.clone(), field.value.clone());
    (rule.clone(), fields.iter().map(pair).collect())
}

impl<S: System> System for StoryRecorder<S> {
    fn deliver(&mut self, events: &[EventDelivery]) {
        let record = Arc::clone(&self.record);
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in batches(events) {
            let reading = BatchContext::of(&batch, &self.bounds, None);
            for frame in &batch.frames {
                let event = weir_parse::decode(frame, &reading.context());
                let origin = EventOrigin {
                    tenant: batch.tenant_key(),
                    source: &batch.source,
                };
                self.record_event(&event, origin, &mut record);
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
        self.add_probes();
        self.system.control(controls);
    }

    fn settle(&mut self) -> SystemOutput {
        let settled = self.system.settle();
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        for change in settled.commits.iter().flat_map(|commit| &commit.changes) {
            let group = rule_group(&change.record.rule, &change.record.group);
            match change.kind {
                ChangeKind::Raised => record.raised.insert(group),
                ChangeKind::Retracted => record.retracted.insert(group),
                ChangeKind::Revised => false,
            };
        }
        drop(record);
        settled
    }

    fn restart(&mut self) {
        self.system.restart();
    }

    fn diagnostics(&mut self) -> Vec<String> {
        self.system.diagnostics()
    }

    fn query(&mut self, query: &str) -> Vec<String> {
        self.system.query(query)
    }

    fn explain_absence(&mut self, effect: &str) -> Option<String> {
        self.system.explain_absence(effect)
    }
}
