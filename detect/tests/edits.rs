//! Edits of rules and correlations, and their effect on plans.

mod common;

use common::entries::{count, delete, disable, entry, remove, rule};
use common::{add, plans, short};
use weir_detect::{RuleBook, VERSIONS_MAX};
use weir_schema::{Basis, Control, EventTime, RuleChange, WhatIfId};

/// Applies entries in turn. Each must make exactly these changes and this number of diagnostics.
fn check(steps: Vec<(Control, &[&str], usize)>) {
    let mut book = RuleBook::new();
    for (at, (control, expected, diagnostics)) in steps.into_iter().enumerate() {
        let before = book.clone();
        let update = book.apply(&control);
        assert_eq!(short(&before, &update.changes), expected, "step {at}");
        assert_eq!(
            update.diagnostics.len(),
            diagnostics,
            "step {at}: {update:?}"
        );
    }
}

#[test]
fn keep_the_plan_if_only_metadata_changes() {
    check(vec![
        (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
        (entry(rule("a", "x", ""), 9), &[], 0),
        (entry(rule("a", "x", "level: high\n"), 9), &["~a[5,..)"], 0),
        (
            entry(rule("a", "x", "tags: [attack.t1]\n"), 9),
            &["~a[5,..)"],
            0,
        ),
    ]);
}

#[test]
fn a_changed_shape_starts_another_plan() {
    check(vec![
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
    ]);
}

#[test]
fn a_disabled_rule_restarts_when_it_is_added_again() {
    check(vec![
        (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
        (disable("a", 9), &["~a[5,9)"], 0),
        (disable("a", 12), &[], 0),
        (entry(rule("a", "x", ""), 20), &["+a[20,..)"], 0),
        (disable("name_a", 30), &["~a[20,30)"], 0),
        (entry(rule("a", "x", ""), 5), &["-a[20,30)", ">a[5,..)"], 0),
    ]);
}

#[test]
fn a_refused_version_leaves_the_running_one() {
    check(vec![
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
    ]);
}

#[test]
fn a_rule_that_is_read_raises_no_alerts() {
    check(vec![
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
            &[">a[5,20)", "+a[20,..)", "-c[10,20)", "-c[20,30)"],
            0,
        ),
    ]);
}

#[test]
fn required_members_belong_to_the_shape() {
    let temporal = |condition: &str| {
        format!(
            "title: T\nid: c\ncorrelation: {{type: temporal, rules: [name_a, name_b], \
             timespan: 5m, condition: {condition}}}\n"
        )
    };
    check(vec![
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
    ]);
}

#[test]
fn aliases_belong_to_the_shape() {
    let named = |name: &str| rule("a", "x", "").replace("name_a", name);
    check(vec![
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
    ]);
}

#[test]
fn with_generate_a_rule_that_is_read_raises_alerts() {
    check(vec![
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
            &[">a[5,..)", "~c[10,..)"],
            0,
        ),
    ]);
}

#[test]
fn correlations_wait_for_missing_members() {
    check(vec![
        (entry(count("c", "a, b", "gte: 3", ""), 5), &[], 2),
        (entry(rule("a", "x", ""), 7), &[], 1),
        (entry(rule("b", "x", ""), 9), &["+c[9,..)"], 0),
        (disable("b", 20), &["~c[9,20)"], 1),
        (entry(rule("b", "x", ""), 30), &["+c[30,..)"], 0),
        (remove("b"), &["-c[9,20)", "-c[30,..)"], 1),
    ]);
}

#[test]
fn chains_have_a_plan_for_each_member() {
    check(vec![
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
    ]);
}

#[test]
fn plans_do_not_depend_on_the_order_of_entries() {
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
            add(&mut book, &entries[*at].0, entries[*at].1);
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

/// At the limit of versions a rule still accepts changes that add no version.
#[test]
fn refuse_more_versions_of_a_rule_than_the_limit() {
    let mut book = RuleBook::new();
    for at in 0..VERSIONS_MAX {
        let text = rule("a", &format!("v{at}"), "");
        let since = i64::try_from(at).unwrap();
        assert_eq!(book.apply(&entry(text, since)).diagnostics, []);
    }
    let (last, end) = (format!("v{}", VERSIONS_MAX - 1), 1_000);
    for (text, since, accepted) in [
        (rule("a", "other", ""), end, false),
        (rule("a", &last, "level: high\n"), end, true),
        // It replaces the last version, whose period would be empty.
        (rule("a", "other", ""), 63, true),
    ] {
        let update = book.apply(&entry(text.clone(), since));
        assert_eq!(
            update.diagnostics.is_empty(),
            accepted,
            "{text}: {update:?}"
        );
        assert_eq!(update.changes.is_empty(), !accepted, "{text}");
    }
}

#[test]
fn a_what_if_only_reuses_facts_that_come_from_events() {
    let mut book = RuleBook::new();
    add(&mut book, &rule("a", "x", ""), 5);
    add(&mut book, &rule("b", "y", ""), 5);
    add(&mut book, &count("c", "b", "gte: 1", ""), 5);
    // It reads the events of `a`, but also the results of `c`.
    add(&mut book, &count("d", "a, c", "gte: 2", ""), 5);
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
    add(&mut book, &count("f", "a", "gte: 7", ""), 5);
    assert!(matches!(basis(&book), Basis::Facts(_)));
}

#[test]
fn refuse_a_chain_with_too_many_rules_in_all_of_its_members() {
    let mut book = RuleBook::new();
    let names = |letter: char, count: usize| {
        let names: Vec<String> = (0..count).map(|at| format!("{letter}{at}")).collect();
        names
    };
    let rules = names('r', 60);
    for name in &rules {
        add(&mut book, &rule(name, "x", ""), 5);
    }
    let inner = names('c', 5);
    for name in &inner {
        add(&mut book, &count(name, &rules.join(", "), "gte: 2", ""), 5);
    }
    let outer = |members: &[String]| {
        let text = count("outer", &members.join(", "), "gte: 2", "");
        let mut book = book.clone();
        let update = book.apply(&entry(text, 5));
        let messages = update.diagnostics.iter().map(ToString::to_string);
        messages.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(outer(&inner[..4]), "");
    let message = outer(&inner);
    assert!(
        message.contains("more than 256 rules in one chain"),
        "{message}"
    );
}

/// Base rules stay silent for the time in which a removed correlation read them, and only for it.
#[test]
fn a_removal_frees_the_rules_that_were_read_from_its_time_on() {
    let counts = |since| entry(count("c", "a", "gte: 3", ""), since);
    let other = || entry(count("d", "a", "gte: 9", ""), 20);
    check(vec![
        (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
        (counts(10), &["~a[5,10)", "+c[10,..)"], 0),
        (delete("c", 30), &["+a[30,..)", "-c[10,..)"], 0),
        // Read again, and freed again: both times stay silent.
        (counts(40), &["~a[30,40)", "+c[40,..)"], 0),
        (other(), &["-a[30,40)", "+d[20,..)"], 0),
        (delete("c", 50), &["-c[40,..)"], 0),
        (delete("d", 60), &["+a[60,..)", "-d[20,..)"], 0),
        (remove("a"), &["-a[5,10)", "-a[60,..)"], 0),
        (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
    ]);
}

/// Earlier versions wrote no time: their journals free the rules for the past, too.
#[test]
fn a_removal_without_a_time_frees_the_past() {
    let remove = Control::RuleRemove {
        rule: "c".to_owned(),
    };
    check(vec![
        (entry(rule("a", "x", ""), 5), &["+a[5,..)"], 0),
        (
            entry(count("c", "a", "gte: 3", ""), 10),
            &["~a[5,10)", "+c[10,..)"],
            0,
        ),
        (remove, &[">a[5,..)", "-c[10,..)"], 0),
    ]);
}
