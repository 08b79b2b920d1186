//! `weir tap` and `weir top` beside a running server, and over files.

mod support;

use std::process::{Child, Stdio};

use serde_json::Value;
use support::command::{Finished, finish, run, weir};
use support::{Weir, config, until};

/// A line that raises an alert of the built-in rule about maintenance without a ticket.
const SUDO: &str = "<86>1 2026-01-01T10:00:00Z db7 sudo - - - alice : TTY=pts/0 ; PWD=/ ; \
                    USER=root ; COMMAND=/usr/bin/systemctl stop billing\n";

/// Rows of a tap, and the entry with which it ended.
struct TapOutput {
    rows: Vec<Value>,
    end: Value,
}

impl From<Finished> for TapOutput {
    fn from(tap: Finished) -> Self {
        tap.assert_success();
        let mut rows = tap.json_lines();
        let end = rows.pop().expect("the last row")["end"].take();
        Self { rows, end }
    }
}

/// A tap that runs beside a server.
struct Tap(Child);

impl Tap {
    /// Starts the tap and waits until the server has opened it as its `nth`.
    fn open(server: &Weir, nth: u64, args: &[&str]) -> Self {
        let mut tap = weir(["tap", "--seconds", "50"]);
        tap.args(args).args(server.client_options());
        let tap = tap.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let tap = tap.expect("the binary can be started");
        server.await_metric("weir_http_requests_total", "/api/v1/tap", nth);
        Self(tap)
    }

    fn finish(self) -> TapOutput {
        let output = self.0.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("it is text");
        let finished = Finished {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        finished.into()
    }
}

#[test]
fn every_stage_of_a_server_can_be_tapped() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Weir::start(&folder.path().join("data"), &config(""));
    let frames = ["--stage", "frames", "--text", "billing", "--limit", "1"];
    let frames = Tap::open(&server, 1, &frames);
    let events = Tap::open(&server, 2, &["--field", "user=alice", "--limit", "1"]);
    let facts = Tap::open(&server, 3, &["--stage", "facts", "--limit", "1"]);
    let alerts = ["--stage", "alerts", "--field", "user=alice", "--limit", "1"];
    let alerts = Tap::open(&server, 4, &alerts);
    // A fifth tap is one more than the server allows.
    let fifth = server.run(&["tap"]);
    assert_eq!(fifth.code, Some(69), "{fifth:?}");

    server.send_tcp(b"<13>1 2026-01-01T09:59:59Z db7 cron - - - nothing of note\n");
    server.send_tcp(SUDO.as_bytes());

    let TapOutput { rows, end } = frames.finish();
    assert_eq!(rows[0]["text"], SUDO.trim_end());
    assert_eq!(rows[0]["transport"], "tcp");
    assert_eq!(rows[0]["source"], "tcp:127.0.0.1");
    assert_eq!((&end["rows"], &end["limited"]), (&1.into(), &true.into()));
    assert_eq!(end["left_out"], 0, "{end}");
    let event = events.finish().rows[0]["event"].to_string();
    assert!(event.contains("systemctl stop billing"), "{event}");
    assert_eq!(facts.finish().rows[0]["group"]["user"], "alice");
    let title = "Maintenance as root without a change ticket";
    assert_eq!(alerts.finish().rows[0]["title"], title);

    // The four places are free again. A tap without rows ends after its time.
    let TapOutput { rows, end } = server.run(&["tap", "--seconds", "1"]).into();
    assert!(rows.is_empty() && end["limited"] == false, "{end}");
    assert_top(&server);
    server.stop();
}

/// `weir top --once` prints a screen of plain text.
fn assert_top(server: &Weir) {
    let top = server.run(&["top", "--once", "--interval", "1"]);
    top.assert_success();
    for part in [
        "default tcp:127.0.0.1",
        "rules matched",
        "CHANGES/S",
        "weir: ",
    ] {
        assert!(top.out.contains(part), "{part}: {top:?}");
    }
    assert!(
        !top.out.contains('\x1b'),
        "no terminal, but escapes: {top:?}"
    );
}

#[test]
fn files_are_tapped_without_a_server() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let bad = "no syslog at all";
    let lines = format!("{SUDO}{bad}\n{}", SUDO.replace("alice", "bob"));
    std::fs::write(file.path(), lines).expect("it can be written");
    let file = file.path().display().to_string();
    let tap = |args: &[&str]| -> TapOutput { finish(weir(["tap", &file]).args(args)).into() };
    let all = tap(&[]);
    assert_eq!((all.rows.len(), &all.end["looked_at"]), (3, &3.into()));
    assert_eq!(tap(&["--field", "user=bob"]).rows.len(), 1);
    let broken = tap(&["--stage", "frames", "--problem"]).rows;
    assert_eq!((broken.len(), &broken[0]["text"]), (1, &bad.into()));
    let rule = "9c06f039-9555-5e76-9edc-b130b46169a0";
    let matches = tap(&["--stage", "matches", "--rule", rule]).rows;
    assert_eq!((matches.len(), &matches[0]["rule"]), (2, &rule.into()));
    let TapOutput { rows, end } = tap(&["--limit", "1"]);
    assert_eq!((rows.len(), &end["left_out"]), (1, &2.into()), "{end}");
    let refused = run(&["tap", "--stage", "alerts", &file]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

/// Lines that no reader knows are quoted to people, in an alert, the API and `weir top`, but not in
/// the log of the server.
#[test]
fn lines_that_no_reader_knows_are_shown_and_raise_an_alert() {
    let folder = tempfile::tempdir().expect("a folder");
    let bounds = "[self_alerts]\nunread_least = 10\n";
    let server = Weir::start(&folder.path().join("data"), &config(bounds));
    let line = |n| {
        format!("<13>1 2026-01-01T10:00:0{n}Z db7 shop - - - order {n} \u{1b}[2J\u{202e} taken\n")
    };
    let lines: String = (0..10).map(line).collect();
    server.send_tcp(lines.as_bytes());
    let alert = until("the alert", || {
        let alerts = server.get("/api/v1/alerts?rule=weir.self.source-unread");
        alerts.json()["alerts"].as_array()?.first().cloned()
    });
    assert_eq!(alert["group"]["source"], "tcp:127.0.0.1", "{alert}");
    let sample = "\\u{1b}[2J\\u{202e} taken";
    let title = alert["title"].as_str().expect("a title");
    assert!(
        title.contains("100 % of its events, such as \"<13>1 "),
        "{title}"
    );
    assert!(title.contains(sample), "{title}");
    let unread = server.get("/api/v1/sources/unread").json();
    let source = &unread["sources"][0];
    assert_eq!(
        (&source["events"], &source["unread"]),
        (&10.into(), &10.into())
    );
    assert_eq!(source["alerting"], true, "{unread}");
    assert_eq!(
        source["samples"].as_array().map(Vec::len),
        Some(1),
        "{unread}"
    );
    let top = server.run(&["top", "--once", "--interval", "1"]);
    top.assert_success();
    assert!(top.out.contains("UNREAD SOURCE"), "{top:?}");
    assert!(top.out.contains(sample), "{top:?}");
    server.await_metric("weir_source_unread_total", "tcp:127.0.0.1", 10);
    let log = server.stderr.text();
    assert!(log.contains("weir.self.source-unread"), "{log}");
    assert!(!log.contains("taken"), "{log}");
    server.stop();
}
