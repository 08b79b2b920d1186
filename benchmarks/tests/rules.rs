//! The rules of `rules/` compile, and match of the generated events exactly what the plan marks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weir_benchmarks::catalogue::{ALERTING_RULES, Kind};
use weir_benchmarks::company::{Company, LENGTH_SECONDS};
use weir_benchmarks::load::LoadStream;
use weir_benchmarks::order;
use weir_benchmarks::scenario::Payload;
use weir_detect::{Detected, RuleBook, check, split_documents};
use weir_parse::{Context, Zone, decode};
use weir_schema::{
    Bound, Control, EventTime, Format, Member, PlanKind, ReceiveTime, RuleId, Span, TenantKey,
};

const START: EventTime = EventTime(1_772_438_400_000_000_000);

fn files() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn context(format: Format) -> Context<'static> {
    Context {
        format,
        received: ReceiveTime(START.plus(Span::seconds(LENGTH_SECONDS)).0),
        zone: Zone::parse("UTC").expect("UTC is a zone"),
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

fn names(book: &RuleBook) -> BTreeMap<RuleId, String> {
    let rules = book.rules().into_iter();
    rules
        .map(|rule| (rule.id, rule.name.expect("our rules have names")))
        .collect()
}

/// Puts every document of a text, and refuses any remark on it.
fn put(book: &mut RuleBook, text: &str, origin: &str) {
    for (line, document) in split_documents(text) {
        assert_eq!(check(document, origin), [], "{origin}:{line}");
        let applied = book.apply(&Control::RulePut {
            text: document.to_owned(),
            origin: origin.to_owned(),
            since: EventTime::MIN,
        });
        assert_eq!(applied.diagnostics, [], "{origin}:{line}");
    }
}

fn book() -> RuleBook {
    let mut book = RuleBook::new();
    for file in files() {
        put(
            &mut book,
            &std::fs::read_to_string(&file).unwrap(),
            &file.display().to_string(),
        );
    }
    book
}

#[test]
fn every_rule_compiles_to_what_the_catalogue_says() {
    let book = book();
    let mut rules: BTreeMap<&str, _> = ALERTING_RULES.iter().map(|rule| (rule.id, rule)).collect();
    for plan in book.plans() {
        let rule = rules
            .remove(&*plan.rule)
            .unwrap_or_else(|| panic!("{} alerts", plan.title));
        let kind = match rule.kind {
            Kind::Count { at_least, .. } => PlanKind::EventCount {
                bounds: vec![Bound::Gte(at_least)],
            },
            Kind::Both { .. } => PlanKind::Temporal {
                members: 2,
                condition: Member::All(vec![Member::Seen(0), Member::Seen(1)]),
            },
            Kind::Without { .. } => PlanKind::Temporal {
                members: 2,
                condition: Member::All(vec![
                    Member::Seen(0),
                    Member::Not(Box::new(Member::Seen(1))),
                ]),
            },
        };
        assert_eq!((&plan.title[..], &plan.kind), (rule.title, &kind));
        assert_eq!(plan.timespan, rule.timespan, "{}", rule.title);
        assert_eq!(plan.group_by, rule.group_by, "{}", rule.title);
    }
    assert!(
        rules.is_empty(),
        "these raise no alerts: {:?}",
        rules.keys()
    );
}

#[test]
fn the_rules_of_the_order_experiment_compile() {
    let mut book = RuleBook::new();
    put(&mut book, order::RULES, "order.yml");
    assert_eq!(book.plans().count(), 2);
}

#[test]
fn rules_match_what_the_plan_marks_and_nothing_else() {
    let book = book();
    let names = names(&book);
    let tenant = TenantKey::of(&[b"default"]);
    let mut detected = Detected::default();
    for seed in [1, 2, 42] {
        let scenario = Company::new(seed).plan(START);
        for delivery in &scenario.deliveries {
            let (frame, format) = match &delivery.payload {
                Payload::Line(line) => (line.clone(), Format::Syslog),
                Payload::Agent(record) => {
                    let fields: Vec<(&str, &str)> = record
                        .fields
                        .iter()
                        .map(|(n, v)| (&n[..], &v[..]))
                        .collect();
                    let (kind, logsource) = (Some(&record.kind[..]), Some(&record.logsource[..]));
                    let frame = weir_schema::agent::encode_event(
                        record.time.0,
                        kind,
                        logsource,
                        &fields,
                        None,
                    );
                    (frame, Format::Agent)
                }
            };
            let event = decode(&frame, &context(format));
            let told = format!("seed {seed}: {}", String::from_utf8_lossy(&frame));
            assert_eq!(
                (event.time, &event.problems[..]),
                (delivery.time, &[][..]),
                "{told}"
            );
            detected.clear();
            book.detect(&event, tenant, None, &mut detected);
            let mut matched: Vec<&str> = detected.matches.iter().map(|id| &names[id][..]).collect();
            let mut marked: Vec<&str> = delivery.marks.iter().map(|mark| mark.member).collect();
            matched.sort_unstable();
            marked.sort_unstable();
            assert_eq!(matched, marked, "{told}\n{event:?}");
            assert_eq!((detected.ungrouped, detected.capped), (0, 0), "{told}");
        }
    }
}

/// The load's count of alerts rests on this: nothing but its logins and refusals matters to a rule.
#[test]
fn rules_match_of_the_load_only_logins_and_refusals() {
    let book = book();
    let names = names(&book);
    let (mut bytes, mut completed) = (Vec::new(), Vec::new());
    LoadStream::new(5, START).chunk(START, 20_000, &mut bytes, &mut completed);
    let mut matches = BTreeMap::<&str, u32>::new();
    let mut detected = Detected::default();
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let event = decode(line, &context(Format::Syslog));
        detected.clear();
        book.detect(&event, TenantKey::of(&[b"default"]), None, &mut detected);
        for id in &detected.matches {
            *matches.entry(&names[id]).or_default() += 1;
        }
    }
    let found: Vec<&str> = matches.keys().copied().collect();
    assert_eq!(
        found,
        [
            "ssh_login_by_person",
            "ssh_login_failure",
            "ssh_login_success"
        ]
    );
    assert!(
        matches.values().all(|number| *number > 1_000),
        "{matches:?}"
    );
}
