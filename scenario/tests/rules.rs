//! The built-in rules compile, and match exactly the events that the scenario states.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use weir_detect::{Detections, RuleBook};
use weir_parse::decode;
use weir_scenario::Company;
use weir_scenario::catalogue::{ALERTING_RULES, RuleCondition};
use weir_scenario::load::LoadStream;
use weir_scenario::order;
use weir_schema::{Bound, Format, MemberCondition, PlanKind, RuleId, TenantKey};

use common::{START, add, book, context, frame};

/// Members of rules that raise nothing over a scenario. They may match background events, for
/// which the scenario states no detections.
fn background_members(book: &RuleBook) -> BTreeSet<String> {
    let stated: BTreeSet<&str> = ALERTING_RULES
        .iter()
        .flat_map(|rule| match rule.condition {
            RuleCondition::Count { member, .. } => vec![member],
            RuleCondition::Both { members } => members.to_vec(),
            RuleCondition::Without { member, missing } => vec![member, missing],
        })
        .collect();
    let members = book.rules().into_iter();
    let members = members.filter(|rule| !rule.referenced_by.is_empty() && !rule.alerts);
    let names = members.filter_map(|rule| rule.name);
    names.filter(|name| !stated.contains(&name[..])).collect()
}

fn names(book: &RuleBook) -> BTreeMap<RuleId, String> {
    let rules = book.rules().into_iter();
    rules
        .map(|rule| (rule.id, rule.name.expect("our rules have names")))
        .collect()
}

#[test]
fn rules_compile_to_the_conditions_of_the_catalogue() {
    let book = book();
    let mut rules: BTreeMap<&str, _> = ALERTING_RULES.iter().map(|rule| (rule.id, rule)).collect();
    for plan in book.plans() {
        let Some(rule) = rules.remove(&*plan.rule) else {
            continue; // A test below checks that it raises nothing.
        };
        let kind = match rule.condition {
            RuleCondition::Count { at_least, .. } => PlanKind::EventCount {
                bounds: vec![Bound::Gte(at_least)],
            },
            RuleCondition::Both { .. } => PlanKind::Temporal {
                members: 2,
                condition: MemberCondition::All(vec![
                    MemberCondition::Present(0),
                    MemberCondition::Present(1),
                ]),
            },
            RuleCondition::Without { .. } => PlanKind::Temporal {
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
    add(&mut book, order::RULES, "order.yml");
    assert_eq!(book.plans().count(), 2);
}

#[test]
fn rules_match_exactly_the_stated_detections() {
    let book = book();
    let (names, background) = (names(&book), background_members(&book));
    let tenant = TenantKey::of(&[b"default"]);
    let mut detected = Detections::default();
    for seed in [1, 2, 42] {
        let scenario = Company::new(seed).plan(START);
        for delivery in &scenario.deliveries {
            let (frame, format) = frame(delivery);
            let event = decode(&frame, &context(format));
            let message = format!("seed {seed}: {}", String::from_utf8_lossy(&frame));
            assert_eq!(
                (event.time, &event.problems[..]),
                (delivery.time, &[][..]),
                "{message}"
            );
            detected.clear();
            book.detect(&event, tenant, None, &mut detected);
            let mut matched: Vec<&str> = detected.matches.iter().map(|id| &names[id][..]).collect();
            matched.retain(|name| !background.contains(*name));
            let mut stated: Vec<&str> = delivery
                .detections
                .iter()
                .map(|detection| detection.member)
                .collect();
            matched.sort_unstable();
            stated.sort_unstable();
            assert_eq!(matched, stated, "{message}\n{event:?}");
            assert_eq!((detected.ungrouped, detected.capped), (0, 0), "{message}");
        }
    }
}

/// The alert count of the load depends on this: rules match only its logins and refusals.
#[test]
fn rules_match_only_logins_and_refusals_of_the_load() {
    let book = book();
    let (names, background) = (names(&book), background_members(&book));
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
    matches.retain(|name, _| !background.contains(*name));
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
