//! `weir tap` and `weir top` beside a running server, and over files.

mod support;

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::{Weir, config};

/// The correlation of built-in rules that a maintenance as root without a ticket raises.
const SUDO: &str = "<86>1 2026-01-01T10:00:00Z db7 sudo - - - alice : TTY=pts/0 ; PWD=/ ; \
                    USER=root ; COMMAND=/usr/bin/systemctl stop billing\n";

fn weir(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Rows of a tap that has ended, without the last one, and that.
fn rows(tap: Child) -> (Vec<Value>, Value) {
    let out = tap.wait_with_output().expect("it ends");
    assert!(out.status.success(), "{out:?}");
    let text = String::from_utf8(out.stdout).expect("it is text");
    let rows = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row is JSON"));
    let mut rows: Vec<Value> = rows.collect();
    let end = rows.pop().expect("the last row");
    (rows, end["end"].clone())
}

/// A tap of a server; it is open once this returns.
fn tap(server: &Weir, nth: u64, args: &[&str]) -> Child {
    let (url, data) = (
        format!("http://{}", server.http),
        server.data.display().to_string(),
    );
    let tap = weir(&["tap", "--url", &url, "--data-dir", &data, "--seconds", "50"])
        .args(args)
        .spawn();
    let tap = tap.expect("it can be started");
    server.await_metric("weir_http_requests_total", "/api/v1/tap", nth);
    tap
}

#[test]
fn every_stage_of_a_server_can_be_tapped() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Weir::start(&folder.path().join("data"), &config(""));
    let frames = tap(
        &server,
        1,
        &["--stage", "frames", "--text", "billing", "--limit", "1"],
    );
    let events = tap(&server, 2, &["--field", "user=alice", "--limit", "1"]);
    let facts = tap(&server, 3, &["--stage", "facts", "--limit", "1"]);
    let alerts = tap(
        &server,
        4,
        &["--stage", "alerts", "--field", "user=alice", "--limit", "1"],
    );

    // One more than may be is refused, and the server says so.
    let (url, data) = (
        format!("http://{}", server.http),
        server.data.display().to_string(),
    );
    let fifth = weir(&["tap", "--url", &url, "--data-dir", &data]).output();
    let fifth = fifth.expect("it can be started");
    assert_eq!(fifth.status.code(), Some(69), "{fifth:?}");

    server.send_tcp(b"<13>1 2026-01-01T09:59:59Z db7 cron - - - nothing of note\n");
    server.send_tcp(SUDO.as_bytes());

    let (shown, end) = rows(frames);
    assert_eq!(shown[0]["text"], SUDO.trim_end());
    assert_eq!(
        (&shown[0]["transport"], &shown[0]["source"]),
        (&"tcp".into(), &"tcp:127.0.0.1".into())
    );
    assert_eq!(
        (end["rows"].as_u64(), end["limited"].as_bool()),
        (Some(1), Some(true))
    );
    assert_eq!(end["left_out"], 0, "{end}");
    let (shown, _) = rows(events);
    assert!(
        shown[0]["event"]
            .to_string()
            .contains("systemctl stop billing"),
        "{shown:?}"
    );
    let (shown, _) = rows(facts);
    assert_eq!(shown[0]["group"]["user"], "alice", "{shown:?}");
    let (shown, _) = rows(alerts);
    assert_eq!(
        shown[0]["title"], "Maintenance as root without a change ticket",
        "{shown:?}"
    );

    // Their places are free again; a tap that nothing comes to ends by itself.
    let (url, data) = (
        format!("http://{}", server.http),
        server.data.display().to_string(),
    );
    let short = weir(&["tap", "--url", &url, "--data-dir", &data, "--seconds", "1"]).spawn();
    let (none, end) = rows(short.expect("it can be started"));
    assert!(none.is_empty() && end["limited"] == false, "{end}");

    let top = weir(&[
        "top",
        "--once",
        "--interval",
        "1",
        "--url",
        &url,
        "--data-dir",
        &data,
    ]);
    let top = { top }.output().expect("it can be started");
    assert!(top.status.success(), "{top:?}");
    let text = String::from_utf8_lossy(&top.stdout);
    for said in [
        "default tcp:127.0.0.1",
        "rules matched",
        "CHANGES/S",
        "weir: ",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(
        !text.contains('\x1b'),
        "plain text where nobody watches: {text:?}"
    );
    server.stop();
}

#[test]
fn files_are_tapped_without_a_server() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let bad = "no syslog at all";
    let lines = format!("{SUDO}{bad}\n{}", SUDO.replace("alice", "bob"));
    std::fs::write(file.path(), lines).expect("it can be written");
    let file = file.path().display().to_string();
    let tap = |args: &[&str]| {
        let tap = weir(&["tap", &file]).args(args).spawn();
        rows(tap.expect("it can be started"))
    };
    let (all, end) = tap(&[]);
    assert_eq!((all.len(), end["looked_at"].as_u64()), (3, Some(3)));
    let (bobs, _) = tap(&["--field", "user=bob"]);
    assert_eq!(bobs.len(), 1);
    let (broken, _) = tap(&["--stage", "frames", "--problem"]);
    assert_eq!((broken.len(), &broken[0]["text"]), (1, &bad.into()));
    let rule = "9c06f039-9555-5e76-9edc-b130b46169a0";
    let (matches, _) = tap(&["--stage", "matches", "--rule", rule]);
    assert_eq!(matches.len(), 2);
    assert_eq!(matches[0]["rule"], rule);
    let (one, end) = tap(&["--limit", "1"]);
    assert_eq!((one.len(), &end["left_out"]), (1, &2.into()), "{end}");
    let refused = weir(&["tap", "--stage", "alerts", &file])
        .output()
        .expect("it can be started");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}
