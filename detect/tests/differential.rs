//! Another engine's opinion: random rules, made of the parts of the public ones, on random events,
//! by Weir and by `rsigma-eval`.
//!
//! Where the two disagree, the clause and value on which they do must be of a kind that
//! [`differences::TABLE`] explains by the specification. `WEIR_DIFFERENTIAL=N` tries so many rules.

mod common;
#[path = "differential/differences.rs"]
mod differences;
#[path = "differential/plain.rs"]
mod plain;
#[path = "differential/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rsigma_eval::{Engine, JsonEvent};
use serde_json::{Value as Json, json};
use weir_detect::{Detector, RuleBook};

use differences::{Difference, Leaf, REFUSALS, TABLE};
use random::{Item, Pool, Rule};

/// Rules of a run of the test command, and events of each.
const RULES: u64 = 4_000;
const EVENTS: usize = 16;

/// Seeds of the rules are this one and those after it.
const SEED: u64 = 20_260_801;

/// Why an engine does not take a rule.
type Refusal = String;

struct Ours {
    book: RuleBook,
    detector: Detector,
}

fn ours(rule: &Json) -> Result<Ours, Refusal> {
    let mut book = RuleBook::new();
    let applied = common::put(&mut book, &rule.to_string(), i64::MIN);
    match applied.diagnostics.iter().find(|found| found.refused) {
        Some(refusal) => Err(refusal.message.clone()),
        None => Ok(Ours {
            book,
            detector: Detector::new(),
        }),
    }
}

impl Ours {
    /// Plain loops and the fast way must agree first.
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

fn theirs(rule: &Json) -> Result<Engine, Refusal> {
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

fn their_match(engine: &Engine, event: &Json) -> bool {
    !engine.evaluate(&JsonEvent::borrow(event)).is_empty()
}

/// What both say of one clause, in a rule of its own; nothing where one does not take it.
fn both(leaf: &Leaf) -> Option<(bool, bool)> {
    let item = Item {
        field: leaf.field.then(|| "f".to_owned()),
        modifiers: leaf.modifiers.clone(),
        values: leaf.values.clone(),
    };
    let rule = Rule::of(item).json();
    let (mut ours, theirs) = (ours(&rule).ok()?, theirs(&rule).ok()?);
    Some((ours.matches(&leaf.event), their_match(&theirs, &leaf.event)))
}

/// The clauses of a rule with the part of the event that each reads.
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
        // One value at a time first, which tells more; then all of them.
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
    /// By kind of difference.
    explained: BTreeMap<&'static str, u64>,
    faults: Vec<String>,
}

impl Tally {
    fn refusal(&mut self, seed: u64, told: &[Option<String>]) {
        for told in told.iter().flatten() {
            match REFUSALS.iter().find(|kind| told.contains(kind.told)) {
                Some(kind) => *self.explained.entry(kind.name).or_default() += 1,
                None => self.faults.push(format!("seed {seed}: refused: {told}")),
            }
        }
    }

    fn disagreement(&mut self, seed: u64, rule: &Rule, event: &Json, ours: bool) {
        let mut kinds = Vec::new();
        for leaf in leaves(rule, event) {
            let Some((ours, theirs)) = both(&leaf) else {
                continue;
            };
            if ours != theirs {
                let said = ours != leaf.is_negated();
                let fits = |kind: &&Difference| {
                    (kind.applies)(&leaf) && kind.ours.is_none_or(|ours| ours == said)
                };
                let kind = TABLE.iter().find(fits);
                let wrong = plain::says(&leaf).is_some_and(|said| said != ours);
                let kind = kind.filter(|_| !wrong);
                match kind {
                    Some(kind) => kinds.push(kind.name),
                    None => {
                        let told = format!("seed {seed}: weir {ours}, rsigma {theirs}: {leaf:?}");
                        self.faults.push(told);
                        return;
                    }
                }
            }
        }
        if kinds.is_empty() {
            let rule = rule.json();
            let told = format!("seed {seed}: weir says {ours}: {rule} on {event}");
            self.faults.push(told);
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
        let (mut ours, theirs) = match (ours(&json), theirs(&json)) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (ours, theirs) => {
                tally.refusal(seed, &[ours.err(), theirs.err()]);
                continue;
            }
        };
        tally.rules += 1;
        for _ in 0..EVENTS {
            let event = rule.event(&mut random);
            let (a, b) = (ours.matches(&event), their_match(&theirs, &event));
            tally.events += 1;
            tally.matches += u64::from(a);
            if a != b {
                tally.disagreement(seed, &rule, &event, a);
            }
        }
    }
    tally
}

#[test]
fn both_engines_agree_or_the_specification_says_why_not() {
    let test = "both_engines_agree_or_the_specification_says_why_not";
    let pool = match common::data(test, "sigma/rules") {
        Some(folder) => Pool::of_folder(&folder),
        None => Pool::own(),
    };
    let rules = std::env::var("WEIR_DIFFERENTIAL").ok();
    let rules = rules.map_or(RULES, |text| text.parse().expect("a number of rules"));
    let tally = run(&pool, rules);
    eprintln!(
        "{} rules, {} events, {} matches; explained: {:#?}",
        tally.rules, tally.events, tally.matches, tally.explained
    );
    let (shown, all) = (tally.faults.iter().take(20), tally.faults.len());
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    assert!(all == 0, "{all} disagreements:\n{}", shown.join("\n"));
    // Rules that never match, or that neither takes, would show nothing.
    assert!(tally.rules * 2 > rules, "most rules are refused");
    assert!(tally.matches * 20 > tally.events, "hardly anything matches");
}

#[test]
fn the_differences_are_as_the_table_tells() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = page.join("../docs/decisions/012-differences-from-rsigma.md");
    let page = std::fs::read_to_string(page).unwrap();
    let told = |name: &str| assert!(page.contains(&format!("| {name} |")), "no {name}");
    REFUSALS.iter().for_each(|kind| told(kind.name));
    for kind in TABLE {
        told(kind.name);
        let leaf = (kind.example)();
        assert!((kind.applies)(&leaf), "{}: {leaf:?}", kind.name);
        let Some((ours, theirs)) = both(&leaf) else {
            panic!("{}: refused", kind.name);
        };
        assert_ne!(ours, theirs, "{}", kind.name);
        let said = plain::says(&leaf);
        assert!(said.is_none_or(|said| said == ours), "{}", kind.name);
        let said = ours != leaf.is_negated();
        assert!(kind.ours.is_none_or(|ours| ours == said), "{}", kind.name);
    }
}
