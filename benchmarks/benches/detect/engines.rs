//! The two engines with one interface: load rules, decode events, count matches.

use anyhow::{Result, bail};
use rsigma_eval::{Engine, JsonEvent, LogSourceExtractor};
use serde_json::Value as Json;
use weir_detect::{Detections, Detector, RuleBook};
use weir_schema::{Control, Event, EventTime, Format, TenantKey};

use crate::corpus::{Corpus, REGISTRY_PARTS, context};
use crate::data::Rule;

const TENANT: TenantKey = TenantKey(1);

pub struct WeirEngine {
    book: RuleBook,
}

impl WeirEngine {
    pub fn load(rules: &[Rule]) -> Result<Self> {
        let mut book = RuleBook::new();
        for rule in rules {
            let applied = book.apply(&Control::RulePut {
                text: rule.text.clone(),
                origin: rule.id.clone(),
                since: EventTime::MIN,
            });
            if let Some(refusal) = applied.diagnostics.iter().find(|found| found.refused) {
                bail!("{refusal}");
            }
        }
        Ok(Self { book })
    }

    pub fn decode(corpus: &Corpus) -> Vec<Event<'_>> {
        let context = context(corpus.format);
        let events = corpus.events.iter();
        events
            .map(|event| weir_parse::decode(&event.weir, &context))
            .collect()
    }

    /// Makes a worker that has matched only the first events. It remembers the values that a stream
    /// would have shown it.
    pub fn warm(&self, events: &[Event<'_>]) -> Worker<'_> {
        let mut worker = Worker {
            book: &self.book,
            detector: Detector::new(),
            found: Detections::default(),
        };
        worker.matching(events);
        worker
    }

    /// Ids of the rules that match each event.
    pub fn names(&self, events: &[Event<'_>]) -> Vec<Vec<String>> {
        let (mut detector, mut found) = (Detector::new(), Detections::default());
        let mut names = |event| {
            detector.detect(&self.book, event, TENANT, None, &mut found);
            let names = found.matches.iter().map(|rule| rule.to_string());
            sorted(names.collect())
        };
        events.iter().map(&mut names).collect()
    }
}

pub struct Worker<'b> {
    book: &'b RuleBook,
    detector: Detector,
    found: Detections,
}

impl Worker<'_> {
    fn one(&mut self, event: &Event<'_>) -> usize {
        let found = &mut self.found;
        self.detector.detect(self.book, event, TENANT, None, found);
        found.matches.len()
    }

    /// Counts the matches of decoded events.
    pub fn matching(&mut self, events: &[Event<'_>]) -> usize {
        events.iter().map(|event| self.one(event)).sum()
    }

    /// Decodes an event and counts its matches.
    pub fn whole(&mut self, frame: &[u8], format: Format) -> usize {
        self.one(&weir_parse::decode(frame, &context(format)))
    }
}

pub struct RsigmaEngine {
    engine: Engine,
}

impl RsigmaEngine {
    /// Loads the rules with log-source routing and otherwise default options. On these rules its
    /// other filters cost more than they save.
    pub fn load(rules: &[Rule]) -> Result<Self> {
        let mut parsed = Vec::new();
        for rule in rules {
            let collection = rsigma_parser::parse_sigma_yaml(&rule.text)?;
            for rule in collection.rules {
                if rule.logsource.category.as_deref() == Some("registry_event") {
                    for part in REGISTRY_PARTS {
                        let mut part_rule = rule.clone();
                        part_rule.logsource.category = Some(part.to_owned());
                        parsed.push(part_rule);
                    }
                }
                parsed.push(rule);
            }
        }
        let mut engine = Engine::new();
        if let Some((at, error)) = engine.add_rules(&parsed).first() {
            bail!("rule {at}: {error}");
        }
        engine.set_logsource_extractor(Some(LogSourceExtractor::new()));
        Ok(Self { engine })
    }

    pub fn decode(corpus: &Corpus) -> Result<Vec<Json>> {
        let read = |event: &crate::corpus::Frames| serde_json::from_slice(&event.rsigma);
        Ok(corpus.events.iter().map(read).collect::<Result<_, _>>()?)
    }

    pub fn matching(&self, events: &[Json]) -> usize {
        let matches = |event| self.engine.evaluate(&JsonEvent::borrow(event)).len();
        events.iter().map(matches).sum()
    }

    /// Decodes an event and counts its matches.
    pub fn whole(&self, frame: &[u8]) -> usize {
        // An event that cannot be parsed matches nothing; the comparison of matches would show it.
        let event: Json = serde_json::from_slice(frame).unwrap_or_default();
        self.engine.evaluate(&JsonEvent::borrow(&event)).len()
    }

    pub fn names(&self, events: &[Json]) -> Vec<Vec<String>> {
        let names = |event| {
            let found = self.engine.evaluate(&JsonEvent::borrow(event));
            let names = found.into_iter().filter_map(|one| one.header.rule_id);
            sorted(names.collect())
        };
        events.iter().map(names).collect()
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}
