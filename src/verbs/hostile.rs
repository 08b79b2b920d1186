//! Hostile text of logs and rules in the output of every verb that prints it.

use serde_json::json;
use weir_detect::Diagnostic;
use weir_schema::is_hidden_char;

use crate::text::{printable_json, printable_lines};
use crate::verbs::{diagnostics, explain, sinks, top, what_if};

/// A value that fakes a line, reorders text, and hides letters.
const HOSTILE: &str = "x\n+ raised critical FAKE\r\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2066}\u{200b}\
    \u{2028}\u{feff}\u{e0041}] [user=\"root\"";

/// The lines of a text, none of which is hostile.
fn assert_safe(verb: &str, text: &str) {
    let hidden = text.chars().find(|c| *c != '\n' && is_hidden_char(*c));
    assert_eq!(hidden, None, "{verb}: {text:?}");
    for line in text.lines() {
        assert!(!line.starts_with("+ raised critical"), "{verb}: {text}");
    }
}

#[test]
fn no_verb_prints_hidden_characters_or_faked_lines() {
    let h = HOSTILE;
    let side = json!({ "count": 1, "first": h, "last": h });
    let row = json!({ "kind": "gained", "level": h, "title": h, "group": { h: h }, "tried": side });
    let tried = json!({ "id": h, "state": h, "changes": [{ "change": h, "rule": h }] });
    let alert = json!({ "alert": h, "title": h, "level": h, "group": { h: h }, "rule": h });
    let event =
        json!({ "time": h, "source": h, "received": h, "clauses": [{ "clause": h, "value": h }] });
    let explained = json!({ "alert": alert, "events": [event], "condition": h });
    let changes = json!([{ "change": h, "state": h, "cause": { "kind": h, "time": h } }]);
    let sink = json!({ "name": h, "type": h, "target": h, "stopped": h, "last_failure": h });
    let diagnostic = Diagnostic {
        origin: h.to_owned(),
        line: None,
        column: None,
        message: h.to_owned(),
        hint: Some(h.to_owned()),
        refused: true,
    };
    for (verb, text) in [
        ("explain", explain::explanation_text(&explained, &changes)),
        (
            "what-if",
            what_if::print::difference(&json!({ "what_if": tried, "alerts": [row] })),
        ),
        (
            "what-if --list",
            what_if::print::table(&json!({ "what_ifs": [tried] })),
        ),
        ("top", {
            let source = json!({ "tenant": h, "source": h, "samples": [h, h, h, h] });
            let mut text = String::new();
            top::unread::write(&json!({ "sources": [source] }), &mut text);
            text
        }),
        ("sinks list", sinks::list(&json!({ "sinks": [sink] }))),
        (
            "sinks dead",
            sinks::dead(&json!({ "dead": [{ "alert": h, "reason": h }] })),
        ),
        (
            "rules lint, check, tap",
            diagnostics::diagnostic_line(&diagnostic),
        ),
        (
            "replay, tap, --json",
            printable_json(&json!({ h: h }).to_string()).into_owned(),
        ),
    ] {
        assert_safe(verb, &text);
    }
    // Everything else that a verb prints passes through this in `console` and the printer.
    assert!(!printable_lines(h).contains(|c| c != '\n' && is_hidden_char(c)));
}
