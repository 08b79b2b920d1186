//! Reported cases of rules that are refused or remarked on, each by the name of its row: the words.

mod common;

use weir_detect::RuleBook;

/// The diagnostics of a document, as a person reads them.
fn said(text: &str) -> Vec<String> {
    let found = weir_detect::check(text, "r.yml");
    found.iter().map(ToString::to_string).collect()
}

/// c04: a chain that no text can pass is refused whatever its values are.
#[test]
fn c04_modifier_chains_that_are_dead_are_refused_by_the_chain() {
    for (modifiers, refused) in [
        ("wide|contains", true),
        ("utf16le", true),
        ("utf16be|startswith", true),
        ("utf16|endswith|all", true),
        ("base64|wide|contains", true),
        ("wide|utf16be|base64|contains", true),
        ("wide|base64|wide|contains", true),
        ("wide|base64offset|contains", false),
        ("utf16be|base64|contains", false),
        ("utf16|base64offset|startswith", false),
        ("wide|base64|wide|base64|contains", false),
        ("base64|contains", false),
    ] {
        for value in ["x", "föö", "a longer text"] {
            let rule = common::documents::rule_with(&format!(
                "  s: {{A|{modifiers}: '{value}'}}\n  condition: s\n"
            ));
            let found = said(&rule);
            assert_eq!(!found.is_empty(), refused, "{modifiers} {value}: {found:?}");
            if refused {
                assert!(found[0].starts_with("r.yml:5:7: "), "{found:?}");
                assert!(
                    found[0].contains("add `base64` or `base64offset`"),
                    "{found:?}"
                );
            }
        }
    }
}

/// c06: numbers without quotes that another writing would have kept as text.
#[test]
fn c06_values_that_yaml_changes_are_remarked() {
    for (value, remark) in [
        ("0x3e7", "`0x3e7` without quotes is the number 999"),
        ("0o17", "`0o17` without quotes is the number 15"),
        ("1030e0", "`1030e0` without quotes is the number 1030"),
        (
            "0755",
            "other tools read `0755` without quotes as the number 493",
        ),
        (
            "12:30",
            "other tools read `12:30` without quotes as the number 750",
        ),
        ("no", "other tools read `no` without quotes as false"),
        ("On", "other tools read `On` without quotes as true"),
        ("[a, 0x3e7, b]", "`0x3e7` without quotes is the number 999"),
        ("'0x3e7'", ""),
        ("\"no\"", ""),
        ("'0755'", ""),
        ("999", ""),
        ("5.0", ""),
        ("-3", ""),
        ("true", ""),
        ("null", ""),
        ("0", ""),
        ("north", ""),
        ("10:99", ""),
        ("2026-01-01", ""),
    ] {
        let detection = format!("  s: {{Count: 999, A: {value}}}\n  condition: s\n");
        let found = said(&common::documents::rule_with(&detection));
        let expected = usize::from(!remark.is_empty());
        assert_eq!(found.len(), expected, "{value}: {found:?}");
        assert!(
            found.iter().all(|one| one.contains(remark)),
            "{value}: {found:?}"
        );
        assert!(
            found.iter().all(|one| one.starts_with("r.yml:5:")),
            "{found:?}"
        );
    }
    // One value in several writings: only the odd one is named.
    let detection = "  s:\n    A:\n      - 999\n      - 0x3e7\n      - '0x3e7'\n  condition: s\n";
    let found = said(&common::documents::rule_with(detection));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("r.yml:8:9: `0x3e7`"), "{found:?}");
}

/// c07: `all of` one list, and operators in upper case.
#[test]
fn c07_conditions_that_authors_misread() {
    let list = "  keywords: [a, b]\n  other: {x: 1}\n  more: {y: 1}\n";
    for (condition, words) in [
        (
            "all of keywords",
            "`all of keywords` is one selection, and its list is *or*",
        ),
        (
            "other and not all of keywords",
            "write the list below `'|all':`",
        ),
        ("1 of keywords", ""),
        ("all of other", ""),
        ("all of k*", ""),
        (
            "keywords AND NOT other",
            "`AND` at character 10 does not belong there",
        ),
        ("keywords and NOT other", "in lower case"),
        ("other OR more", "in lower case"),
        ("keywords and", "ends too early"),
        ("(other", ""),
    ] {
        let rule = common::documents::rule_with(&format!("{list}  condition: {condition}\n"));
        let found = said(&rule);
        assert_eq!(
            found.is_empty(),
            words.is_empty() && condition != "(other",
            "{found:?}"
        );
        assert!(
            found.iter().all(|one| one.contains(words)),
            "{condition}: {found:?}"
        );
        for word in ["EOI", "expected", "Condition parse error"] {
            assert!(found.iter().all(|one| !one.contains(word)), "{found:?}");
        }
    }
}

/// F15: a date of Sigma 1 is remarked on, and the rule runs.
#[test]
fn f15_dates_with_slashes_are_remarked() {
    let dated = |date: &str| format!("{}date: {date}\n", common::documents::RULE);
    let found = said(&dated("2023/06/16"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("r.yml:15:1: `2023/06/16` has the date format"),
        "{found:?}"
    );
    let mut book = RuleBook::new();
    let update = common::add(&mut book, &dated("2023/06/16"), 0);
    assert!(update.diagnostics.iter().all(|one| !one.refused));
    assert_eq!(update.changes.len(), 1);
    assert_eq!(said(&dated("2023-06-16")), [""; 0]);
    assert_eq!(
        said(&format!("{}sigma-version: 1\n", dated("2023/06/16"))),
        [""; 0]
    );
}

/// A correlation that is as it should be.
const BASE: &str = "title: C\ncorrelation:\n  type: event_count\n  rules: [a]\n  group-by: [u]\n  \
                timespan: 5m\n  condition: {gte: 5}\n";

/// A text of the correlation above, the text that replaces it, and a part of the diagnostic.
type Case = (&'static str, &'static str, &'static str);

const CORRELATIONS: &[Case] = &[
    (
        "event_count",
        "ordered_temporal",
        "r.yml:3:3: `ordered_temporal` is not a type of correlation (write `temporal_ordered`)",
    ),
    ("event_count", "Event-Count", "(write `event_count`)"),
    (
        "event_count",
        "bruteforce",
        "(the types are event_count, value_count",
    ),
    (
        "  type: event_count\n",
        "",
        "r.yml:2:1: the correlation has no `type` (the types are",
    ),
    (
        "event_count",
        "temporal\n  ordered: true",
        "r.yml:4:3: unknown key `ordered` in a correlation (write `type: temporal_ordered`)",
    ),
    (
        "5m",
        "10",
        "r.yml:6:3: a unit is missing behind `10` (such as 10s or 10m",
    ),
    ("5m", "'10'", "a unit is missing behind `10`"),
    ("5m", "10min", "`10min` is not a usable timespan"),
    ("5m", "1.5h", "`1.5h` is not a usable timespan"),
    ("5m", "[5m]", "is not a usable timespan"),
    (
        "  timespan: 5m\n",
        "",
        "the correlation has no `timespan` (such as `timespan: 10m`)",
    ),
    ("gte: 5", "gte: 17.5", "whole numbers only"),
    ("gte: 5", "gte: '17'", "write the number without quotes"),
    (
        "  condition: {gte: 5}\n",
        "",
        "`event_count` needs a `condition` such as `gte: 10`",
    ),
    ("{gte: 5}", "many", "`condition` is not a mapping of bounds"),
    ("{gte: 5}", "{}", "`event_count` needs a `condition`"),
    ("5m", "5m\n  window: session", "windows that do not slide"),
    (
        "title: C",
        "title: C\nrsigma.window: tumbling",
        "r.yml:2:1: windows that do not slide",
    ),
    (
        "title: C",
        "title: C\nstatus: fresh",
        "r.yml:2:1: no such status",
    ),
    (
        "title: C",
        "title: C\nrelated: x",
        "r.yml:2:1: `related` is not a list",
    ),
];

/// c27: Weir's own words, with the place of the key and a hint.
#[test]
fn c27_correlations_are_refused_in_words_that_help() {
    for (from, to, expected) in CORRELATIONS.iter().copied() {
        let text = BASE.replacen(from, to, 1);
        assert_ne!(text, BASE, "{from}");
        let found = said(&text);
        assert!(
            found.iter().any(|one| one.contains(expected)),
            "{to}: {found:?}"
        );
        for word in [
            "Invalid",
            "Unknown",
            "Missing",
            "Number(",
            "correlation rule",
        ] {
            assert!(found.iter().all(|one| !one.contains(word)), "{found:?}");
        }
    }
}

/// c27: fractions bound sums, averages and percentiles, exactly, and no counts.
#[test]
fn c27_fractions_bound_values_and_no_counts() {
    for kind in ["value_avg", "value_sum", "value_median", "value_percentile"] {
        let bound = "field: n, percentile: 99.5, gte: 17.5, lt: 17.500000001";
        let bound = match kind {
            "value_percentile" => bound.to_owned(),
            _ => bound.replace("percentile: 99.5, ", ""),
        };
        let text = BASE.replace("event_count", kind).replace("gte: 5", &bound);
        assert_eq!(said(&text), [""; 0], "{kind}");
    }
    let text = BASE.replace("event_count", "value_count");
    let found = said(&text.replace("gte: 5", "field: n, gte: 17.5"));
    assert!(found[0].contains("whole numbers only"), "{found:?}");
}
