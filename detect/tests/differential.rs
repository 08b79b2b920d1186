//! Compares Weir with another engine, `rsigma-eval`, on random rules and events.
//!
//! The rules are made of parts of public rules. If the engines disagree, [`differences::TABLE`]
//! must explain the clause and the value by the specification. `WEIR_DIFFERENTIAL=N` tries N rules.

mod common;
#[path = "differential/differences.rs"]
mod differences;
#[path = "differential/random.rs"]
mod random;
#[path = "differential/reference.rs"]
mod reference;
#[path = "differential/values.rs"]
mod values;

use std::collections::BTreeMap;
use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rsigma_eval::{Engine, JsonEvent};
use serde_json::{Value as Json, json};
use weir_detect::{Detector, RuleBook};

use differences::{Difference, Leaf, REFUSALS, TABLE};
use random::{Item, Pool, Rule};

/// Default number of rules, and number of events for each.
const RULES: u64 = 4_000;
const EVENTS: usize = 16;

/// The seed of the first rule. The others have the seeds after it.
const SEED: u64 = 20_260_801;

/// The reason for which an engine refuses a rule.
type Refusal = String;

/// Weir, with one rule.
struct Weir {
    book: RuleBook,
    detector: Detector,
}

fn weir(rule: &Json) -> Result<Weir, Refusal> {
    let mut book = RuleBook::new();
    let update = common::add(&mut book, &rule.to_string(), i64::MIN);
    match update.diagnostics.iter().find(|found| found.refused) {
        Some(refusal) => Err(refusal.message.clone()),
        None => Ok(Weir {
            book,
            detector: Detector::new(),
        }),
    }
}

impl Weir {
    /// Also checks that the plain loops and the engine agree.
    fn matches(&mut self, event: &Json) -> bool {
        let event = common::event("-/test/-", event, 1);
        let plain = common::detect(&self.book, &event);
        let mut fast = weir_detect::Detections::default();
        self.detector
            .detect(&self.book, &event, common::TENANT, None, &mut fast);
        assert_eq!(plain.matches, fast.matches, "{event:?}");
        !plain.matches.is_empty()
    }
}

fn rsigma(rule: &Json) -> Result<Engine, Refusal> {
    let parsed = rsigma_parser::parse_sigma_yaml(&rule.to_string()).map_err(|e| e.to_string())?;
    if let Some(error) = parsed.errors.first() {
        return Err(error.to_string());
    }
    let mut engine = Engine::new();
    match engine.add_rules(&parsed.rules).first() {
        Some((_, error)) => Err(error.to_string()),
        None => Ok(engine),
    }
}

fn rsigma_matches(engine: &Engine, event: &Json) -> bool {
    !engine.evaluate(&JsonEvent::borrow(event)).is_empty()
}

/// The answers of both for a rule with this clause alone. `None` if one of them refuses it.
fn both(leaf: &Leaf) -> Option<(bool, bool)> {
    let item = Item {
        field: leaf.field.then(|| "f".to_owned()),
        modifiers: leaf.modifiers.clone(),
        values: leaf.values.clone(),
    };
    let rule = Rule::of(item).json();
    let (mut ours, theirs) = (weir(&rule).ok()?, rsigma(&rule).ok()?);
    Some((
        ours.matches(&leaf.event),
        rsigma_matches(&theirs, &leaf.event),
    ))
}

/// The clauses of a rule, each with the part of the event that it reads.
fn leaves(rule: &Rule, whole: &Json) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for item in rule.items() {
        let event = match &item.field {
            None => whole.clone(),
            Some(field) => {
                let value = whole.get(field);
                let mut event = value.map_or_else(|| json!({}), |value| json!({"f": value}));
                if item.modifiers.iter().any(|modifier| modifier == "fieldref") {
                    let others = item.values.iter().filter_map(Json::as_str);
                    for other in others {
                        if let Some(value) = whole.get(other).cloned() {
                            event[other] = value;
                        }
                    }
                }
                event
            }
        };
        // First each value alone, which is more specific, then all of them.
        let each = item.values.iter().map(std::slice::from_ref);
        for values in each.chain([item.values.as_slice()]) {
            leaves.push(Leaf {
                field: item.field.is_some(),
                modifiers: item.modifiers.clone(),
                values: values.to_vec(),
                event: event.clone(),
            });
        }
    }
    leaves
}

#[derive(Default)]
struct Tally {
    rules: u64,
    events: u64,
    matches: u64,
    /// Number of explained differences by kind.
    explained: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
}

impl Tally {
    fn add_refusals(&mut self, seed: u64, messages: &[Option<String>]) {
        for message in messages.iter().flatten() {
            match REFUSALS.iter().find(|kind| message.contains(kind.message)) {
                Some(kind) => *self.explained.entry(kind.name).or_default() += 1,
                None => self
                    .failures
                    .push(format!("seed {seed}: refused: {message}")),
            }
        }
    }

    fn add_disagreement(&mut self, seed: u64, rule: &Rule, event: &Json, ours: bool) {
        let mut kinds = Vec::new();
        for leaf in leaves(rule, event) {
            let Some((ours, theirs)) = both(&leaf) else {
                continue;
            };
            if ours != theirs {
                let unnegated = ours != leaf.is_negated();
                let fits = |kind: &&Difference| {
                    (kind.applies)(&leaf) && kind.ours.is_none_or(|ours| ours == unnegated)
                };
                let kind = TABLE.iter().find(fits);
                let wrong = reference::matches(&leaf).is_some_and(|expected| expected != ours);
                let kind = kind.filter(|_| !wrong);
                match kind {
                    Some(kind) => kinds.push(kind.name),
                    None => {
                        let message =
                            format!("seed {seed}: weir {ours}, rsigma {theirs}: {leaf:?}");
                        self.failures.push(message);
                        return;
                    }
                }
            }
        }
        if kinds.is_empty() {
            let rule = rule.json();
            let message = format!("seed {seed}: weir {ours}: {rule} on {event}");
            self.failures.push(message);
        }
        for kind in kinds {
            *self.explained.entry(kind).or_default() += 1;
        }
    }
}

fn run(pool: &Pool, rules: u64) -> Tally {
    let mut tally = Tally::default();
    for seed in SEED..SEED + rules {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let rule = Rule::random(&mut random, pool);
        let json = rule.json();
        let (mut ours, theirs) = match (weir(&json), rsigma(&json)) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (ours, theirs) => {
                tally.add_refusals(seed, &[ours.err(), theirs.err()]);
                continue;
            }
        };
        tally.rules += 1;
        for _ in 0..EVENTS {
            let event = rule.event(&mut random);
            let (a, b) = (ours.matches(&event), rsigma_matches(&theirs, &event));
            tally.events += 1;
            tally.matches += u64::from(a);
            if a != b {
                tally.add_disagreement(seed, &rule, &event, a);
            }
        }
    }
    tally
}

#[test]
fn engines_agree_or_the_difference_is_documented() {
    let test = "engines_agree_or_the_difference_is_documented";
    let pool = match common::data(test, "sigma/rules") {
        Some(folder) => Pool::from_folder(&folder),
        None => Pool::built_in(),
    };
    let rules = std::env::var("WEIR_DIFFERENTIAL").ok();
    let rules = rules.map_or(RULES, |text| text.parse().expect("a number of rules"));
    let tally = run(&pool, rules);
    eprintln!(
        "{} rules, {} events, {} matches; explained: {:#?}",
        tally.rules, tally.events, tally.matches, tally.explained
    );
    let (shown, all) = (tally.failures.iter().take(20), tally.failures.len());
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    assert!(all == 0, "{all} disagreements:\n{}", shown.join("\n"));
    // Rules that are refused or never match would test nothing.
    assert!(tally.rules * 2 > rules, "most rules are refused");
    assert!(tally.matches * 20 > tally.events, "too few events match");
}

#[test]
fn documented_differences_still_exist() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = page.join("../docs/decisions/012-differences-from-rsigma.md");
    let page = std::fs::read_to_string(page).unwrap();
    let check_page = |name: &str| {
        assert!(page.contains(&format!("| {name} |")), "no {name}");
    };
    REFUSALS.iter().for_each(|kind| check_page(kind.name));
    for kind in TABLE {
        check_page(kind.name);
        let leaf = (kind.example)();
        assert!((kind.applies)(&leaf), "{}: {leaf:?}", kind.name);
        let Some((ours, theirs)) = both(&leaf) else {
            panic!("{}: refused", kind.name);
        };
        assert_ne!(ours, theirs, "{}", kind.name);
        let expected = reference::matches(&leaf);
        assert!(expected.is_none_or(|it| it == ours), "{}", kind.name);
        let unnegated = ours != leaf.is_negated();
        assert!(
            kind.ours.is_none_or(|ours| ours == unnegated),
            "{}",
            kind.name
        );
    }
}
