//! Correlations that `weir rules lint` refuses.

use super::support::command::run;
use super::support::files::{shown, write};
use super::{MEMBERS, correlation};

/// A section of a correlation, and a part of its diagnostic.
type Refusal = (&'static str, &'static str);

/// Rules that refer to nothing, to themselves, or to a rule that is no detection.
const REFERENCES: &[Refusal] = &[
    (
        "rules: [nobody]",
        "waits for rule `nobody`, which does not exist",
    ),
    (
        "rules: [one, nobody]",
        "waits for rule `nobody`, which does not exist",
    ),
    ("rules: [me]", "`me`"),
    (
        "rules: [00000000-0000-4000-8000-000000000009]",
        "`00000000-0000-4000-8000-000000000009`",
    ),
    (
        "rules: [sieve]",
        "`sieve` names a filter, which matches nothing",
    ),
    ("rules: [one, one]", "`rules` lists `one` twice"),
    (
        "rules: [one, 00000000-0000-4000-8000-000000000001]",
        "names a rule that is listed already",
    ),
    ("rules: []", "rules"),
    ("-rules", "rules"),
];

/// Timespans that are no timespan, or longer than state is retained.
const TIMESPANS: &[Refusal] = &[
    ("timespan: 0s", "`0s` is not a usable timespan"),
    ("timespan: -5m", "timespan"),
    ("timespan: 1.5h", "timespan"),
    ("timespan: soon", "timespan"),
    ("timespan: 100y", "`100y` is not a usable timespan"),
    ("timespan: 367d", "`367d` is not a usable timespan"),
    ("timespan: 99999999999999999999d", "timespan"),
    ("-timespan", "time"),
    ("timespan: 5m\ntimeframe: 5m", "time"),
];

/// Conditions that are no condition of their type.
const CONDITIONS: &[Refusal] = &[
    ("-condition", "condition"),
    ("condition: {gte: -1}", "`gte` needs a whole number from 0"),
    (
        "condition: {gte: 1.5}",
        "whole numbers only: it bounds a count",
    ),
    ("condition: {gte: many}", "write the number without quotes"),
    (
        "condition: {about: 5}",
        "`about` does not belong in this condition",
    ),
    (
        "condition: {gte: 1, about: 5}",
        "`about` does not belong in this condition",
    ),
    (
        "condition: two of them",
        "`condition` is not a mapping of bounds",
    ),
    ("type: value_count", "needs a `field`"),
    (
        "type: value_sum\ncondition: {field: [a, b], gte: 1}",
        "needs a `field`",
    ),
    (
        "type: value_avg\ncondition: {field: bytes, gte: 1e99}",
        "`gte` needs a number of at most 9 decimals",
    ),
    (
        "type: value_percentile\ncondition: {field: ms, gte: 1, percentile: 101}",
        "percentile",
    ),
    (
        "type: value_percentile\ncondition: {field: ms, gte: 1}",
        "percentile",
    ),
    (
        "type: temporal\nrules: [one, other]\ncondition: not one and not other",
        "does not require an event of any rule",
    ),
    (
        "type: temporal\nrules: [one, other]\ncondition: one",
        "does not name `other`",
    ),
    (
        "type: temporal\nrules: [one, other]\ncondition: one and (other",
        "condition `one and (other` ends too early",
    ),
    (
        "type: temporal\nrules: [one, other]\ncondition: one and third",
        "third",
    ),
    (
        "type: temporal_ordered\nrules: [one, other]\ncondition: {gte: 1}",
        "temporal_ordered",
    ),
    ("type: sometimes", "sometimes"),
];

/// Groupings that are no grouping, and unknown keys.
const GROUPS: &[Refusal] = &[
    ("group-by: ['']", "group-by"),
    ("group-by: {user: name}", "group-by"),
    ("group-by: [user]\naliases: [user]", "aliases"),
    ("group-by: [user]\nwindow: session", "window"),
    (
        "group-by: [user]\nuser: root",
        "unknown key `user` in a correlation",
    ),
];

#[test]
fn impossible_correlations_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let many: Vec<String> = (0..65).map(|n| format!("rule{n}")).collect();
    let many = format!("rules: [{}]", many.join(", "));
    let too_many = [(many.as_str(), "more than 64 rules")];
    let cases = [REFERENCES, &too_many, TIMESPANS, CONDITIONS, GROUPS].concat();
    let mut wrong = Vec::new();
    for (section, expected) in &cases {
        let text = format!("{MEMBERS}---\n{}", correlation(section));
        let file = write(folder.path(), "rules.yml", text);
        let lint = run(&["rules", "lint", &file]);
        let named = lint.out.lines().any(|line| {
            let line = line.split_once("rules.yml:");
            line.is_some_and(|(_, message)| message.contains(expected))
        });
        // A rule that waits for another one is reported but is itself valid.
        let coded = expected.starts_with("waits") || lint.code == Some(65);
        if !named || !coded {
            wrong.push(format!("{section}: {lint:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} correlations refused", cases.len());
}

#[test]
fn two_rules_that_read_each_other_are_both_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = correlation("rules: [you]");
    let other = correlation("rules: [me]")
        .replace("name: me", "name: you")
        .replace("000009", "000008");
    write(folder.path(), "rules.yml", format!("{one}---\n{other}"));
    let lint = run(&["rules", "lint", &shown(folder.path())]);
    assert_ne!(lint.code, Some(0), "{lint:?}");
    assert!(lint.out.contains("rules.yml"), "{lint:?}");
}
