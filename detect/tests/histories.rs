//! Facts, explanations, and random histories of entries.

mod common;

use std::collections::BTreeMap;

use common::add;
use common::entries::{count, disable, entry, remove, rule};
use proptest::prelude::*;
use serde_json::json;
use weir_detect::{Detections, PlanChange, RuleBook};
use weir_schema::{Control, Plan, PlanId};

#[test]
fn events_make_facts_of_the_plans_of_their_time() {
    let mut book = RuleBook::new();
    add(&mut book, &rule("a", "[x, w]", ""), 0);
    add(&mut book, &rule("b", "x", ""), 0);
    add(&mut book, &count("c", "a, b", "gte: 1", ""), 10_000_000_000);
    let temporal = "title: T\nid: t\ncorrelation: {type: temporal, timespan: 1m, \
                    condition: name_b and not name_a}\n";
    add(&mut book, temporal, 20_000_000_000);
    let facts = |fields: serde_json::Value, seconds| {
        let event = common::event("test/-/-", &fields, seconds);
        let detected = common::detect(&book, &event);
        let rules: Vec<String> = detected
            .facts
            .iter()
            .flat_map(|fact| {
                let rule = &book.plan(fact.plan).unwrap().rule;
                fact.members
                    .iter()
                    .map(move |member| format!("{rule}{member}"))
            })
            .collect();
        for fact in &detected.facts {
            let named = book.group_fields(fact.plan, &event, common::TENANT, fact.group);
            assert!(named.is_some());
        }
        let mut only = Detections::default();
        for plan in book.plans() {
            let mut found = Detections::default();
            book.detect(&event, common::TENANT, Some(&[plan.id]), &mut found);
            only.facts.append(&mut found.facts);
        }
        assert_eq!(only.facts, detected.facts);
        let mut rules = rules;
        rules.sort();
        (rules.join(" "), detected.ungrouped, detected.capped)
    };
    let many: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    for (fields, seconds, expected) in [
        (json!({"field": "x", "user": "u"}), 1, ("a0 b0", 0, 0)),
        (json!({"field": "x", "user": "u"}), 10, ("c0", 0, 0)),
        (json!({"field": "x", "user": "u"}), 20, ("c0 t0 t1", 0, 0)),
        (
            json!({"field": "w", "user": ["u", "v", "u"]}),
            30,
            ("c0 c0 t1", 0, 0),
        ),
        (json!({"field": "w", "user": null}), 30, ("t1", 1, 0)),
        (json!({"field": "q", "user": "u"}), 30, ("", 0, 0)),
    ] {
        let (rules, ungrouped, capped) = facts(fields.clone(), seconds);
        assert_eq!(
            (rules.as_str(), ungrouped, capped),
            expected,
            "{fields} at {seconds}"
        );
    }
    let (rules, _, capped) = facts(json!({"field": "w", "user": many}), 30);
    assert_eq!((rules.matches("c0").count(), capped), (100, 1));
}

#[test]
fn explanations_name_the_decisive_clauses() {
    let mut book = RuleBook::new();
    let text = "title: T\nid: t\nlogsource: {product: linux}\ndetection:\n  wanted:\n    \
                user: root\n    message|contains: [sudo, su]\n  unwanted: {tty|startswith: pts}\n  \
                unused: {a: 1}\n  condition: wanted and not unwanted\n";
    assert_eq!(add(&mut book, text, 0).diagnostics, []);
    for (logsource, fields, matched, decisive) in [
        (
            "-/linux/-",
            json!({"user": "root", "message": "sudo", "tty": "tty1"}),
            true,
            "logsource unwanted.tty wanted.message wanted.user",
        ),
        (
            "-/linux/-",
            json!({"user": "root", "message": "sudo", "tty": "pts/0"}),
            false,
            "unwanted.tty",
        ),
        (
            "-/linux/-",
            json!({"user": "bob", "message": "sudo"}),
            false,
            "wanted.user",
        ),
        (
            "-/windows/-",
            json!({"user": "root", "message": "sudo"}),
            false,
            "logsource",
        ),
    ] {
        let event = common::event(logsource, &fields, 1);
        let explanation = book.explain("t", &event).unwrap();
        assert_eq!(explanation.matched, matched, "{fields}");
        let mut found: Vec<String> = explanation
            .decisive()
            .map(|clause| match clause.identifier.as_str() {
                "logsource" => "logsource".to_owned(),
                name => format!("{name}.{}", clause.field.as_deref().unwrap_or("-")),
            })
            .collect();
        found.sort();
        assert_eq!(found.join(" "), decisive, "{fields}");
    }
}

/// An entry of a random history of two rules and two correlations.
fn any_entry() -> impl Strategy<Value = Control> {
    let id = prop::sample::select(vec!["a", "b", "c", "d"]);
    let members = prop::sample::select(vec!["a", "b", "name_a, b", "a, b, e"]);
    let rest = prop::sample::select(vec!["", "level: high\n", "generate: true\n"]);
    (0..9u8, id, members, rest, 0..6i64, "[xy]").prop_map(
        |(kind, id, members, rest, time, value)| match (kind, id) {
            (0, id) => disable(id, time),
            (1, id) => remove(id),
            (_, "a" | "b") => entry(rule(id, &value, rest), time),
            (kind, id) => entry(count(id, members, &format!("gte: {kind}"), rest), time),
        },
    )
}

/// Applies changes to `mirror`, as an operator does that sees only the changes.
fn apply_changes(mirror: &mut BTreeMap<PlanId, Plan>, changes: Vec<PlanChange>) {
    for change in changes {
        match change {
            PlanChange::Put {
                plan,
                backfill_from,
            } => {
                let known = mirror.insert(plan.id, plan.clone());
                let lacking = match &known {
                    Some(known) => (known.until < plan.until).then_some(known.until),
                    None => Some(plan.since),
                };
                assert_eq!(lacking, backfill_from, "{plan:?}");
                assert!(known.is_none_or(|known| known.since == plan.since));
            }
            PlanChange::Remove(id) => assert!(mirror.remove(&id).is_some()),
        }
    }
}

proptest! {
    #![proptest_config(common::proptest_config())]

    #[test]
    fn changes_add_up_to_the_plans(history in prop::collection::vec(any_entry(), 1..25)) {
        let (mut book, mut mirror) = (RuleBook::new(), BTreeMap::new());
        for control in &history {
            apply_changes(&mut mirror, book.apply(control).changes);
            prop_assert!(book.plans().eq(mirror.values()), "{history:#?}");
            prop_assert!(book.apply(control).changes.is_empty() || !is_put(control));
        }
        let mut by_rule: BTreeMap<_, Vec<&Plan>> = BTreeMap::new();
        for plan in mirror.values() {
            prop_assert!(plan.since < plan.until, "{plan:?}");
            by_rule.entry(&plan.rule).or_default().push(plan);
        }
        for plans in by_rule.values_mut() {
            plans.sort_by_key(|plan| plan.since);
            prop_assert!(plans.windows(2).all(|two| two[0].until <= two[1].since), "{plans:#?}");
        }
    }
}

fn is_put(control: &Control) -> bool {
    matches!(control, Control::RulePut { .. })
}
