//! Rule entries and what they do to plans: versions, shapes, members, order, bad entries.

mod common;

use std::collections::BTreeMap;

use common::{plans, put, short};
use proptest::prelude::*;
use serde_json::json;
use weir_detect::{Detections, PlanChange, RuleBook, VERSIONS_MAX};
use weir_schema::{Basis, Control, EventTime, Plan, PlanId, RuleChange, WhatIfId};

fn rule(id: &str, pattern: &str, rest: &str) -> String {
    format!(
        "title: Rule {id}\nid: {id}\nname: name_{id}\nlogsource: {{category: test}}\n\
         detection: {{selection: {{field: {pattern}}}, condition: selection}}\n{rest}"
    )
}

fn count(id: &str, members: &str, condition: &str, rest: &str) -> String {
    format!(
        "title: Count {id}\nid: {id}\ncorrelation: {{type: event_count, rules: [{members}], \
         group-by: [user], timespan: 5m, condition: {{{condition}}}}}\n{rest}"
    )
}

fn disable(rule: &str, until: i64) -> Control {
    Control::RuleDisable {
        rule: rule.to_owned(),
        until: EventTime(until),
    }
}

fn remove(rule: &str) -> Control {
    Control::RuleRemove {
        rule: rule.to_owned(),
    }
}

fn entry(text: String, since: i64) -> Control {
    Control::RulePut {
        text,
        origin: "test.yml".to_owned(),
        since: EventTime(since),
    }
}

/// Applies entries in turn; each must make exactly the changes beside it, and as many diagnostics.
fn check(name: &str, steps: Vec<(Control, &[&str], usize)>) -> RuleBook {
    let mut book = RuleBook::new();
    for (at, (control, expected, diagnostics)) in steps.into_iter().enumerate() {
        let before = book.clone();
        let applied = book.apply(&control);
        assert_eq!(
            short(&before, &applied.changes),
            expected,
            "{name}, step {at}"
        );
        assert_eq!(
            applied.diagnostics.len(),
            diagnostics,
            "{name}, step {at}: {applied:?}"
        );
    }
    book
}

#[test]
fn edits_of_a_rule() {
    check(
        "what is for people keeps the plan",
        vec![
            (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
            (entry(rule("a", "x", ""), 9), &[], 0),
            (entry(rule("a", "x", "level: high\n"), 9), &["~a[5,..)"], 0),
            (
                entry(rule("a", "x", "tags: [attack.t1]\n"), 9),
                &["~a[5,..)"],
                0,
            ),
        ],
    );
    check(
        "another shape ends the plan and starts one",
        vec![
            (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
            (entry(rule("a", "y", ""), 9), &["~a[5,9)", "+a[9,..)"], 0),
            (
                entry(rule("a", "y", "weir: {group-by: [user]}\n"), 12),
                &["~a[9,12)", "+a[12,..)"],
                0,
            ),
            (
                entry(rule("a", "z", ""), 7),
                &["-a[9,12)", "-a[12,..)", "~a[5,7)", "+a[7,..)"],
                0,
            ),
            (remove("a"), &["-a[5,7)", "-a[7,..)"], 0),
        ],
    );
    check(
        "a disabled rule starts again where it is put again",
        vec![
            (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
            (disable("a", 9), &["~a[5,9)"], 0),
            (disable("a", 12), &[], 0),
            (entry(rule("a", "x", ""), 20), &["+a[20,..)"], 0),
            (disable("name_a", 30), &["~a[20,30)"], 0),
            (
                entry(rule("a", "x", ""), 5),
                &["-a[5,9)", "-a[20,30)", "+a[5,..)"],
                0,
            ),
        ],
    );
    check(
        "a bad version leaves the good one",
        vec![
            (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
            (entry(rule("a", "[", ""), 9), &[], 1),
            (entry(rule("a", "x", "level: huge\n"), 9), &[], 1),
            (entry(rule("a", "x", "correlation: {}\n"), 9), &[], 1),
            (
                entry(rule("b", "x", "").replace("name_b", "name_a"), 9),
                &[],
                1,
            ),
            (disable("none", 9), &[], 1),
            (remove("none"), &[], 1),
        ],
    );
}

#[test]
fn edits_of_a_correlation() {
    check(
        "a read rule is silent from then on; its shape is the correlation's",
        vec![
            (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
            (
                entry(count("c", "a", "gte: 3", ""), 10),
                &["~a[5,10)", "+c[10,..)"],
                0,
            ),
            (
                entry(count("c", "a", "gte: 4, lt: 9", ""), 12),
                &["~c[10,..)"],
                0,
            ),
            (entry(rule("a", "x", "level: low\n"), 12), &["~a[5,10)"], 0),
            (
                entry(rule("a", "y", ""), 20),
                &["~c[10,20)", "+c[20,..)"],
                0,
            ),
            (disable("c", 30), &["~c[20,30)"], 0),
            (
                remove("c"),
                &[
                    "-a[5,10)",
                    "+a[5,20)",
                    "+a[20,..)",
                    "-c[10,20)",
                    "-c[20,30)",
                ],
                0,
            ),
        ],
    );
    let temporal = |condition: &str| {
        format!(
            "title: T\nid: c\ncorrelation: {{type: temporal, rules: [name_a, name_b], \
             timespan: 5m, condition: {condition}}}\n"
        )
    };
    check(
        "which rules must be seen is of the shape, how they are joined is not",
        vec![
            (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
            (entry(rule("b", "x", ""), 5), &["+b[5,..)"], 0),
            (
                entry(temporal("name_a and name_b"), 5),
                &["-a[5,..)", "-b[5,..)", "+c[5,..)"],
                0,
            ),
            (entry(temporal("name_a or name_b"), 9), &["~c[5,..)"], 0),
            (
                entry(temporal("name_a and not name_b"), 12),
                &["~c[5,12)", "+c[12,..)"],
                0,
            ),
        ],
    );
    let named = |name: &str| rule("a", "x", "").replace("name_a", name);
    check(
        "what an alias stands for is of the shape",
        vec![
            (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
            (
                entry(
                    count("c", "a", "gte: 3", "").replace(
                        "group-by: [user],",
                        "group-by: [user], aliases: {user: {name_a: Account}},",
                    ),
                    5,
                ),
                &["-a[5,..)", "+c[5,..)"],
                0,
            ),
            (entry(rule("a", "x", "level: low\n"), 9), &[], 0),
            (entry(named("other"), 9), &["-c[5,..)", "+c[5,..)"], 0),
        ],
    );
    check(
        "with generate a read rule speaks",
        vec![
            (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
            (
                entry(count("c", "name_a", "gte: 3", "generate: true\n"), 10),
                &["+c[10,..)"],
                0,
            ),
            (
                entry(count("c", "name_a", "gte: 3", ""), 12),
                &["~a[5,10)", "~c[10,..)"],
                0,
            ),
            (
                entry(count("c", "name_a", "gte: 3", "generate: true\n"), 12),
                &["-a[5,10)", "+a[5,..)", "~c[10,..)"],
                0,
            ),
        ],
    );
    check(
        "a missing member is waited for; removal takes the plan, disabling stops it",
        vec![
            (entry(count("c", "a, b", "gte: 3", ""), 5), &[], 2),
            (entry(rule("a", "x", ""), 7), &[], 1),
            (entry(rule("b", "x", ""), 9), &["+c[9,..)"], 0),
            (disable("b", 20), &["~c[9,20)"], 1),
            (entry(rule("b", "x", ""), 30), &["+c[30,..)"], 0),
            (remove("b"), &["-c[9,20)", "-c[30,..)"], 1),
        ],
    );
    check(
        "correlations of correlations have a plan for each member, and no circle",
        vec![
            (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
            (
                entry(count("c", "a", "gte: 3", "generate: true\n"), 5),
                &["+c[5,..)"],
                0,
            ),
            (entry(count("e", "e", "gte: 3", ""), 5), &[], 1),
            (
                entry(count("d", "c", "gte: 3", ""), 9),
                &["~c[5,9)", "+c[9,..)", "+d[9,..)"],
                0,
            ),
            (entry(count("c", "a, d", "gte: 3", ""), 9), &[], 1),
            (
                entry(count("c", "a", "gte: 4", "generate: true\n"), 9),
                &["~c[5,9)", "~c[9,..)"],
                0,
            ),
            (
                entry(count("f", "d", "gte: 2", "generate: true\n"), 9),
                &["+c[9,..)", "+d[9,..)", "+f[9,..)"],
                0,
            ),
            (
                remove("c"),
                &[
                    "-c[5,9)", "-c[9,..)", "-d[9,..)", "-c[9,..)", "-d[9,..)", "-f[9,..)",
                ],
                2,
            ),
        ],
    );
}

#[test]
fn the_order_of_entries_does_not_matter() {
    let entries = [
        (rule("a", "x", ""), 5),
        (rule("b", "y", "level: low\n"), 8),
        (rule("d", "z", ""), 5),
        (count("c", "a, name_b", "gte: 3", ""), 6),
        (count("e", "b", "gte: 2", "generate: true\n"), 5),
    ];
    let load = |order: &[usize]| {
        let mut book = RuleBook::new();
        for at in order {
            put(&mut book, &entries[*at].0, entries[*at].1);
        }
        (plans(&book), book.plans().cloned().collect::<Vec<_>>())
    };
    let expected = load(&[0, 1, 2, 3, 4]);
    assert_eq!(expected.0, ["+a[5,6)", "+c[8,..)", "+d[5,..)", "+e[8,..)"]);
    let mut order = [0, 1, 2, 3, 4];
    permute(&mut order, 0, &mut |order| {
        assert_eq!(load(order), expected, "{order:?}")
    });
}

fn permute(order: &mut [usize], from: usize, f: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return f(order);
    }
    for at in from..order.len() {
        order.swap(from, at);
        permute(order, from + 1, f);
        order.swap(from, at);
    }
}

#[test]
fn facts_are_of_plans_that_see_the_event() {
    let mut book = RuleBook::new();
    put(&mut book, &rule("a", "[x, w]", ""), 0);
    put(&mut book, &rule("b", "x", ""), 0);
    put(&mut book, &count("c", "a, b", "gte: 1", ""), 10_000_000_000);
    let temporal = "title: T\nid: t\ncorrelation: {type: temporal, timespan: 1m, \
                    condition: name_b and not name_a}\n";
    put(&mut book, temporal, 20_000_000_000);
    let facts = |fields: serde_json::Value, seconds| {
        let event = common::event("test/-/-", &fields, seconds);
        let detected = common::detect(&book, &event);
        let rules: Vec<String> = detected
            .facts
            .iter()
            .map(|fact| format!("{}{}", book.plan(fact.plan).unwrap().rule, fact.member))
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
fn an_explanation_names_the_clauses_that_decide() {
    let mut book = RuleBook::new();
    let text = "title: T\nid: t\nlogsource: {product: linux}\ndetection:\n  wanted:\n    \
                user: root\n    message|contains: [sudo, su]\n  unwanted: {tty|startswith: pts}\n  \
                unused: {a: 1}\n  condition: wanted and not unwanted\n";
    assert_eq!(put(&mut book, text, 0).diagnostics, []);
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

/// One entry of a random history over two rules and two correlations.
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

/// Does to `mirror` what an operator does that knows nothing but the changes.
fn follow(mirror: &mut BTreeMap<PlanId, Plan>, changes: Vec<PlanChange>) {
    for change in changes {
        match change {
            PlanChange::Put { plan, backfill } => {
                let known = mirror.insert(plan.id, plan.clone());
                assert_eq!(known.is_none(), backfill, "{plan:?}");
                if let Some(known) = known {
                    assert!(
                        known.since == plan.since && known.until >= plan.until,
                        "{plan:?}"
                    );
                }
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
            follow(&mut mirror, book.apply(control).changes);
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

/// At the limit of versions the rule that runs can still be told otherwise, and is told what it cannot.
#[test]
fn a_rule_of_many_versions_takes_what_makes_no_further_one() {
    let mut book = RuleBook::new();
    for at in 0..VERSIONS_MAX {
        let text = rule("a", &format!("v{at}"), "");
        let since = i64::try_from(at).unwrap();
        assert_eq!(book.apply(&entry(text, since)).diagnostics, []);
    }
    let (last, end) = (format!("v{}", VERSIONS_MAX - 1), 1_000);
    for (text, since, taken) in [
        (rule("a", "other", ""), end, false),
        (rule("a", &last, "level: high\n"), end, true),
        // In place of the last one, which has not begun to see anything.
        (rule("a", "other", ""), 63, true),
    ] {
        let applied = book.apply(&entry(text.clone(), since));
        assert_eq!(applied.diagnostics.is_empty(), taken, "{text}: {applied:?}");
        assert_eq!(applied.changes.is_empty(), !taken, "{text}");
    }
}

#[test]
fn a_what_if_begins_with_the_facts_of_events_alone() {
    let mut book = RuleBook::new();
    put(&mut book, &rule("a", "x", ""), 5);
    put(&mut book, &rule("b", "y", ""), 5);
    put(&mut book, &count("c", "b", "gte: 1", ""), 5);
    // It reads the events of `a`, too, and is told more than that.
    put(&mut book, &count("d", "a, c", "gte: 2", ""), 5);
    let basis = |book: &RuleBook| {
        let change = RuleChange::Put {
            text: count("e", "a", "gte: 2", ""),
            origin: "test.yml".to_owned(),
        };
        let (tried, _) = book.compute_what_if(WhatIfId(1), EventTime(9), &[change]);
        let mut bases = tried.shadows.iter().map(|shadow| shadow.basis);
        bases.next().expect("a plan is new")
    };
    assert_eq!(basis(&book), Basis::Journal);
    put(&mut book, &count("f", "a", "gte: 7", ""), 5);
    assert!(matches!(basis(&book), Basis::Facts(_)));
}

#[test]
fn the_rules_of_a_chain_are_counted_over_all_of_its_members() {
    let mut book = RuleBook::new();
    let names = |letter: char, count: usize| {
        let names: Vec<String> = (0..count).map(|at| format!("{letter}{at}")).collect();
        names
    };
    let rules = names('r', 60);
    for name in &rules {
        put(&mut book, &rule(name, "x", ""), 5);
    }
    let inner = names('c', 5);
    for name in &inner {
        put(&mut book, &count(name, &rules.join(", "), "gte: 2", ""), 5);
    }
    let outer = |members: &[String]| {
        let text = count("outer", &members.join(", "), "gte: 2", "");
        let mut book = book.clone();
        let applied = book.apply(&entry(text, 5));
        let told = applied.diagnostics.iter().map(ToString::to_string);
        told.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(outer(&inner[..4]), "");
    let told = outer(&inner);
    assert!(told.contains("more than 256 rules in one chain"), "{told}");
}
