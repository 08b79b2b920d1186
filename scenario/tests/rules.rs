//! The rules of `rules/` compile, and match of the generated events exactly what the plan marks.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use weir_detect::{Detections, RuleBook};
use weir_parse::decode;
use weir_scenario::Company;
use weir_scenario::catalogue::{ALERTING_RULES, Kind};
use weir_scenario::load::LoadStream;
use weir_scenario::order;
use weir_schema::{Bound, Format, MemberCondition, PlanKind, RuleId, TenantKey};

use common::{START, book, context, frame, put};

/// Members of rules that stay silent over the plan: they may match what is usual, of which it marks
/// nothing.
fn usual(book: &RuleBook) -> BTreeSet<String> {
    let marked: BTreeSet<&str> = ALERTING_RULES
        .iter()
        .flat_map(|rule| match rule.kind {
            Kind::Count { member, .. } => vec![member],
            Kind::Both { members } => members.to_vec(),
            Kind::Without { member, missing } => vec![member, missing],
        })
        .collect();
    let members = book.rules().into_iter();
    let members = members.filter(|rule| !rule.referenced_by.is_empty() && !rule.alerts);
    let names = members.filter_map(|rule| rule.name);
    names.filter(|name| !marked.contains(&name[..])).collect()
}

fn names(book: &RuleBook) -> BTreeMap<RuleId, String> {
    let rules = book.rules().into_iter();
    rules
        .map(|rule| (rule.id, rule.name.expect("our rules have names")))
        .collect()
}

#[test]
fn rules_compile_to_what_the_catalogue_says() {
    let book = book();
    let mut rules: BTreeMap<&str, _> = ALERTING_RULES.iter().map(|rule| (rule.id, rule)).collect();
    for plan in book.plans() {
        let Some(rule) = rules.remove(&*plan.rule) else {
            continue; // That it stays silent is told below.
        };
        let kind = match rule.kind {
            Kind::Count { at_least, .. } => PlanKind::EventCount {
                bounds: vec![Bound::Gte(at_least)],
            },
            Kind::Both { .. } => PlanKind::Temporal {
                members: 2,
                condition: MemberCondition::All(vec![MemberCondition::Present(0), MemberCondition::Present(1)]),
            },
            Kind::Without { .. } => PlanKind::Temporal {
                members: 2,
                condition: MemberCondition::All(vec![
                    MemberCondition::Present(0),
                    MemberCondition::Not(Box::new(MemberCondition::Present(1))),
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
    let (names, usual) = (names(&book), usual(&book));
    let tenant = TenantKey::of(&[b"default"]);
    let mut detected = Detections::default();
    for seed in [1, 2, 42] {
        let scenario = Company::new(seed).plan(START);
        for delivery in &scenario.deliveries {
            let (frame, format) = frame(delivery);
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
            matched.retain(|name| !usual.contains(*name));
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
    let (names, usual) = (names(&book), usual(&book));
    let (mut bytes, mut completed) = (Vec::new(), Vec::new());
    LoadStream::new(5, START).chunk(START, 20_000, &mut bytes, &mut completed);
    let mut matches = BTreeMap::<&str, u32>::new();
    let mut detected = Detections::default();
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
    matches.retain(|name, _| !usual.contains(*name));
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
