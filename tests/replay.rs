//! `weir replay` through its binary: inputs, output and exit codes.

mod support;

use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use support::command::weir;
use support::files::data_set;

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

/// Lines for the rules. The second line is blank and the last has no line feed.
const LINES: &str = "\
{\"time\":\"2026-03-02T08:00:00Z\",\"kind\":\"refusal\",\"user\":\"ada\"}

{\"time\":\"2026-03-02T08:00:05Z\",\"kind\":\"success\",\"user\":\"ada\"}
{\"time\":\"2026-03-02T08:00:10Z\",\"kind\":\"refusal\",\"user\":\"ada\"}
{\"time\":\"2026-03-02T08:00:09Z\",\"kind\":\"refusal\",\"user\":\"bob\"}";

/// A folder with rules and lines, in which replays run.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("rules.yml", RULES.as_bytes());
        folder.write("a.jsonl", LINES.as_bytes());
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    /// `weir replay` in this folder. Spaces separate the arguments.
    fn bare(&self, args: &str) -> Command {
        let mut replay = weir(["replay"]);
        replay.current_dir(self.0.path());
        replay.args(args.split_whitespace());
        replay
    }

    /// [`Folder::bare`] with the log source of the rules and a fixed receive time.
    fn replay(&self, args: &str) -> Command {
        let mut replay = self.bare(args);
        replay.args(["--logsource", "product=test", "--received", RECEIVED]);
        replay
    }

    fn rows(&self, args: &str) -> Vec<Value> {
        rows(&self.replay(args).output().unwrap())
    }
}

fn rows(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let rows = text.lines().map(serde_json::from_str);
    rows.collect::<Result<_, _>>().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts a replay with pipes on all three streams.
fn spawn(replay: &mut Command) -> Child {
    let replay = replay.stdin(Stdio::piped()).stdout(Stdio::piped());
    replay.stderr(Stdio::piped()).spawn().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

#[test]
fn plain_compressed_and_piped_input_give_the_same_alerts() {
    let folder = Folder::new();
    let (start, rest) = LINES.as_bytes().split_at(100);
    // Two members, as in a log that was appended to.
    folder.write("a.jsonl.gz", &[gzip(start), gzip(rest)].concat());
    let packed = zstd::encode_all(LINES.as_bytes(), 1).unwrap();
    folder.write("a.jsonl.zst", &packed);
    let expected = [json!({
        "rule": "22222222-7f0c-4a43-9d5c-0b1f5b3f7a11",
        "title": "Two refusals",
        "level": "high",
        "group": {"user": "ada"},
        "first": "2026-03-02T08:00:00.000000000Z",
        "last": "2026-03-02T08:00:10.000000000Z",
        "count": 2,
        "events": [0, 2],
    })];
    let check = |mut rows: Vec<Value>, file: &str| {
        let key = rows[0].as_object_mut().unwrap().remove("key");
        assert_eq!(key.unwrap().as_str().unwrap().len(), 32);
        assert_eq!(rows, expected, "{file}");
    };
    for file in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"] {
        let args = format!("--rules rules.yml --final --evidence {file}");
        check(folder.rows(&args), file);
    }
    let args = "--rules rules.yml --final --evidence --format jsonl -";
    let mut piped = spawn(&mut folder.replay(args));
    let mut stdin = piped.stdin.take().unwrap();
    stdin.write_all(LINES.as_bytes()).unwrap();
    drop(stdin);
    check(rows(&piped.wait_with_output().unwrap()), "-");
}

#[test]
fn changes_are_printed_in_order_with_their_columns() {
    let folder = Folder::new();
    let late = r#"{"time":"2026-03-02T07:59:30Z","kind":"refusal","user":"ada"}"#;
    folder.write("late.jsonl", late.as_bytes());
    let args = "--rules rules.yml --epoch-events 1 --evidence a.jsonl late.jsonl";
    let rows = folder.rows(args);
    let short = |row: &Value| {
        let columns = ["change", "revision", "count", "events", "first"];
        Value::from_iter(columns.map(|name| row[name].clone()))
    };
    let expected = json!([
        ["raised", 1, 2, [0, 2], "2026-03-02T08:00:00.000000000Z"],
        ["revised", 2, 3, [0, 2, 4], "2026-03-02T07:59:30.000000000Z"],
    ]);
    assert_eq!(Value::from_iter(rows.iter().map(short)), expected);
    // The late line moves the first firing anchor, so the key changes but the alert does not.
    assert_eq!(rows[0]["alert"], rows[1]["alert"]);
    assert_ne!(rows[0]["key"], rows[1]["key"]);
    let names = rows[0].as_object().unwrap().keys();
    let names: Vec<&str> = names.map(String::as_str).take(11).collect();
    let columns = "change alert key revision rule title level group first last count";
    assert_eq!(names.join(" "), columns);
}

#[test]
fn matches_name_event_file_and_line() {
    let folder = Folder::new();
    folder.write("b.jsonl", LINES.as_bytes());
    let rule = "11111111-7f0c-4a43-9d5c-0b1f5b3f7a11";
    let wanted = |(event, file, line): (u64, &str, u64)| {
        let title = "Refusal";
        json!({"event": event, "file": file, "line": line, "rule": rule, "title": title})
    };
    let (a, b) = ("a.jsonl", "b.jsonl");
    let places = [
        (0, a, 1),
        (2, a, 4),
        (3, a, 5),
        (4, b, 1),
        (6, b, 4),
        (7, b, 5),
    ];
    let expected = places.map(wanted);
    for (events, workers) in [(1, 1), (3, 2), (10_000, 3)] {
        let cut = format!("--epoch-events {events} --workers {workers}");
        let args = format!("--rules rules.yml --output matches {cut} a.jsonl b.jsonl");
        assert_eq!(folder.rows(&args), expected, "{cut}");
    }
    // Each file is a source, so equal lines of two files are two events.
    let rows = folder.rows("--rules rules.yml --final --evidence a.jsonl b.jsonl");
    let short = |row: &Value| json!([row["group"]["user"], row["count"], row["events"]]);
    let expected = json!([["ada", 4, [0, 2, 4, 6]], ["bob", 2, [3, 7]]]);
    assert_eq!(Value::from_iter(rows.iter().map(short)), expected);
}

#[test]
fn every_record_is_an_event_however_broken() {
    let folder = Folder::new();
    let mut bytes = b"<34>Mar  2 08:00:00 web-1 sshd[7]: a\0b \xff\n{\"kind\": 1,\n".to_vec();
    bytes.extend(vec![b'x'; (1 << 20) + 1]);
    bytes.extend(b"\nlast\r\n");
    folder.write("broken.log", &bytes);
    let rows = folder.rows("--output events --epoch-events 2 broken.log");
    assert_eq!(rows.len(), 4);
    let has = |event: usize, problem: &str| {
        let problems = rows[event]["problems"].as_array().unwrap();
        assert!(problems.contains(&json!(problem)), "{event}: {problems:?}");
    };
    assert_eq!(rows[0]["message"], "a\0b \u{fffd}");
    has(0, "invalid_utf8");
    has(1, "unparsed");
    has(2, "truncated");
    let message = rows[2]["message"].as_str().unwrap();
    assert!(message.len() <= 1 << 20 && message.len() > (1 << 20) - 64);
    assert!(message.starts_with("xxx") && message.ends_with("xxx"));
    assert!(message.contains("x[weir left out "));
    assert_eq!(rows[3]["message"], "last");
}

#[test]
fn each_failure_has_its_exit_code_and_message() {
    let folder = Folder::new();
    folder.write("half.jsonl.gz", &gzip(LINES.as_bytes())[..60]);
    for (args, code, message) in [
        ("a.jsonl --output matches --final", 2, "--final"),
        ("a.jsonl --horizon 1hour", 2, "24h"),
        ("a.jsonl --epoch-events 0", 2, "epoch-events"),
        ("a.jsonl --workers 0", 2, "workers"),
        ("a.jsonl --received yesterday", 2, "RFC 3339"),
        ("a.jsonl --logsource colour=red", 2, "colour"),
        ("a.jsonl --formt auto", 2, "formt"),
        ("", 2, "FILE"),
        ("a.jsonl missing.jsonl", 74, "missing.jsonl"),
        (".", 74, "files in it"),
        ("a.jsonl --rules missing.yml", 74, "missing.yml"),
        ("half.jsonl.gz", 65, "half.jsonl.gz"),
        ("a.jsonl", 0, "--received"),
    ] {
        let output = folder.bare(args).output().unwrap();
        let err = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args}: {err}");
        assert!(err.contains(message), "{args}: {err}");
    }
}

#[test]
fn an_unusable_rule_is_reported_and_the_others_run() {
    let folder = Folder::new();
    let broken = "title: Broken\nid: broken\nlogsource:\n    product: test\ndetection:\n    \
                  selection:\n        kind: 1\n    condition: nothing\n";
    let broken = format!("{RULES}---\n{broken}");
    folder.write("broken.yml", broken.as_bytes());
    let output = folder.replay("--rules broken.yml --final a.jsonl").output();
    let output = output.unwrap();
    let line = broken.lines().take_while(|line| !line.contains("nothing"));
    let place = format!("broken.yml:{}:", line.count() + 1);
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains(&place), "{}", stderr(&output));
    assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), 2);
    // Of two rules with one id the first is used, and the other is reported with both places.
    folder.write("twice.yml", RULES.replace("gte: 2", "gte: 200").as_bytes());
    let again = folder.replay("--rules rules.yml --rules twice.yml --final a.jsonl");
    let again = { again }.output().unwrap();
    assert_eq!(again.status.code(), Some(65));
    let err = stderr(&again);
    let both = err.contains("twice.yml:") && err.contains("rules.yml:");
    assert!(both && err.contains("is that of the rule at"), "{err}");
    assert_eq!(again.stdout, output.stdout);
}

#[test]
fn a_closed_pipe_ends_the_replay_quietly() {
    let folder = Folder::new();
    let lines = format!("{LINES}\n").repeat(20_000);
    folder.write("long.jsonl", lines.as_bytes());
    let mut replay = spawn(&mut folder.replay("--output events long.jsonl"));
    let mut stdout = replay.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    drop(stdout);
    let output = replay.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
}

#[test]
fn real_lines_are_replayed_under_the_built_in_rules() {
    let test = "real_lines_are_replayed_under_the_built_in_rules";
    let Some(cases) = data_set(test, "syslog/fail2ban_cases.jsonl") else {
        return;
    };
    let cases = std::fs::read_to_string(cases).unwrap();
    let mut lines = String::new();
    for case in cases.lines() {
        let case: Value = serde_json::from_str(case).unwrap();
        let line = case["line"].as_str().unwrap();
        lines.push_str(&line.replace('\n', " "));
        lines.push('\n');
    }
    let folder = Folder::new();
    folder.write("cases.log", lines.as_bytes());
    let run = |args: &str| {
        let mut replay = folder.bare(args);
        let replay = replay.args(["--received", RECEIVED, "cases.log"]);
        rows(&replay.output().unwrap())
    };
    let records = lines.lines().filter(|line| !line.trim().is_empty());
    assert_eq!(run("--output events").len(), records.count());
    let matches = run("--output matches");
    let refused = |row: &&Value| row["title"] == "SSH password refused";
    assert!(matches.iter().filter(refused).count() > 20, "{matches:#?}");
    assert_eq!(
        run("--output matches --epoch-events 7 --workers 4"),
        matches
    );
}
