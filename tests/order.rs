//! `weir replay --final` says the same, to the byte, in whatever order lines come and however they
//! are cut and spread; and what it says is what plain loops over all events find.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};
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

/// Lines beyond those of the groups, so that not every event matters.
const LINES_MIN: usize = 12_000;

struct Bench {
    folder: tempfile::TempDir,
    rules: PathBuf,
}

impl Bench {
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
        let mut replay = Command::new(env!("CARGO_BIN_EXE_weir"));
        replay.args(["replay", "--final", "--received", RECEIVED]);
        replay.args(["--logsource", LOGSOURCE, "--time-field", "time", "--rules"]);
        let output = replay.arg(&self.rules).args(flags).arg(file).output();
        let output = output.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{flags:?}: {}: {told}",
            output.status
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn what_stands_does_not_depend_on_order_epochs_or_workers() {
    let order = OrderExperiment::new(SEED, START, LINES_MIN);
    let groups = weir_scenario::order::COUNT_GROUPS + weir_scenario::order::TEMPORAL_GROUPS;
    assert!(groups >= 1_000 && order.standing.len() >= 100);
    let bench = Bench::new();
    let expected = by_plain_loops(&order.lines_in(Arrival::InOrder));
    assert_eq!(without_keys(&expected), planned(&order), "seed {SEED}");
    let skewed = Arrival::Skewed(Span::seconds(300));
    for (name, arrival) in [
        ("in_order.jsonl", Arrival::InOrder),
        ("shuffled.jsonl", Arrival::Shuffled),
        ("skewed.jsonl", skewed),
    ] {
        let file = bench.write(name, &order.lines_in(arrival));
        for epoch_events in ["1", "97", "10000"] {
            for workers in ["1", "4"] {
                let flags = ["--epoch-events", epoch_events, "--workers", workers];
                let said = bench.replay(&file, &flags);
                assert_same(&said, &expected, &format!("seed {SEED}, {name}, {flags:?}"));
            }
        }
    }
    // Nothing of it lies behind this horizon, so what is settled and forgotten must not matter.
    let file = bench.write("skewed.jsonl", &order.lines_in(skewed));
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
            &bench.replay(&file, &flags),
            &expected,
            &format!("seed {SEED}, {flags:?}"),
        );
    }
}

/// Equality to the byte, with the first line that differs where it fails.
fn assert_same(said: &str, expected: &str, of: &str) {
    if said != expected {
        let differ = said.lines().zip(expected.lines()).find(|(a, b)| a != b);
        let (said, expected) = (said.lines().count(), expected.lines().count());
        panic!("{of}: {said} alerts, {expected} expected; first difference: {differ:#?}");
    }
}

/// The generator's own answer, which knows no keys.
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

/// What must be printed: each line decoded and judged by itself, then the reference.
fn by_plain_loops(lines: &[&str]) -> String {
    let (book, plans) = rules();
    let received = chrono::DateTime::parse_from_rfc3339(RECEIVED).unwrap();
    let batch = Batch {
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
    };
    let (tenant, source) = (batch.tenant_key(), batch.source_key());
    let reading = BatchContext::of(&batch, &TimeBounds::default(), Some("time"));
    let mut facts = Vec::new();
    let mut users: BTreeMap<GroupKey, Map<String, Value>> = BTreeMap::new();
    let mut greatest = EventTime::MIN;
    for (seq, line) in (0..).zip(lines) {
        let event = weir_parse::decode(line.as_bytes(), &reading.context());
        assert!(event.problems.is_empty(), "{line}: {:?}", event.problems);
        greatest = greatest.max(event.time);
        let mut detected = Detections::default();
        book.detect(&event, tenant, None, &mut detected);
        for draft in &detected.facts {
            let fields = book.group_fields(draft.plan, &event, tenant, draft.group);
            let fields = fields.expect("the group of its own event");
            users.entry(draft.group).or_insert_with(|| {
                let pairs = fields.into_iter();
                pairs
                    .map(|field| (field.name, field.value.into()))
                    .collect()
            });
            facts.push(Fact {
                plan: draft.plan,
                tenant,
                group: draft.group,
                time: event.time,
                event: EventId::for_frame(source, event.time, line.as_bytes()),
                position: Position::new(BatchSeq(seq), 0),
                member: draft.member,
                value: draft.value,
            });
        }
    }
    let mut reference = Reference::default();
    let clock = ReferenceClock {
        tenant,
        watermark: greatest,
        settled: EventTime::MIN,
    };
    reference.epoch(&plans, &facts, &[clock]);
    let mut rows: Vec<_> = reference
        .standing()
        .into_iter()
        .map(|row| {
            let plan = book.plan(row.plan).expect("a plan of the book");
            let group = users[&row.group].clone();
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
