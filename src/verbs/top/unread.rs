//! The part of `weir top` about events that no reader knows.

use std::fmt::Write as _;

use serde_json::Value;

use crate::text::printable;
use crate::verbs::client::ApiClient;

use super::{fitted, number, span};

/// Most sources with samples: each takes up to four lines of the page.
const SOURCES_MAX: usize = 5;

/// Longest sample in characters, so that a line of a page holds it.
const SAMPLE_CHARS_MAX: usize = 100;

/// The sources that the server lists as unread. Empty if it cannot say.
pub fn read(client: &ApiClient) -> Value {
    let answer = client.get("/api/v1/sources/unread");
    let body = answer.ok().filter(|answer| answer.status == 200);
    let body = body.and_then(|answer| serde_json::from_slice(&answer.body).ok());
    body.unwrap_or_default()
}

/// Writes a table of sources with unread events, and quotes some of these. `unread` is an answer of
/// the API, whose texts are untrusted.
pub fn write(unread: &Value, text: &mut String) {
    let sources = unread["sources"].as_array().map_or(&[][..], Vec::as_slice);
    if sources.is_empty() {
        return;
    }
    let window = format!(
        "IN {}",
        span(unread["window_seconds"].as_f64().unwrap_or(0.0))
    );
    let _ = writeln!(
        text,
        "\n{:<44} {:>9} {:>12} {:>9}",
        "UNREAD SOURCE", "SHARE", "EVENTS", window
    );
    for source in sources.iter().take(SOURCES_MAX) {
        let word = |name: &str| source[name].as_str().unwrap_or_default();
        let count = |name: &str| source[name].as_f64().unwrap_or(0.0);
        let share = 100.0 * count("unread") / count("events").max(1.0);
        let mark = match source["alerting"].as_bool() {
            Some(true) => "alert",
            _ => "",
        };
        let name = fitted(&format!("{} {}", word("tenant"), word("source")), 44);
        let (share, events) = (format!("{share:.1}%"), number(count("events")));
        let _ = writeln!(text, "{name:<44} {share:>9} {events:>12} {mark:>9}");
        for sample in source["samples"].as_array().into_iter().flatten().take(3) {
            let sample = fitted(sample.as_str().unwrap_or_default(), SAMPLE_CHARS_MAX);
            let _ = writeln!(text, "    {}", printable(&sample));
        }
    }
    if sources.len() > SOURCES_MAX {
        let _ = writeln!(text, "... and {} more", sources.len() - SOURCES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unread_sources_show_their_share_and_samples() {
        let unread = json!({ "window_seconds": 3_600, "sources": [
            { "tenant": "default", "source": "web1", "events": 1_000, "unread": 340,
              "alerting": true, "samples": ["job 1 done", "x"] },
        ]});
        let mut text = String::new();
        write(&unread, &mut text);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert!(lines[0].ends_with("IN 60m"), "{text}");
        assert!(lines[1].starts_with("default web1 "), "{text}");
        assert!(lines[1].ends_with("34.0%         1000     alert"), "{text}");
        assert_eq!(lines[2..], ["    job 1 done", "    x"]);
    }

    #[test]
    fn hostile_answers_are_escaped_and_bounded() {
        let hostile = "\u{1b}[2J\u{202e}\n".repeat(1_000);
        let source = json!({ "tenant": hostile, "source": hostile, "samples": vec![hostile; 9] });
        let unread = json!({ "sources": vec![source; 100] });
        let mut text = String::new();
        write(&unread, &mut text);
        let hidden = |c: char| c != '\n' && weir_schema::is_hidden_char(c);
        assert!(!text.contains(hidden), "{text:?}");
        assert_eq!(text.lines().count(), 2 + 4 * SOURCES_MAX + 1);
        assert!(
            text.lines().all(|line| line.chars().count() < 120),
            "{text}"
        );
        for other in [Value::Null, json!([]), json!({ "sources": 5 })] {
            let mut text = String::new();
            write(&other, &mut text);
            assert_eq!(text, "");
        }
    }
}
