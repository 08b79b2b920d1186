//! Nothing that a rule's author can write stops the program, and each refusal names its reason.

mod common;

use proptest::prelude::*;
use serde_json::json;
use weir_detect::{RuleBook, check, rule_id, split_documents};

const RULE: &str = "title: T\nid: t\nlogsource: {product: linux}\ndetection:\n  sel:\n    \
    A|contains|all: [x, '*y?']\n    B|re|i: 'a.*b'\n    C|cidr: 10.0.0.0/8\n    D|gte: 5\n    \
    E|base64offset|contains: abc\n    F: null\n  kw: [one, two]\n  \
    condition: sel and not 1 of k*\nlevel: low\n";

const COUNT: &str = "title: C\ncorrelation: {type: event_count, rules: [a], group-by: [u], \
    timespan: 5m, condition: {gte: 5}}\n";

const TEMPORAL: &str = "title: C\ncorrelation: {type: temporal, rules: [a, b], timespan: 5m, \
    condition: a and not b}\n";

fn refusals(text: &str) -> Vec<String> {
    check(text, "x.yml")
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn each_refusal_says_what_and_where() {
    assert_eq!(refusals(RULE), Vec::<String>::new());
    assert_eq!(refusals(COUNT), Vec::<String>::new());
    assert_eq!(refusals(TEMPORAL), Vec::<String>::new());
    for (base, from, to, expected) in [
        (RULE, "title: T\n", "", "x.yml:1:1: the rule has no `title`"),
        (RULE, "id: t", "id: 5", "x.yml:2:1: `id` is no text"),
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
            "x.yml:9:13: `24` is no such part of a date",
        ),
        (
            RULE,
            "gte: 5",
            "hour|contains: 5",
            "x.yml:9:5: a part of a date is compared as a number",
        ),
        (RULE, "gte: 5", "gte: abc", "x.yml:9:12: `abc` is no number"),
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
            "x.yml:8:13: `10.0.0.1/8` is no network",
        ),
        (
            RULE,
            "F: null",
            "F: [[1]]",
            "x.yml:11:9: a field's value is a list or mapping",
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
            "cannot be kept exactly",
        ),
        (RULE, "F: null", "F: !x y", "x.yml:11:8: not valid YAML"),
        (RULE, "F: null", "A|contains|all: z", "stands twice"),
        (RULE, "F: null", "1: z", "a key is not a text"),
        (
            RULE,
            "1 of k*",
            "1 of z*",
            "x.yml:13:14: no selection is meant by `of z*`",
        ),
        (RULE, "sel and", "sel | count() >", "does not parse"),
        (
            RULE,
            "sel and",
            "sal and",
            "x.yml:13:14: the condition names `sal`, which is not there",
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
            "`weir` knows `group-by` alone",
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
        (COUNT, "5m", "0s", "`0s` is no usable timespan"),
        (COUNT, "5m", "9999999y", "`9999999y` is no usable timespan"),
        (
            COUNT,
            "5m",
            "5m, aliases: {who: user}",
            "`aliases` is no mapping",
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
            "`wat` is not known in a correlation",
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
            "`rules` is no list of rule ids or names",
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
            "no rule that must be seen",
        ),
    ] {
        let text = base.replacen(from, to, 1);
        assert_ne!(text, base, "{from}");
        let found = refusals(&text);
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{from} -> {to}: {found:?}"
        );
    }
}

#[test]
fn hostile_documents_are_refused_in_bounded_time_and_stack() {
    let deep = |open: &str, close: &str, n: usize| open.repeat(n) + &close.repeat(n);
    let alias_bomb = (1..40).fold("a0: &a0 [x, x, x, x]\n".to_owned(), |text, n| {
        format!(
            "{text}a{n}: &a{n} [*a{}, *a{}, *a{}]\n",
            n - 1,
            n - 1,
            n - 1
        )
    });
    let condition = |text: String| RULE.replace("sel and not 1 of k*", &text);
    let regexes = vec!["'.{100}'"; 600].join(", ");
    for text in [
        String::new(),
        "\0".to_owned(),
        "- a".to_owned(),
        deep("[", "]", 1_000),
        deep("[a: ", "]", 1_000) + &"a, ".repeat(150_000),
        deep("[", "]", 100_000),
        deep("{a: ", "}", 50_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        "a: ".repeat(50_000),
        alias_bomb,
        "a: &a [*a]".to_owned(),
        "x".repeat(600_000),
        condition(deep("(", ")", 3_000).replace("()", "(sel)")),
        condition("not ".repeat(1_500) + "sel"),
        condition("sel and ".repeat(5_000) + "sel"),
        RULE.replace("'a.*b'", &format!("[{regexes}]")),
        RULE.replace("a.*b", &deep("(", ")", 5_000)),
        RULE.replace("a.*b", &"a|".repeat(100_000)),
    ] {
        let start: String = text.chars().take(30).collect();
        assert!(!check(&text, "x.yml").is_empty(), "{start:?}");
        let _ = (rule_id(&text), split_documents(&text));
    }
}

/// A text in its place in a rule that is good without it.
fn rule_with(detection: &str) -> String {
    format!("title: T\nid: t\nlogsource: {{product: linux}}\ndetection:\n{detection}")
}

#[test]
fn limits_are_counted_and_told() {
    let many = |n: usize, line: &dyn Fn(usize) -> String| (0..n).map(line).collect::<String>();
    let selections = many(10_000, &|n| format!("  s{n}:\n    a: x{n}\n"));
    let conditions = many(100, &|_| "    - s\n".to_owned());
    let names = ["a", "b"].map(|name| format!("%{name}%")).concat();
    for (text, expected) in [
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
            "stands for more than 10000 selections",
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
            "a merge key",
        ),
        (
            rule_with(&format!("  s: {{a|expand: '{names}'}}\n  condition: s\n")),
            "expand to more than 10000 values",
        ),
        (COUNT.replace("5m", "99999999999999999999s"), "timespan"),
        (COUNT.replace("5m", "9223372037s"), "no usable timespan"),
        (COUNT.replace("5m", "-5m"), "timespan"),
        (COUNT.replace("[a]", "[x, x]"), "lists `x` twice"),
    ] {
        let placed = (0..200).map(|n| weir_detect::PlaceholderValue::Text(format!("v{n}")));
        let placed: Vec<_> = placed.collect();
        let placeholders = ["a", "b"].map(|name| (name.to_owned(), placed.clone()));
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
fn what_backtracks_elsewhere_is_one_pass_here() {
    let text = rule_with("  s: {a|re: ['^(a+)+$', '(x|xx)*y', '(.*a){20}']}\n  condition: s\n");
    let mut book = RuleBook::new();
    assert_eq!(common::put(&mut book, &text, i64::MIN).diagnostics, []);
    // An engine that backtracks would not come back from this.
    let value = format!("{}!", "a".repeat(100_000));
    let event = common::event("-/linux/-", &json!({ "a": value }), 1);
    assert_eq!(common::detect(&book, &event).matches.len(), 1);
}

#[test]
fn references_in_a_circle_are_refused() {
    let count = |id: &str, member: &str| {
        COUNT
            .replace("title: C", &format!("title: {id}\nid: {id}"))
            .replace("[a]", &format!("[{member}]"))
    };
    let mut book = RuleBook::new();
    for (id, member, refused) in [("p", "q", true), ("q", "p", true), ("r", "r", true)] {
        let applied = common::put(&mut book, &count(id, member), 0);
        assert_eq!(
            !applied.diagnostics.is_empty(),
            refused,
            "{id}: {applied:?}"
        );
        assert!(applied.changes.is_empty(), "{id}");
        assert!(applied.diagnostics.iter().all(|d| d.line.is_some()));
    }
    let filter = "title: F\nid: f\nlogsource: {}\nfilter: {rules: [f, p], s: {a: b}, \
        condition: not s}\n";
    let applied = common::put(&mut book, filter, 0);
    assert_eq!(applied.diagnostics.len(), 2, "{applied:?}");
    assert!(applied.diagnostics.iter().all(|d| !d.refused));
}

#[test]
fn files_are_split_at_their_marks() {
    for (text, expected) in [
        ("a: 1\n", vec![(1, "a: 1\n")]),
        ("---\na: 1\n---\nb: 2", vec![(2, "a: 1\n"), (4, "b: 2")]),
        (
            "# c\n\n--- # d\na: 1\n...\n---\n",
            vec![(3, " # d\na: 1\n")],
        ),
        (
            "a: |\n  ---\n---\r\nb: 2\n",
            vec![(1, "a: |\n  ---\n"), (4, "b: 2\n")],
        ),
        ("--- {a: 1}\n---\n---\n", vec![(1, " {a: 1}\n")]),
        ("", vec![]),
    ] {
        assert_eq!(split_documents(text), expected, "{text:?}");
    }
}

/// What a mutation writes in place of a character: mostly what YAML and Sigma care about.
const EDIT: &str = "[\\[\\]{}()|*?&:,'\"\\\\ a-z0-9\n-]{0,3}";

proptest! {
    #![proptest_config(common::proptest_config())]

    #[test]
    fn random_text_is_refused_or_runs(text in "\\PC{0,200}") {
        let _ = (check(&text, "x"), rule_id(&text), split_documents(&text));
    }

    #[test]
    fn mutated_rules_are_refused_or_run(
        base in 0..3usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), EDIT), 1..6),
        field in "[A-F]",
        found in "\\PC{0,12}",
    ) {
        let mut text: Vec<char> = [RULE, COUNT, TEMPORAL][base].chars().collect();
        for (place, with) in edits {
            let at = place.index(text.len());
            text.splice(at..at + 1, with.chars());
            if text.is_empty() {
                text.push('a');
            }
        }
        let text: String = text.into_iter().collect();
        let mut book = RuleBook::new();
        let applied = common::put(&mut book, &text, 0);
        let event = common::event("-/linux/-", &json!({ field: found }), 1);
        let detected = common::detect(&book, &event);
        for rule in book.rules() {
            let explanation = book.explain(&rule.id, &event).unwrap();
            let matched = detected.matches.contains(&rule.id);
            prop_assert!(explanation.matched == matched, "{text}\n{explanation:?}");
        }
        let applied_again = common::put(&mut book, &text, 0);
        prop_assert!(applied_again.changes.is_empty(), "{applied:?}");
    }
}
