//! `weir replay --final` prints the same bytes for any order of lines, epoch size and number of workers,
//! and they equal the result of plain loops over all events.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use support::command::{finish, weir};
use weir_detect::{Detections, RuleBook};
use weir_operators::BatchContext;
use weir_operators::reference::{PlanStep, Reference, ReferenceClock};
use weir_scenario::order::{Arrival, OrderExperiment, RULES};
use weir_schema::{
    Batch, BatchSeq, Control, EventId, EventTime, Fact, Format, Frames, GroupKey, Position,
    ReceiveTime, Span, TimeBounds, Transport,
};

const SEED: u64 = 9;
const START: EventTime = EventTime(1_772_438_400_000_000_000);
const RECEIVED: &str = "2026-03-03T08:00:00Z";
const LOGSOURCE: &str = "product=order";

/// Lines that belong to no group, so that not every event matters.
const LINES_MIN: usize = 12_000;

/// A folder with the rules and inputs of a replay.
struct Inputs {
    folder: tempfile::TempDir,
    rules: PathBuf,
}

impl Inputs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = folder.path().join("order.yml");
        std::fs::write(&rules, RULES).unwrap();
        Self { folder, rules }
    }

    fn write(&self, name: &str, lines: &[&str]) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        file
    }

    fn replay(&self, file: &Path, flags: &[&str]) -> String {
        let mut replay = weir(["replay", "--final", "--received", RECEIVED]);
        replay.args(["--logsource", LOGSOURCE, "--time-field", "time", "--rules"]);
        let replay = finish(replay.arg(&self.rules).args(flags).arg(file));
        replay.assert_success();
        replay.out
    }
}

#[test]
fn standing_alerts_do_not_depend_on_order_epochs_or_workers() {
    let order = OrderExperiment::new(SEED, START, LINES_MIN);
    let groups = weir_scenario::order::COUNT_GROUPS + weir_scenario::order::TEMPORAL_GROUPS;
    assert!(groups >= 1_000 && order.standing.len() >= 100);
    let inputs = Inputs::new();
    let expected = by_plain_loops(&order.lines_in(Arrival::InOrder));
    assert_eq!(without_keys(&expected), planned(&order), "seed {SEED}");
    let skewed = Arrival::Skewed(Span::seconds(300));
    for (name, arrival) in [
        ("in_order.jsonl", Arrival::InOrder),
        ("shuffled.jsonl", Arrival::Shuffled),
        ("skewed.jsonl", skewed),
    ] {
        let file = inputs.write(name, &order.lines_in(arrival));
        for epoch_events in ["1", "97", "10000"] {
            for workers in ["1", "4"] {
                let flags = ["--epoch-events", epoch_events, "--workers", workers];
                let printed = inputs.replay(&file, &flags);
                assert_same(
                    &printed,
                    &expected,
                    &format!("seed {SEED}, {name}, {flags:?}"),
                );
            }
        }
    }
    // No event is behind this horizon, so forgotten state must not matter.
    let file = inputs.write("skewed.jsonl", &order.lines_in(skewed));
    for workers in ["1", "4"] {
        let flags = [
            "--horizon",
            "1h",
            "--epoch-events",
            "97",
            "--workers",
            workers,
        ];
        assert_same(
            &inputs.replay(&file, &flags),
            &expected,
            &format!("seed {SEED}, {flags:?}"),
        );
    }
}

/// Fails with the first line that differs.
fn assert_same(printed: &str, expected: &str, run: &str) {
    if printed != expected {
        let differ = printed.lines().zip(expected.lines()).find(|(a, b)| a != b);
        let (printed, expected) = (printed.lines().count(), expected.lines().count());
        panic!("{run}: {printed} alerts, {expected} expected; first difference: {differ:#?}");
    }
}

/// The alerts that the generator expects. It does not know their keys.
fn planned(order: &OrderExperiment) -> Vec<Value> {
    order.standing.iter().map(|row| row.to_json()).collect()
}

fn without_keys(lines: &str) -> Vec<Value> {
    let read = |line: &str| {
        let mut row: Map<String, Value> = serde_json::from_str(line).unwrap();
        row.remove("key").expect("a key");
        Value::Object(row)
    };
    lines.lines().map(read).collect()
}

/// Facts of single lines, with what a row of the output needs of them.
struct Facts {
    facts: Vec<Fact>,
    group_fields: BTreeMap<GroupKey, Map<String, Value>>,
    greatest_time: EventTime,
}

/// The batch in which the lines would arrive.
fn batch() -> Batch {
    let received = chrono::DateTime::parse_from_rfc3339(RECEIVED).unwrap();
    Batch {
        tenant: "default".to_owned(),
        source: "in order".to_owned(),
        transport: Transport::File,
        format: Format::Auto,
        peer: None,
        zone: None,
        logsource: Some(LOGSOURCE.to_owned()),
        received: ReceiveTime(received.timestamp_nanos_opt().unwrap()),
        delivery: None,
        frames: Frames::new(),
    }
}

/// Decodes each line and matches it against the rules, independently of all others.
fn facts(book: &RuleBook, lines: &[&str]) -> Facts {
    let batch = batch();
    let (tenant, source) = (batch.tenant_key(), batch.source_key());
    let reading = BatchContext::of(&batch, &TimeBounds::default(), Some("time"));
    let mut found = Facts {
        facts: Vec::new(),
        group_fields: BTreeMap::new(),
        greatest_time: EventTime::MIN,
    };
    for (seq, line) in (0..).zip(lines) {
        let event = weir_parse::decode(line.as_bytes(), &reading.context());
        assert!(event.problems.is_empty(), "{line}: {:?}", event.problems);
        found.greatest_time = found.greatest_time.max(event.time);
        let mut detected = Detections::default();
        book.detect(&event, tenant, None, &mut detected);
        for draft in &detected.facts {
            let fields = book.group_fields(draft.plan, &event, tenant, draft.group);
            let fields = fields.expect("the group of its own event");
            found.group_fields.entry(draft.group).or_insert_with(|| {
                let pairs = fields.into_iter();
                pairs
                    .map(|field| (field.name, field.value.into()))
                    .collect()
            });
            found.facts.push(Fact {
                plan: draft.plan,
                tenant,
                group: draft.group,
                time: event.time,
                event: EventId::for_frame(source, event.time, line.as_bytes()),
                position: Position::new(BatchSeq(seq), 0),
                members: draft.members,
                value: draft.value,
                weight: event.weight,
                received: ReceiveTime(event.time.0),
                time_mark: None,
            });
        }
    }
    found
}

/// The expected output: the reference's alerts over the facts of single lines.
fn by_plain_loops(lines: &[&str]) -> String {
    let (book, plans) = rules();
    let Facts {
        facts,
        group_fields,
        greatest_time,
    } = facts(&book, lines);
    let mut reference = Reference::default();
    let clock = ReferenceClock {
        tenant: batch().tenant_key(),
        watermark: greatest_time,
        settled: EventTime::MIN,
    };
    reference.epoch(&plans, &facts, &[clock]);
    let mut rows: Vec<_> = reference
        .standing()
        .into_iter()
        .map(|row| {
            let plan = book.plan(row.plan).expect("a plan of the book");
            let group = group_fields[&row.group].clone();
            let place = (plan.rule.clone(), group["user"].to_string(), row.first);
            let line = serde_json::json!({
                "key": row.key.to_string(),
                "rule": &*plan.rule,
                "title": plan.title,
                "level": plan.level.name(),
                "group": group,
                "first": weir_web::rfc3339(row.first),
                "last": weir_web::rfc3339(row.last),
                "count": row.count,
            });
            (place, format!("{line}\n"))
        })
        .collect();
    rows.sort();
    rows.into_iter().map(|(_, line)| line).collect()
}

fn rules() -> (RuleBook, Vec<PlanStep>) {
    let mut book = RuleBook::new();
    for (_, text) in weir_detect::split_documents(RULES) {
        let applied = book.apply(&Control::RulePut {
            text: text.to_owned(),
            origin: "order".to_owned(),
            since: EventTime::MIN,
        });
        let refused = applied
            .diagnostics
            .iter()
            .any(|diagnostic| diagnostic.refused);
        assert!(!refused, "{:?}", applied.diagnostics);
    }
    let plans = book.plans().cloned().map(PlanStep::Install).collect();
    (book, plans)
}
