//! Impossible correlations, and events that fit none: diagnosed, counted and bounded.

mod support;

#[path = "bad_correlation/events.rs"]
mod events;
#[path = "bad_correlation/limits.rs"]
mod limits;
#[path = "bad_correlation/refusals.rs"]
mod refusals;

use std::path::PathBuf;

use serde_json::Value;
use support::files::write;
use support::http::Request;
use support::{Weir, config, until};

const MEMBERS: &str = "\
title: One
id: 00000000-0000-4000-8000-000000000001
name: one
logsource:
    product: test
detection:
    selection:
        kind: one
    condition: selection
level: low
---
title: Other
id: 00000000-0000-4000-8000-000000000002
name: other
logsource:
    product: test
detection:
    selection:
        kind: other
    condition: selection
level: low
---
title: Never one
id: 00000000-0000-4000-8000-000000000003
name: sieve
logsource:
    product: test
filter:
    rules:
        - other
    selection:
        user: root
    condition: not selection
";

/// A correlation `me` with this section, completed to an event count of `one`.
///
/// A line that begins with a dash names a key to leave out.
fn correlation(section: &str) -> String {
    let mut lines: Vec<&str> = section.lines().collect();
    for usual in [
        "type: event_count",
        "rules: [one]",
        "group-by: [user]",
        "timespan: 5m",
        "condition: {gte: 2}",
    ] {
        let key = usual.split_once(':').map_or(usual, |(key, _)| key);
        if !section
            .lines()
            .any(|line| line.trim_start_matches('-').starts_with(key))
        {
            lines.push(usual);
        }
    }
    let lines = lines.iter().filter(|line| !line.starts_with('-'));
    let lines: String = lines.map(|line| format!("    {line}\n")).collect();
    format!(
        "title: Me\nid: 00000000-0000-4000-8000-000000000009\nname: me\ncorrelation:\n{lines}level: low\n"
    )
}

/// A data folder and the configuration of a server with rules and two sources.
struct Site {
    folder: tempfile::TempDir,
    config: String,
}

impl Site {
    /// [`MEMBERS`] and these correlations; `more` is more configuration.
    fn new(correlations: &[String], more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("{MEMBERS}---\n{}", correlations.join("---\n"));
        let rules = write(folder.path(), "rules.yml", text);
        let config = config(&format!(
            "[rules]\nbuiltin = false\npaths = [{rules:?}]\n{more}\
             [[source]]\nname = \"h\"\ntransport = \"http\"\nlogsource = \"product=test\"\n\
             [[source]]\nname = \"wild\"\ntransport = \"http\"\nlogsource = \"product=test\"\n"
        ));
        Self { folder, config }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the server and waits until the rules run.
    fn start(&self) -> Weir {
        let weir = Weir::start(&self.data(), &self.config);
        until("the rules run", || {
            let rules = weir.get("/api/v1/rules").json();
            (rules["rules"].as_array()?.len() >= 4).then_some(())
        });
        weir
    }

    fn send(&self, weir: &Weir, source: &str, events: &[Value]) {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let path = format!("/api/v1/events?source={source}");
        let reply = weir.send(Request::new("POST", &path).body(lines.join("\n").as_bytes()));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// Midnight of the test's day, 2026-01-01, in seconds since 1970.
const DAY_S: i64 = 1_767_225_600;

fn time(second: i64) -> String {
    weir_web::rfc3339(weir_schema::EventTime((DAY_S + second) * 1_000_000_000))
}

/// Titles and groups of the standing alerts, once there are `count`.
fn standing(weir: &Weir, count: usize) -> Vec<String> {
    until(&format!("{count} alerts"), || {
        let listed = weir.get("/api/v1/alerts?limit=1000").json();
        let alerts = listed["alerts"].as_array().expect("a list").clone();
        let shown = |alert: &Value| format!("{} {}", alert["title"], alert["group"]);
        let mut shown: Vec<String> = alerts.iter().map(shown).collect();
        shown.sort();
        (shown.len() >= count).then_some(shown)
    })
}
