//! Tests of the comparison: which control entries and diagnostics a request leads to.

use super::*;
use crate::active::TEXTS_MAX;
use crate::origin::api_origin;

fn document(file: &str, id: &str, level: &str) -> RuleFileDocument {
    RuleFileDocument {
        origin: format!("{file}:1"),
        text: format!(
            "title: {id}\nid: {id}\nlogsource:\n  product: linux\ndetection:\n  \
             selection:\n    user: root\n  condition: selection\nlevel: {level}\n"
        ),
    }
}

fn requested(documents: &[RuleFileDocument]) -> RequestedRules {
    RequestedRules::from_documents(documents.to_vec())
}

fn short(control: &Control) -> String {
    match control {
        Control::RulePut { text, origin, .. } => {
            format!("put {} {origin}", text.lines().last().unwrap_or_default())
        }
        Control::RuleDisable { rule, .. } => format!("disable {rule}"),
        other => format!("{other:?}"),
    }
}

/// Applies a request. Returns the control entries and the diagnostics, in short.
fn apply(rules: &mut ActiveRules, requested: &RequestedRules) -> (Vec<String>, Vec<String>) {
    let changes = rules.changes(requested, EventTime(5), EventTime(9));
    // A restart reads the same entries from the journal and must derive the same rules.
    let mut replayed = RuleBook::default();
    replayed.clone_from(&rules.book);
    for control in &changes.controls {
        replayed.apply(control);
    }
    assert_eq!(replayed.rules(), changes.book.rules());
    let written = changes.controls.iter().map(short).collect();
    let diagnostics = changes
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect();
    rules.adopt(changes);
    (written, diagnostics)
}

fn written(rules: &mut ActiveRules, documents: &[RuleFileDocument]) -> Vec<String> {
    let (written, diagnostics) = apply(rules, &requested(documents));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    written
}

#[test]
fn only_changed_rules_are_written() {
    let mut rules = ActiveRules::default();
    let (one, two) = (
        document("a.yml", "one", "low"),
        document("b.yml", "two", "low"),
    );
    let both = [one.clone(), two.clone()];
    let first = ["put level: low a.yml:1", "put level: low b.yml:1"];
    assert_eq!(written(&mut rules, &both), first);
    assert!(written(&mut rules, &both).is_empty());
    let edited = [document("a.yml", "one", "high"), two.clone()];
    assert_eq!(written(&mut rules, &edited), ["put level: high a.yml:1"]);
    // A return to an earlier text is a change too.
    assert_eq!(written(&mut rules, &both), ["put level: low a.yml:1"]);
    assert_eq!(written(&mut rules, &both[..1]), ["disable two"]);
    // A rule that moves to another file stays the same rule.
    let moved = [document("c.yml", "one", "low"), two];
    assert_eq!(written(&mut rules, &moved), ["put level: low b.yml:1"]);
    assert!(rules.current["one"].origin == "c.yml:1");
}

#[test]
fn a_bad_version_keeps_the_previous_one_active_and_is_reported_until_fixed() {
    let mut rules = ActiveRules::default();
    let (good, other) = (
        document("a.yml", "one", "low"),
        document("b.yml", "two", "low"),
    );
    written(&mut rules, &[good.clone(), other.clone()]);
    let bad = document("a.yml", "one", "loud");
    let torn = RuleFileDocument {
        text: "title: [\n".to_owned(),
        ..bad.clone()
    };
    for bad in [bad, torn] {
        let (written, diagnostics) = apply(&mut rules, &requested(&[bad.clone(), other.clone()]));
        assert!(written.is_empty(), "{written:?}");
        assert!(
            diagnostics.len() == 1 && diagnostics[0].starts_with("a.yml:1"),
            "{diagnostics:?}"
        );
        let (_, diagnostics) = apply(&mut rules, &requested(&[bad, other.clone()]));
        assert_eq!(diagnostics.len(), 1);
    }
    assert!(written(&mut rules, &[good, other]).is_empty());
}

#[test]
fn rules_of_unreadable_files_stay_active() {
    let mut rules = ActiveRules::default();
    let documents = [
        document("r/a.yml", "one", "low"),
        document("r/s/b.yml", "two", "low"),
        document("q/c.yml", "three", "low"),
    ];
    written(&mut rules, &documents);
    let gone = RequestedRules {
        unreadable: vec!["r/s".into()],
        ..RequestedRules::default()
    };
    let (written, _) = apply(&mut rules, &gone);
    assert_eq!(written, ["disable one", "disable three"]);
}

#[test]
fn a_correlation_without_its_member_is_reported_until_the_member_exists() {
    let mut rules = ActiveRules::default();
    let many = RuleFileDocument {
        origin: "a.yml:1".to_owned(),
        text: "title: many\nid: many\ncorrelation:\n  type: event_count\n  rules:\n    - one\n  \
               group-by:\n    - host\n  timespan: 1m\n  condition:\n    gte: 2\n"
            .to_owned(),
    };
    let one = document("b.yml", "one", "low");
    let (put, diagnostics) = apply(&mut rules, &requested(std::slice::from_ref(&many)));
    assert_eq!((put.len(), diagnostics.len()), (1, 1), "{diagnostics:?}");
    let (_, diagnostics) = apply(&mut rules, &requested(std::slice::from_ref(&many)));
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(written(&mut rules, &[many.clone(), one]).len(), 1);
    let (written, diagnostics) = apply(&mut rules, &requested(&[many]));
    assert_eq!(
        (written, diagnostics.len()),
        (vec!["disable one".to_owned()], 1)
    );
}

#[test]
fn manual_edits_outlive_restarts_and_file_edits() {
    let mut rules = ActiveRules::default();
    let file = document("a.yml", "one", "low");
    let by_hand = document("api", "one", "high");
    let by_hand = RuleFileDocument {
        origin: api_origin("a ticket"),
        ..by_hand
    };
    written(&mut rules, std::slice::from_ref(&file));
    rules.follow(&by_hand.control(EventTime(9)));
    assert!(written(&mut rules, &[]).is_empty());
    let (put_again, diagnostics) = apply(&mut rules, &requested(std::slice::from_ref(&file)));
    assert!(
        put_again.is_empty() && diagnostics.len() == 1,
        "{diagnostics:?}"
    );
    rules.follow(&Control::RuleDisable {
        rule: "one".to_owned(),
        until: EventTime(9),
    });
    for level in ["low", "critical"] {
        let file = document("a.yml", "one", level);
        let (put_again, diagnostics) = apply(&mut rules, &requested(&[file]));
        assert!(
            put_again.is_empty() && diagnostics.len() == 1,
            "{diagnostics:?}"
        );
    }
    rules.follow(&file.control(EventTime(9)));
    assert!(written(&mut rules, std::slice::from_ref(&file)).is_empty());
    // A file does not bring back a rule that a person removed.
    rules.follow(&Control::RuleRemove {
        rule: "one".to_owned(),
    });
    let (put_again, diagnostics) = apply(&mut rules, &requested(&[file]));
    assert!(
        put_again.is_empty() && diagnostics.len() == 1,
        "{diagnostics:?}"
    );
}

#[test]
fn only_the_latest_texts_of_an_often_edited_rule_are_stored() {
    let mut rules = ActiveRules::default();
    let file = document("a.yml", "one", "low");
    written(&mut rules, std::slice::from_ref(&file));
    for at in 0..TEXTS_MAX + 10 {
        let edited = RuleFileDocument {
            text: format!("{}author: {at}\n", file.text),
            ..file.clone()
        };
        assert_eq!(written(&mut rules, &[edited]).len(), 1);
        assert!(rules.texts.len() <= TEXTS_MAX && rules.ids.len() <= TEXTS_MAX);
    }
    let current = rules.current["one"].version;
    assert!(rules.texts.contains_key(&("one".to_owned(), current)));
    // The first text again, which is no longer stored.
    assert_eq!(written(&mut rules, std::slice::from_ref(&file)).len(), 1);
    rules.follow(&Control::RuleRemove {
        rule: "one".to_owned(),
    });
    assert!(rules.texts.is_empty() && rules.ids.is_empty() && rules.order.is_empty());
}

#[test]
fn a_rule_that_is_added_and_stopped_too_often_is_refused() {
    let mut rules = ActiveRules::default();
    let here = [document("a.yml", "one", "low")];
    let mut at = 0;
    let mut look = |rules: &mut ActiveRules, documents: &[RuleFileDocument]| {
        at += 10;
        let until = EventTime(at + 5);
        let changes = rules.changes(&requested(documents), EventTime(at), until);
        let counts = (changes.controls.len(), changes.diagnostics.len());
        rules.adopt(changes);
        counts
    };
    for _ in 0..weir_detect::VERSIONS_MAX {
        assert_eq!(look(&mut rules, &here), (1, 0));
        assert_eq!(look(&mut rules, &[]), (1, 0));
    }
    // The diagnostic stays for as long as the file is there.
    for _ in 0..2 {
        assert_eq!(look(&mut rules, &here), (0, 1));
    }
    // An entry of the journal that the rules refuse does not make the rule active either.
    rules.follow(&here[0].control(EventTime(at + 1_000)));
    assert!(rules.current.is_empty());
}
