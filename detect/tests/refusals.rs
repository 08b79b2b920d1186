//! Tests of refusals: each names its reason and its place.

mod common;

use common::documents::{COUNT, RULE, TEMPORAL, rule_with};
use weir_detect::{RuleBook, check};

fn refusals(text: &str) -> Vec<String> {
    check(text, "x.yml")
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// A document, a text in it, the text that replaces it, and the expected diagnostic.
type Case = (&'static str, &'static str, &'static str, &'static str);

const DETECTION_CASES: &[Case] = &[
    (RULE, "title: T\n", "", "x.yml:1:1: the rule has no `title`"),
    (RULE, "id: t", "id: 5", "x.yml:2:1: `id` is not text"),
    (RULE, "level: low", "level: lo", "x.yml:14:1: no such level"),
    (
        RULE,
        "logsource: {product: linux}\n",
        "",
        "x.yml:1:1: the rule has no `logsource`",
    ),
    (
        RULE,
        "product: linux",
        "host: x",
        "x.yml:3:13: `host` in `logsource`: not supported yet",
    ),
    (
        RULE,
        "contains|all",
        "kontains",
        "x.yml:6:5: there is no modifier `kontains`",
    ),
    (
        RULE,
        "contains|all: [x,",
        "expand: [x, 'a%Z%',",
        "x.yml:6:19: the placeholder `%Z%` has no value",
    ),
    (
        RULE,
        "gte: 5",
        "hour: 24",
        "x.yml:9:13: `24` is not valid for this part of a date",
    ),
    (
        RULE,
        "gte: 5",
        "hour|contains: 5",
        "x.yml:9:5: a part of a date is compared as a number",
    ),
    (
        RULE,
        "gte: 5",
        "gte: abc",
        "x.yml:9:12: `abc` is not a number",
    ),
    (
        RULE,
        "a.*b",
        "a(?=b)",
        "x.yml:7:13: regular expression `a(?=b)`: look-around",
    ),
    (
        RULE,
        "a.*b",
        "(a{1000}){1000}",
        "x.yml:7:13: regular expression",
    ),
    (
        RULE,
        "10.0.0.0/8",
        "10.0.0.1/8",
        "x.yml:8:13: `10.0.0.1/8` is not a network",
    ),
    (
        RULE,
        "F: null",
        "F: [[1]]",
        "x.yml:11:9: a field's value has a nested list",
    ),
    (
        RULE,
        "F: null",
        "F: []",
        "x.yml:11:5: `F` has an empty list of values",
    ),
    (
        RULE,
        "F: null",
        "F: 12345678901234567890",
        "cannot be represented exactly",
    ),
    (RULE, "F: null", "F: !x y", "x.yml:11:8: not valid YAML"),
    (RULE, "F: null", "A|contains|all: z", "duplicate key"),
    (RULE, "F: null", "1: z", "a key is not text"),
    (
        RULE,
        "1 of k*",
        "1 of z*",
        "x.yml:13:14: no selection matches `of z*`",
    ),
    (
        RULE,
        "sel and",
        "sel | count() >",
        "`|` at character 5 does not belong there (counting in a condition is old Sigma",
    ),
    (
        RULE,
        "sel and",
        "sal and",
        "x.yml:13:14: the condition names `sal`, which does not exist",
    ),
    (
        RULE,
        "level: low",
        "timeframe: 5m\naction: global",
        "`action` documents",
    ),
    (
        RULE,
        "level: low",
        "sigma-version: 3",
        "this `sigma-version`: not supported yet",
    ),
    (
        RULE,
        "level: low",
        "weir: {group: [x]}",
        "the only key of `weir` is `group-by`",
    ),
    (
        RULE,
        "level: low",
        "weir.group-by: [x, x]",
        "`group-by` names `x` twice",
    ),
    (
        RULE,
        "level: low",
        "---\ntitle: U",
        "more than one document",
    ),
];

const CORRELATION_CASES: &[Case] = &[
    (
        COUNT,
        "event_count",
        "value_count",
        "`value_count` needs a `field`",
    ),
    (
        COUNT,
        "event_count",
        "temporal_ordered",
        "a condition in `temporal_ordered`: not supported yet",
    ),
    (
        COUNT,
        "gte: 5",
        "gte: -5",
        "`gte` needs a whole number from 0",
    ),
    (
        COUNT,
        "gte: 5",
        "gte: 5, field: x",
        "`field` does not belong in this condition",
    ),
    (COUNT, "5m", "0s", "`0s` is not a usable timespan"),
    (
        COUNT,
        "5m",
        "9999999y",
        "`9999999y` is not a usable timespan",
    ),
    (
        COUNT,
        "5m",
        "5m, aliases: {who: user}",
        "`aliases` is not a mapping",
    ),
    (
        COUNT,
        "5m",
        "5m, window: tumbling",
        "windows that do not slide: not supported yet",
    ),
    (
        COUNT,
        "5m",
        "5m, wat: 1",
        "unknown key `wat` in a correlation",
    ),
    (
        COUNT,
        "rules: [a]",
        "rules: [a, a]",
        "`rules` lists `a` twice",
    ),
    (
        COUNT,
        "rules: [a]",
        "rules: [a, 5]",
        "`rules` is not a list of rule ids or names",
    ),
    (
        TEMPORAL,
        "a and not b",
        "a",
        "the condition does not name `b`",
    ),
    (
        TEMPORAL,
        "a and not b",
        "a and not d and b",
        "the condition names `d`",
    ),
    (
        TEMPORAL,
        "a and not b",
        "not (a or b)",
        "does not require an event of any rule",
    ),
];

#[test]
fn refusals_name_their_reason_and_place() {
    assert_eq!(refusals(RULE), Vec::<String>::new());
    assert_eq!(refusals(COUNT), Vec::<String>::new());
    assert_eq!(refusals(TEMPORAL), Vec::<String>::new());
    for (base, from, to, expected) in DETECTION_CASES.iter().chain(CORRELATION_CASES) {
        let text = base.replacen(from, to, 1);
        assert_ne!(text, *base, "{from}");
        let found = refusals(&text);
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{from} -> {to}: {found:?}"
        );
    }
}

/// Repeats a line with a number.
fn many(count: usize, line: &dyn Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

/// Documents that exceed a limit, and the expected diagnostic.
fn limit_cases() -> Vec<(String, &'static str)> {
    let selections = many(10_000, &|n| format!("  s{n}:\n    a: x{n}\n"));
    let conditions = many(100, &|_| "    - s\n".to_owned());
    let names = ["a", "b"].map(|name| format!("%{name}%")).concat();
    vec![
        (
            rule_with(&format!("{selections}  condition: 1 of s*\n")),
            "more than 1000 selections",
        ),
        (
            rule_with(&format!("  s: {{a: b}}\n  condition:\n{conditions}")),
            "more than 64 conditions",
        ),
        (
            rule_with(&format!(
                "{}  condition: {}\n",
                many(900, &|n| format!("  s{n}:\n    a: x\n")),
                vec!["1 of s*"; 20].join(" and ")
            )),
            "expands to more than 10000 selections",
        ),
        (
            rule_with(&format!(
                "  s: {{a: '{}'}}\n  condition: s\n",
                "x".repeat(1 << 20)
            )),
            "bytes, more than 524288",
        ),
        (
            rule_with("  s: {a|re: '(x{1000}){1000}'}\n  condition: s\n"),
            "takes too much memory",
        ),
        (
            rule_with(&format!(
                "  s: {{a|re: [{}]}}\n  condition: s\n",
                vec!["'\\w{200}'"; 40].join(", ")
            )),
            "takes too much memory",
        ),
        (
            rule_with(&format!(
                "  s: {{a|wide|base64offset|base64offset|base64|base64: '{}'}}\n  condition: s\n",
                "x".repeat(100)
            )),
            "more than four encodings",
        ),
        (
            rule_with("  s: {a: b}\n  t: &t {a: b, <<: *t}\n  condition: s\n"),
            "merge keys",
        ),
        (
            rule_with(&format!("  s: {{a|expand: '{names}'}}\n  condition: s\n")),
            "expand to more than 10000 values",
        ),
        (COUNT.replace("5m", "99999999999999999999s"), "timespan"),
        (COUNT.replace("5m", "9223372037s"), "not a usable timespan"),
        (COUNT.replace("5m", "-5m"), "timespan"),
        (COUNT.replace("[a]", "[x, x]"), "lists `x` twice"),
    ]
}

#[test]
fn refuse_documents_beyond_a_limit() {
    for (text, expected) in limit_cases() {
        let values = (0..200).map(|n| weir_detect::PlaceholderValue::Text(format!("v{n}")));
        let values: Vec<_> = values.collect();
        let placeholders = ["a", "b"].map(|name| (name.to_owned(), values.clone()));
        let found = weir_detect::check_with(&text, "x.yml", &placeholders.into());
        let start: String = text.chars().skip(60).take(60).collect();
        assert!(
            found
                .iter()
                .any(|d| d.refused && d.message.contains(expected)),
            "{start:?}: {:?}",
            found
                .iter()
                .map(|d| d.message.chars().take(200).collect())
                .collect::<Vec<String>>()
        );
        assert!(found.iter().all(|d| d.line.is_some() && d.column.is_some()));
    }
}

#[test]
fn refuse_circular_references() {
    let count = |id: &str, member: &str| {
        COUNT
            .replace("title: C", &format!("title: {id}\nid: {id}"))
            .replace("[a]", &format!("[{member}]"))
    };
    let mut book = RuleBook::new();
    for (id, member, refused) in [("p", "q", true), ("q", "p", true), ("r", "r", true)] {
        let update = common::add(&mut book, &count(id, member), 0);
        assert_eq!(!update.diagnostics.is_empty(), refused, "{id}: {update:?}");
        assert!(update.changes.is_empty(), "{id}");
        assert!(update.diagnostics.iter().all(|d| d.line.is_some()));
    }
    let filter = "title: F\nid: f\nlogsource: {}\nfilter: {rules: [f, p], s: {a: b}, \
        condition: not s}\n";
    let update = common::add(&mut book, filter, 0);
    assert_eq!(update.diagnostics.len(), 2, "{update:?}");
    assert!(update.diagnostics.iter().all(|d| !d.refused));
}
