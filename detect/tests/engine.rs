//! The engine finds what the plain loops find: for any rules and events, in any order, after edits.

mod common;

use std::borrow::Cow;
use std::fmt::Write;

use proptest::prelude::*;
use proptest::sample::select;
use weir_detect::{Detections, Detector, Placeholders, RuleBook, Settings};
use weir_schema::{Control, Event, EventTime, LogSource, Value};

/// Names of fields. They are few, so rules share them. Mappings rename one and route by two.
const FIELDS: [&str; 7] = [
    "f",
    "g",
    "h",
    "message",
    "Channel",
    "EventID",
    "NewProcessName",
];

/// One clause as YAML, `field|modifiers: [values]`.
fn clause() -> impl Strategy<Value = String> {
    let text = "[abAB*?äK.-]{1,6}";
    let texts = proptest::collection::vec(text, 1..4);
    let field = select(vec!["f", "g", "h", "message", "Image", "EventID"]);
    let modifiers = select(vec![
        "",
        "|contains",
        "|contains",
        "|contains",
        "|startswith",
        "|endswith",
        "|contains|all",
        "|cased",
        "|contains|cased",
        "|windash|contains",
        "|neq",
        "|endswith|neq",
        "|base64offset|contains",
        "|wide|base64offset|contains",
    ]);
    let texts = (field.clone(), modifiers, texts).prop_map(|(field, modifiers, texts)| {
        let plain = modifiers.contains("base64") || modifiers.contains("wide");
        let texts = texts.iter().map(|text| match plain {
            true => text.replace(['*', '?'], "a"),
            false => text.clone(),
        });
        let texts: Vec<String> = texts.map(|text| format!("'{text}'")).collect();
        format!("{field}{modifiers}: [{}]", texts.join(", "))
    });
    let others = (
        field,
        select(vec![
            ": null",
            ": 4688",
            ": [1, 12]",
            "|gte: 2",
            "|lt: 3.5",
            "|exists: true",
            "|exists: false",
            "|re: 'ab+c?'",
            "|re|i: '(ab|bab)a.*b'",
            "|re: '[aä]bab'",
            "|cidr: ['10.0.0.0/8', '::/16']",
            "|fieldref: g",
            "|fieldref|endswith: h",
            ": ''",
            "|contains: \"a\\nb\"",
            ": '*'",
        ]),
    );
    prop_oneof![3 => texts, 1 => others.prop_map(|(field, rest)| format!("{field}{rest}"))]
}

/// A selection as YAML: a map, a list of maps, or keywords.
fn selection() -> impl Strategy<Value = String> {
    let clauses = || proptest::collection::vec(clause(), 1..3);
    let keywords = proptest::collection::vec("[abAB*ä]{1,4}", 1..3);
    prop_oneof![
        4 => clauses().prop_map(|clauses| map(&clauses, "    ")),
        1 => proptest::collection::vec(clauses(), 1..3).prop_map(|maps| {
            let maps = maps.iter().map(|clauses| {
                let text = map(clauses, "      ");
                format!("    - {}", text.trim_start())
            });
            maps.collect::<String>()
        }),
        1 => (keywords, any::<bool>()).prop_map(|(words, all)| {
            let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            let words = words.join(", ");
            match all {
                true => format!("    '|all': [{words}]\n"),
                false => format!("    - {}\n", words.replace(", ", "\n    - ")),
            }
        }),
    ]
}

/// The clauses of one map. A clause with a key that is already used is left out.
fn map(clauses: &[String], indent: &str) -> String {
    let mut keys: Vec<&str> = Vec::new();
    let mut out = String::new();
    for clause in clauses {
        let key = clause.split(": ").next().unwrap_or_default();
        if !keys.contains(&key) {
            keys.push(key);
            let _ = writeln!(out, "{indent}{clause}");
        }
    }
    out
}

fn rule() -> impl Strategy<Value = String> {
    let logsource = select(vec![
        "{}",
        "{product: windows}",
        "{product: linux}",
        "{service: sshd}",
        "{category: process_creation, product: windows}",
        "{category: process_creation}",
        "{product: windows, service: security}",
        "{category: registry_set, product: windows}",
        "{category: process_creation, product: windows, service: security}",
    ]);
    let condition = select(vec![
        "a",
        "a and b",
        "a or b",
        "a and not b",
        "not a",
        "not (a and b)",
        "1 of them",
        "all of them",
        "2 of them",
        "a or not b and c",
        "not 1 of them",
        "a and b and not c",
    ]);
    (logsource, selection(), selection(), selection(), condition).prop_map(
        |(logsource, a, b, c, condition)| {
            format!(
                "logsource: {logsource}\ndetection:\n  a:\n{a}  b:\n{b}  c:\n{c}  condition: {condition}\n"
            )
        },
    )
}

fn value() -> impl Strategy<Value = Value<'static>> {
    let text = prop_oneof![
        6 => "[abAB.-]{0,8}",
        2 => "[abABäKſ.–/-]{0,8}",
        1 => proptest::collection::vec("[ab\n]{0,12}", 90..140).prop_map(|parts| parts.concat()),
        1 => select(vec!["10.1.2.3", "::1", "12", "3.5", "4688", "cwB0", "a\nb", "Security",
            "Microsoft-Windows-Sysmon/Operational", "\u{0}x"]).prop_map(str::to_owned),
    ];
    let single = prop_oneof![
        8 => text.prop_map(|text| Value::Text(Cow::Owned(text))),
        2 => select(vec![1i64, 2, 12, 13, 4688, -3]).prop_map(Value::Int),
        1 => select(vec!["3.5", "2e3", "12.0"]).prop_map(|n| Value::Number(Cow::Borrowed(n))),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
    ];
    let list = proptest::collection::vec(single.clone(), 0..3).prop_map(Value::List);
    prop_oneof![8 => single, 1 => list]
}

fn event() -> impl Strategy<Value = Event<'static>> {
    let word = |words: Vec<Option<&'static str>>| select(words).prop_map(|w| w.map(str::to_owned));
    let logsource = (
        word(vec![None, Some("windows"), Some("linux")]),
        word(vec![None, None, Some("sshd")]),
    );
    let channel = select(vec![
        "Security",
        "Microsoft-Windows-Sysmon/Operational",
        "a",
    ]);
    let id = select(vec![1i64, 12, 13, 4688]);
    let fields = proptest::collection::btree_map(select(FIELDS.to_vec()), value(), 0..7);
    let routed = proptest::option::weighted(0.6, (channel, id));
    (logsource, fields, routed, "[abAB ]{0,9}").prop_map(
        |((product, service), mut fields, routed, message)| {
            if let Some((channel, id)) = routed {
                fields.insert("Channel", Value::Text(Cow::Borrowed(channel)));
                fields.insert("EventID", Value::Int(id));
            }
            Event {
                time: EventTime(5),
                stated: None,
                logsource: LogSource {
                    category: None,
                    product,
                    service,
                },
                fields: fields
                    .into_iter()
                    .map(|(n, v)| (Cow::Borrowed(n), v))
                    .collect(),
                message: Cow::Owned(message),
                problems: Vec::new(),
                weight: weir_schema::Weight::ONE,
            }
        },
    )
}

/// Adds the rule. Returns false if it is refused.
fn add(book: &mut RuleBook, at: usize, rule: &str) -> bool {
    let text = format!("title: r{at}\nid: r{at}\n{rule}");
    let update = book.apply(&Control::RulePut {
        text,
        origin: "test".to_owned(),
        since: EventTime::MIN,
    });
    !update.diagnostics.iter().any(|found| found.refused)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_engine_finds_what_the_plain_loops_find(
        rules in proptest::collection::vec(rule(), 1..12),
        events in proptest::collection::vec(event(), 1..12),
        edit in rule(),
    ) {
        let mut book = RuleBook::new();
        let mut detector = Detector::new();
        let (mut plain, mut fast) = (Detections::default(), Detections::default());
        for (at, rule) in rules.iter().enumerate() {
            add(&mut book, at, rule);
        }
        // Each event runs twice, to use the memos, and then under other rules.
        for round in 0..3 {
            if round == 2 {
                add(&mut book, 0, &edit);
            }
            for event in &events {
                book.detect(event, common::TENANT, None, &mut plain);
                detector.detect(&book, event, common::TENANT, None, &mut fast);
                prop_assert_eq!(&plain.matches, &fast.matches, "{:?}", event);
                prop_assert_eq!(&plain.facts, &fast.facts, "{:?}", event);
                prop_assert_eq!(plain.ungrouped, fast.ungrouped);
            }
        }
    }
}

/// The generated cases are useful: most rules are accepted, and enough events match.
#[test]
fn generated_cases_match_often_enough() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut accepted, mut matched, mut events) = (0, 0, 0);
    for _ in 0..400 {
        let rule = rule().new_tree(&mut runner).expect("a rule").current();
        let mut book = RuleBook::new();
        if !add(&mut book, 0, &rule) {
            continue;
        }
        accepted += 1;
        for _ in 0..5 {
            let event = event().new_tree(&mut runner).expect("an event").current();
            let mut found = Detections::default();
            book.detect(&event, common::TENANT, None, &mut found);
            events += 1;
            matched += found.matches.len();
        }
    }
    println!("{accepted} of 400 rules accepted; {matched} of {events} events matched");
    assert!(accepted > 320, "{accepted} of 400 rules accepted");
    // A tenth on the average; a few rules that match nearly all events make it vary by half.
    assert!(
        matched * 20 > events,
        "{matched} of {events} events matched"
    );
}

/// Clauses that each test one shortcut of the engine, with values. `deep` and `ends` are long texts
/// with the needle in the middle and at both ends.
fn shortcut_cases<'a>(deep: &'a str, ends: &'a str) -> Vec<(&'static str, Vec<&'a str>)> {
    vec![
        (
            "f|startswith: needle",
            vec![deep, ends, "needle", "a needle"],
        ),
        (
            "f|endswith: needle",
            vec![deep, ends, "needles", "a needle"],
        ),
        ("f|contains: needle", vec![deep, ends]),
        ("f|contains: \"needle\\nnothing\"", vec![deep, ends]),
        ("f: 'x*needle*y'", vec![deep, ends]),
        ("f|re: 'needle\\n'", vec![deep, ends]),
        (
            "f|re|i: 'bask'",
            vec!["ba\u{17f}k", "BAS\u{212a}", "bask", "basque"],
        ),
        ("f|contains: 'bäsk'", vec!["BÄSK", "ba\u{308}sk", "bask"]),
        (
            "f|contains: '\u{212a}elvin'",
            vec!["kelvin", "KELVIN", "\u{212a}elvin"],
        ),
        ("f|contains|cased: Needle", vec!["a needle", "a Needle"]),
        (
            "f|windash|contains: ' -x -y'",
            vec!["a -x /y", "a /X \u{2013}Y", "a \u{2015}x -y b", "bask -xy"],
        ),
        (
            "f|windash|startswith: '-x'",
            vec!["/x b", "\u{2014}x", "bask-x"],
        ),
        ("f|windash: '-x-'", vec!["/x/", "-X\u{2013}", "bask -x-"]),
        // A number and a text that are written alike are different tests.
        ("f: 12", vec!["12", "12.0"]),
        ("f: '12'", vec!["12"]),
    ]
}

#[test]
fn shortcuts_do_not_change_matches() {
    let lines = |first: &str, middle: &str, last: &str| {
        let filler = "nothing of note in this line\n".repeat(60);
        format!("{first}\n{filler}{middle}\n{filler}{last}")
    };
    let (deep, ends) = (lines("x", "needle", "y"), lines("needle", "x", "needle"));
    let cases = shortcut_cases(&deep, &ends);
    let mut book = RuleBook::new();
    for (at, (clause, _)) in cases.iter().enumerate() {
        let rule = format!("logsource: {{}}\ndetection:\n  a:\n    {clause}\n  condition: a\n");
        assert!(add(&mut book, at, &rule), "{clause}");
    }
    let mut detector = Detector::new();
    let (mut plain, mut fast) = (Detections::default(), Detections::default());
    // Each value runs twice, to use the memos.
    for value in cases.iter().chain(&cases).flat_map(|(_, values)| values) {
        let event = Event {
            time: EventTime(5),
            stated: None,
            logsource: LogSource::default(),
            fields: vec![(Cow::Borrowed("f"), Value::Text(Cow::Borrowed(*value)))],
            message: Cow::Borrowed(""),
            problems: Vec::new(),
            weight: weir_schema::Weight::ONE,
        };
        book.detect(&event, common::TENANT, None, &mut plain);
        detector.detect(&book, &event, common::TENANT, None, &mut fast);
        assert_eq!(
            plain.matches,
            fast.matches,
            "{}",
            &value[..value.len().min(40)]
        );
        assert!(
            !plain.matches.is_empty() || value.starts_with("bas") || value.starts_with("ba\u{308}")
        );
    }
}

/// The mappings change for a detector that has already seen the event. The message stands for the
/// field that the source calls `message`, not for the one that the rule calls so.
#[test]
fn the_engine_follows_changed_mappings() {
    let mut book = RuleBook::new();
    let mut detector = Detector::new();
    for (at, field) in ["Text", "message"].into_iter().enumerate() {
        let rule = format!(
            "logsource: {{category: mapped}}\ndetection:\n  a:\n    {field}: hello\n  condition: a\n"
        );
        assert!(add(&mut book, at, &rule), "{field}");
    }
    let event = Event {
        time: EventTime(5),
        stated: None,
        logsource: LogSource::default(),
        fields: vec![(Cow::Borrowed("EventID"), Value::Text(Cow::Borrowed("1.0")))],
        message: Cow::Borrowed("hello"),
        problems: Vec::new(),
        weight: weir_schema::Weight::ONE,
    };
    let entry = |id: &str, fields: &str| {
        format!(
            "sources:\n  - {{category: mapped, where: {{EventID: {id}}}, fields: {{{fields}}}}}\n"
        )
    };
    let steps: [(Vec<String>, &[&str]); 5] = [
        (vec![], &[]),
        (vec![entry("1", "")], &["r1"]),
        (vec![entry("1", "Text: message")], &["r0", "r1"]),
        (vec![entry("1", "Text: message, message: Words")], &["r0"]),
        (vec![entry("1", ""), entry("'1'", "Text: message")], &["r1"]),
    ];
    for (log_sources, expected) in steps {
        let settings = Settings {
            placeholders: Placeholders::default(),
            log_sources,
        };
        let update = book.apply(&Control::Settings {
            text: settings.text().expect("the settings are valid"),
            since: EventTime::MIN,
        });
        assert_eq!(update.diagnostics, Vec::new());
        let (mut plain, mut fast) = (Detections::default(), Detections::default());
        book.detect(&event, common::TENANT, None, &mut plain);
        detector.detect(&book, &event, common::TENANT, None, &mut fast);
        let names: Vec<&str> = fast.matches.iter().map(|rule| &**rule).collect();
        assert_eq!(names, expected, "{settings:?}");
        assert_eq!(plain.matches, fast.matches, "{settings:?}");
    }
}
