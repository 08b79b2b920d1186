//! `weir replay` through its binary: what it reads, what it prints, and how it ends.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const RECEIVED: &str = "2026-03-02T12:00:00Z";

const RULES: &str = "\
title: Refusal
id: 11111111-7f0c-4a43-9d5c-0b1f5b3f7a11
name: refusal
logsource:
    product: test
detection:
    selection:
        kind: refusal
    condition: selection
level: low
---
title: Two refusals
id: 22222222-7f0c-4a43-9d5c-0b1f5b3f7a11
correlation:
    type: event_count
    rules:
        - refusal
    group-by:
        - user
    timespan: 1m
    condition:
        gte: 2
level: high
";

/// Lines of which the second is blank and the last ends with the file.
const LINES: &str = "\
{\"time\":\"2026-03-02T08:00:00Z\",\"kind\":\"refusal\",\"user\":\"ada\"}

{\"time\":\"2026-03-02T08:00:05Z\",\"kind\":\"success\",\"user\":\"ada\"}
{\"time\":\"2026-03-02T08:00:10Z\",\"kind\":\"refusal\",\"user\":\"ada\"}
{\"time\":\"2026-03-02T08:00:09Z\",\"kind\":\"refusal\",\"user\":\"bob\"}";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("rules.yml", RULES.as_bytes());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// `replay` in this folder.
    fn bare(&self, args: &[&str]) -> Command {
        let mut replay = Command::new(env!("CARGO_BIN_EXE_weir"));
        replay.current_dir(self.0.path()).arg("replay").args(args);
        replay.stdin(Stdio::null());
        replay
    }

    /// `replay` of lines that are for the rules of this page.
    fn replay(&self, args: &[&str]) -> Command {
        let mut replay = self.bare(args);
        replay.args(["--logsource", "product=test", "--received", RECEIVED]);
        replay
    }

    fn run(&self, args: &[&str]) -> Output {
        self.replay(args).output().unwrap()
    }
}

fn rows(output: &Output) -> Vec<Value> {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let rows = text.lines().map(serde_json::from_str);
    rows.collect::<Result<_, _>>().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn plain_packed_and_piped_input_say_the_same() {
    let folder = Folder::new();
    folder.write("a.jsonl", LINES.as_bytes());
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&LINES.as_bytes()[..100]).unwrap();
    let mut gz = gz.finish().unwrap();
    // Two members, as a log that was appended to has.
    let mut more = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    more.write_all(&LINES.as_bytes()[100..]).unwrap();
    gz.extend(more.finish().unwrap());
    folder.write("a.jsonl.gz", &gz);
    let zst = zstd::encode_all(LINES.as_bytes(), 1).unwrap();
    folder.write("a.jsonl.zst", &zst);
    let flags = ["--rules", "rules.yml", "--final", "--evidence"];
    let expected = [json!({
        "key": "",
        "rule": "22222222-7f0c-4a43-9d5c-0b1f5b3f7a11",
        "title": "Two refusals",
        "level": "high",
        "group": {"user": "ada"},
        "first": "2026-03-02T08:00:00.000000000Z",
        "last": "2026-03-02T08:00:10.000000000Z",
        "count": 2,
        "events": [0, 2],
    })];
    for file in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"] {
        let mut said = rows(&folder.run(&[&flags[..], &[file]].concat()));
        said.iter_mut().for_each(|row| row["key"] = "".into());
        assert_eq!(said, expected, "{file}");
    }
    let mut piped = folder.replay(&[&flags[..], &["--format", "jsonl", "-"]].concat());
    let mut piped = piped
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = piped.stdin.take().unwrap();
    stdin.write_all(LINES.as_bytes()).unwrap();
    drop(stdin);
    let mut said = rows(&piped.wait_with_output().unwrap());
    said.iter_mut().for_each(|row| row["key"] = "".into());
    assert_eq!(said, expected);
}

#[test]
fn changes_come_in_order_with_their_columns() {
    let folder = Folder::new();
    folder.write("a.jsonl", LINES.as_bytes());
    let late = "{\"time\":\"2026-03-02T07:59:30Z\",\"kind\":\"refusal\",\"user\":\"ada\"}\n";
    folder.write("late.jsonl", late.as_bytes());
    let flags = ["--rules", "rules.yml", "--epoch-events", "1", "--evidence"];
    let said = rows(&folder.run(&[&flags[..], &["a.jsonl", "late.jsonl"]].concat()));
    // The late line moves the first firing anchor, so the alert has another key.
    let short = |row: &Value| {
        let columns = ["change", "revision", "count", "events", "first"];
        columns.map(|name| row[name].clone())
    };
    assert_eq!(
        said.iter().map(short).collect::<Vec<_>>(),
        [
            [
                json!("raised"),
                json!(1),
                json!(2),
                json!([0, 2]),
                json!("2026-03-02T08:00:00.000000000Z")
            ],
            [
                json!("revised"),
                json!(2),
                json!(3),
                json!([0, 2, 4]),
                json!("2026-03-02T07:59:30.000000000Z")
            ],
        ]
    );
    assert_eq!(said[0]["alert"], said[1]["alert"]);
    assert_ne!(said[0]["key"], said[1]["key"]);
    let names = said[0].as_object().unwrap().keys();
    let names: Vec<&str> = names.map(String::as_str).take(11).collect();
    let columns = "change alert key revision rule title level group first last count";
    assert_eq!(names.join(" "), columns);
}

#[test]
fn matches_name_event_file_and_line() {
    let folder = Folder::new();
    folder.write("a.jsonl", LINES.as_bytes());
    folder.write("b.jsonl", LINES.as_bytes());
    let wanted = |event: u64, file: &str, line: u64| {
        json!({
            "event": event, "file": file, "line": line,
            "rule": "11111111-7f0c-4a43-9d5c-0b1f5b3f7a11", "title": "Refusal",
        })
    };
    let expected = [
        wanted(0, "a.jsonl", 1),
        wanted(2, "a.jsonl", 4),
        wanted(3, "a.jsonl", 5),
        wanted(4, "b.jsonl", 1),
        wanted(6, "b.jsonl", 4),
        wanted(7, "b.jsonl", 5),
    ];
    for (epoch_events, workers) in [("1", "1"), ("3", "2"), ("10000", "3")] {
        let flags = ["--rules", "rules.yml", "--output", "matches"];
        let cut = ["--epoch-events", epoch_events, "--workers", workers];
        let output = folder.run(&[&flags[..], &cut[..], &["a.jsonl", "b.jsonl"]].concat());
        assert_eq!(rows(&output), expected, "{cut:?}");
    }
    // Each file is a source, and equal lines of two are two events.
    let flags = [
        "--rules",
        "rules.yml",
        "--final",
        "--evidence",
        "a.jsonl",
        "b.jsonl",
    ];
    let said = rows(&folder.run(&flags));
    let short: Vec<_> = said
        .iter()
        .map(|row| (&row["group"]["user"], &row["count"]))
        .collect();
    assert_eq!(
        short,
        [(&json!("ada"), &json!(4)), (&json!("bob"), &json!(2))]
    );
    assert_eq!(said[0]["events"], json!([0, 2, 4, 6]));
}

#[test]
fn every_record_is_an_event_however_broken() {
    let folder = Folder::new();
    let mut bytes = b"<34>Mar  2 08:00:00 web-1 sshd[7]: a\0b \xff\n{\"kind\": 1,\n".to_vec();
    bytes.extend(vec![b'x'; (1 << 20) + 1]);
    bytes.extend(b"\nlast\r\n");
    folder.write("broken.log", &bytes);
    let said = rows(&folder.run(&["--output", "events", "--epoch-events", "2", "broken.log"]));
    let problems: Vec<&Value> = said.iter().map(|event| &event["problems"]).collect();
    assert_eq!(said.len(), 4);
    assert_eq!(said[0]["message"], "a\0b \u{fffd}");
    assert_eq!(*problems[0], json!(["invalid_utf8"]));
    assert!(
        problems[1].as_array().unwrap().contains(&json!("unparsed")),
        "{problems:?}"
    );
    assert!(
        problems[2]
            .as_array()
            .unwrap()
            .contains(&json!("truncated")),
        "{problems:?}"
    );
    assert_eq!(said[2]["message"].as_str().unwrap().len(), 1 << 20);
    assert_eq!(said[3]["message"], "last");
}

#[test]
fn it_ends_as_its_exit_code_says() {
    let folder = Folder::new();
    folder.write("a.jsonl", LINES.as_bytes());
    folder.write("half.jsonl.gz", b"\x1f\x8b\x08\0nothing");
    let broken = format!(
        "{RULES}---\ntitle: Broken\nid: b\nlogsource:\n    product: test\n\
                          detection:\n    selection:\n        kind|wrong: 1\n    condition: selection\n"
    );
    folder.write("broken.yml", broken.as_bytes());
    for (args, code, told) in [
        (
            &["a.jsonl", "--output", "matches", "--final"][..],
            2,
            "--final",
        ),
        (&["a.jsonl", "--horizon", "1 hour"][..], 2, "24h"),
        (&["a.jsonl", "--epoch-events", "0"][..], 2, "epoch-events"),
        (&["a.jsonl", "--workers", "0"][..], 2, "workers"),
        (&["a.jsonl", "--received", "yesterday"][..], 2, "RFC 3339"),
        (&["a.jsonl", "--logsource", "colour=red"][..], 2, "colour"),
        (&["a.jsonl", "--formt", "auto"][..], 2, "formt"),
        (&[][..], 2, "FILE"),
        (&["missing.jsonl"][..], 74, "missing.jsonl"),
        (&["."][..], 74, "folder"),
        (
            &["a.jsonl", "--rules", "missing.yml"][..],
            74,
            "missing.yml",
        ),
        (&["half.jsonl.gz"][..], 65, "half.jsonl.gz"),
    ] {
        let output = folder.bare(args).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(told), "{args:?}: {said}");
    }
    // The rule that cannot be used is told with its line in the file; the others run.
    let output = folder.run(&["--rules", "broken.yml", "--final", "a.jsonl"]);
    let line = 1 + broken
        .lines()
        .position(|line| line.contains("kind|wrong"))
        .unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert!(
        stderr(&output).contains(&format!("broken.yml:{line}:")),
        "{}",
        stderr(&output)
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
}

#[test]
fn a_reader_who_has_enough_ends_it_quietly() {
    let folder = Folder::new();
    let lines = format!("{LINES}\n").repeat(20_000);
    let file = folder.write("long.jsonl", lines.as_bytes());
    let mut replay = folder.replay(&["--output", "events", "long.jsonl"]);
    let mut replay = replay
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    std::io::Read::read_exact(replay.stdout.as_mut().unwrap(), &mut first).unwrap();
    drop(replay.stdout.take());
    let output = replay.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new()),
        "{file:?}"
    );
}

#[test]
fn real_lines_are_replayed_under_the_built_in_rules() {
    let data = std::env::var_os("WEIR_DATA").map(PathBuf::from);
    let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let cases = data.join("syslog/fail2ban_cases.jsonl");
    let Ok(cases) = std::fs::read_to_string(&cases) else {
        let skipped =
            "SKIPPED: real_lines_are_replayed_under_the_built_in_rules: no fail2ban cases";
        writeln!(std::io::stderr(), "{skipped}").unwrap();
        return;
    };
    let mut lines = String::new();
    for case in cases.lines() {
        let case: Value = serde_json::from_str(case).unwrap();
        let line = case["line"].as_str().unwrap();
        lines.push_str(&line.replace('\n', " "));
        lines.push('\n');
    }
    let folder = Folder::new();
    folder.write("cases.log", lines.as_bytes());
    let records = lines.lines().filter(|line| !line.trim().is_empty()).count();
    let events = rows(&folder.run(&["--output", "events", "cases.log"]));
    assert_eq!(events.len(), records);
    let one = folder.run(&["--final", "cases.log"]);
    let four = folder.run(&[
        "--final",
        "--epoch-events",
        "7",
        "--workers",
        "4",
        "cases.log",
    ]);
    assert!(
        one.status.success() && !one.stdout.is_empty(),
        "{}",
        stderr(&one)
    );
    assert_eq!(one.stdout, four.stdout);
}
