//! Robustness: no document can crash or stall the program.

mod common;

use common::documents::{COUNT, RULE, TEMPORAL, rule_with};
use proptest::prelude::*;
use serde_json::json;
use weir_detect::{RuleBook, check, rule_id, split_documents};

#[test]
fn refuse_hostile_documents_in_bounded_time_and_stack() {
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

#[test]
fn match_expressions_without_backtracking() {
    let text = rule_with("  s: {a|re: ['^(a+)+$', '(x|xx)*y', '(.*a){20}']}\n  condition: s\n");
    let mut book = RuleBook::new();
    assert_eq!(common::add(&mut book, &text, i64::MIN).diagnostics, []);
    // A backtracking engine would not finish this.
    let value = format!("{}!", "a".repeat(100_000));
    let event = common::event("-/linux/-", &json!({ "a": value }), 1);
    assert_eq!(common::detect(&book, &event).matches.len(), 1);
}

#[test]
fn split_files_at_their_separators() {
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

/// The text that replaces a character in a mutation: mostly syntax of YAML and Sigma.
const EDIT: &str = "[\\[\\]{}()|*?&:,'\"\\\\ a-z0-9\n-]{0,3}";

proptest! {
    #![proptest_config(common::proptest_config())]

    #[test]
    fn refuse_or_accept_random_text(text in "\\PC{0,200}") {
        let _ = (check(&text, "x"), rule_id(&text), split_documents(&text));
    }

    #[test]
    fn refuse_or_run_mutated_rules(
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
        let update = common::add(&mut book, &text, 0);
        let event = common::event("-/linux/-", &json!({ field: found }), 1);
        let detected = common::detect(&book, &event);
        for rule in book.rules() {
            let explanation = book.explain(&rule.id, &event).unwrap();
            let matched = detected.matches.contains(&rule.id);
            prop_assert!(explanation.matched == matched, "{text}\n{explanation:?}");
        }
        let again = common::add(&mut book, &text, 0);
        prop_assert!(again.changes.is_empty(), "{update:?}");
    }
}
