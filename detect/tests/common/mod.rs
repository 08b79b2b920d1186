//! Helpers of the tests: events from JSON, rule entries, and the folder of test data.
#![allow(dead_code)] // Each test file uses a part of it.

pub mod documents;
pub mod entries;

use std::borrow::Cow;
use std::path::PathBuf;

use proptest::test_runner::{Config as ProptestConfig, FileFailurePersistence};
use serde_json::Value as Json;
use weir_detect::{BookUpdate, Detections, PlanChange, RuleBook};
use weir_schema::{Control, Event, EventTime, LogSource, TenantKey, Value};

/// Stores failing seeds beside the tests.
pub fn proptest_config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

pub const TENANT: TenantKey = TenantKey(7);

/// The path of a file of test data. If it is absent, prints that `test` is skipped.
pub fn data(test: &str, file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WEIR_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    // Write to standard error directly: libtest hides the output of passing tests.
    let absent = format!("SKIPPED: {test}: {file} is absent; set WEIR_DATA\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), absent.as_bytes());
    None
}

pub fn value(json: &Json) -> Value<'static> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n
            .as_i64()
            .map_or_else(|| Value::Number(Cow::Owned(n.to_string())), Value::Int),
        Json::String(text) => Value::Text(Cow::Owned(text.clone())),
        Json::Array(values) => Value::List(values.iter().map(value).collect()),
        Json::Object(_) => panic!("events of tests are flat"),
    }
}

/// An event. `logsource` is `category/product/service`, with `-` for none.
pub fn event(logsource: &str, fields: &Json, seconds: i64) -> Event<'static> {
    let mut parts = logsource
        .split('/')
        .map(|part| (part != "-").then(|| part.to_owned()));
    let mut part = || parts.next().flatten();
    Event {
        time: EventTime(seconds * 1_000_000_000),
        stated: None,
        logsource: LogSource {
            category: part(),
            product: part(),
            service: part(),
        },
        fields: fields
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, json)| (Cow::Owned(name.clone()), value(json)))
            .collect(),
        message: Cow::Borrowed(""),
        problems: Vec::new(),
        weight: weir_schema::Weight::ONE,
    }
}

pub fn add(book: &mut RuleBook, text: &str, since: i64) -> BookUpdate {
    book.apply(&Control::RulePut {
        text: text.to_owned(),
        origin: "test.yml".to_owned(),
        since: EventTime(since),
    })
}

pub fn detect(book: &RuleBook, event: &Event<'_>) -> Detections {
    let mut detected = Detections::default();
    book.detect(event, TENANT, None, &mut detected);
    detected
}

/// Changes in short: `+rule[since,until)` is new, `>` grows, `~` is known, and `-` is removed.
pub fn short(before: &RuleBook, changes: &[PlanChange]) -> Vec<String> {
    let time = |time: EventTime| match time {
        EventTime::MAX => "..".to_owned(),
        time => time.0.to_string(),
    };
    let plan = |sign: char, plan: &weir_schema::Plan| {
        format!(
            "{sign}{}[{},{})",
            plan.rule,
            time(plan.since),
            time(plan.until)
        )
    };
    changes
        .iter()
        .map(|change| match change {
            PlanChange::Put {
                plan: next,
                backfill_from,
            } => plan(sign(next, *backfill_from), next),
            PlanChange::Remove(id) => plan('-', before.plan(*id).unwrap()),
        })
        .collect()
}

fn sign(plan: &weir_schema::Plan, backfill_from: Option<EventTime>) -> char {
    match backfill_from {
        Some(from) if from == plan.since => '+',
        Some(_) => '>',
        None => '~',
    }
}

/// All plans of a book in short, in order of rule and `since`.
pub fn plans(book: &RuleBook) -> Vec<String> {
    let mut plans: Vec<_> = book.plans().cloned().collect();
    plans.sort_by(|a, b| (&a.rule, a.since).cmp(&(&b.rule, b.since)));
    let changes: Vec<_> = plans
        .into_iter()
        .map(|plan| PlanChange::Put {
            backfill_from: Some(plan.since),
            plan,
        })
        .collect();
    short(book, &changes)
}
