//! Explanations: the clauses with field, value and pattern, the ones that failed, and the reading of
//! the log source that the event met or missed.

mod common;

use common::{add, event};
use serde_json::json;
use weir_detect::{ClauseExplanation, RuleBook};

const RULE: &str = "title: T\nid: t\nlogsource: {category: process_creation, product: windows}\n\
    detection:\n  sel:\n    Image|endswith: [\\cmd.exe, \\sh.exe]\n    \
    CommandLine|contains|all: [a, b]\n  kw: [evil, bad]\n  other:\n    User: [x, y]\n  \
    condition: sel and kw and not other\n";

fn line(clause: &ClauseExplanation) -> String {
    format!(
        "{}.{}{} {:?} met {:?}",
        clause.identifier,
        clause.field.as_deref().unwrap_or("keywords"),
        clause
            .source_field
            .as_ref()
            .map_or(String::new(), |name| format!(" ({name})")),
        clause.value.as_deref().unwrap_or("-"),
        clause.hits,
    )
}

/// Fields of an event, whether the rule matches, and the decisive clauses.
type Case = (serde_json::Value, bool, Vec<&'static str>);

fn cases() -> Vec<Case> {
    let sysmon = json!({"Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 1,
        "Image": "C:\\cmd.exe", "CommandLine": "a b evil", "User": "z"});
    let with = |key: &str, value: serde_json::Value| {
        let mut event = sysmon.clone();
        event[key] = value;
        event
    };
    let security = json!({"Channel": "Security", "EventID": 4688,
        "NewProcessName": "C:\\sh.exe", "CommandLine": "ab bad"});
    vec![
        (
            sysmon.clone(),
            true,
            vec![
                "logsource.product \"windows\" met [\"windows\"]",
                "logsource.Channel \"Microsoft-Windows-Sysmon/Operational\" met \
                 [\"Microsoft-Windows-Sysmon/Operational\"]",
                "logsource.EventID \"1\" met [\"1\"]",
                "kw.keywords \"CommandLine: a b evil\" met [\"evil\"]",
                "other.User \"z\" met []",
                "sel.Image \"C:\\\\cmd.exe\" met [\"\\\\cmd.exe\"]",
                "sel.CommandLine \"a b evil\" met [\"a\", \"b\"]",
            ],
        ),
        (
            with("User", json!("Y")),
            false,
            vec!["other.User \"Y\" met [\"y\"]"],
        ),
        (
            with("CommandLine", json!("b evil")),
            false,
            vec!["sel.CommandLine \"b evil\" met [\"b\"]"],
        ),
        (
            security,
            true,
            vec![
                "logsource.product \"windows\" met [\"windows\"]",
                "logsource.Channel \"Security\" met [\"Security\"]",
                "logsource.EventID \"4688\" met [\"4688\"]",
                "kw.keywords \"CommandLine: ab bad\" met [\"bad\"]",
                "other.User \"-\" met []",
                "sel.Image (NewProcessName) \"C:\\\\sh.exe\" met [\"\\\\sh.exe\"]",
                "sel.CommandLine \"ab bad\" met [\"a\", \"b\"]",
            ],
        ),
        (
            with("EventID", json!(2)),
            false,
            vec![
                "logsource 1.category \"-\" met []",
                "logsource 2.EventID \"2\" met []",
                "logsource 3.Channel \"Microsoft-Windows-Sysmon/Operational\" met []",
                "logsource 3.EventID \"2\" met []",
            ],
        ),
    ]
}

#[test]
fn explanations_name_the_decisive_clauses() {
    let mut book = RuleBook::new();
    assert_eq!(add(&mut book, RULE, i64::MIN).diagnostics, []);
    for (fields, matched, expected) in cases() {
        let event = event("-/windows/-", &fields, 1);
        let explanation = book.explain("t", &event).unwrap();
        let found: Vec<String> = explanation.decisive().map(line).collect();
        assert_eq!(
            (explanation.matched, found.as_slice()),
            (
                matched,
                expected
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .as_slice()
            ),
            "{fields}"
        );
    }
}
