//! Unmodified stock shippers over HTTP: every event they send is journaled.

mod support;

#[path = "collectors/journald.rs"]
mod journald;
#[path = "collectors/windows.rs"]
mod windows;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::command::{finish, weir};
use support::files::root;
use support::http::Request;
use support::outside::{find, python};
use support::{Weir, config, frames, skipped};
use weir_schema::Transport;

/// Events of each client. They take several requests.
const EVENTS: usize = 2_000;

/// Compares the numbers of sent and journaled events, and prints them past libtest's capture.
fn assert_equal(client: &str, sent: usize, journaled: usize) {
    let _ = writeln!(
        std::io::stderr(),
        "client: {client}, sent: {sent}, journaled: {journaled}"
    );
    assert_eq!(sent, journaled, "{client}");
}

/// Runs a client to its end. The last line of its output is the number of events it sent.
fn run_client(client: &str, command: &mut Command) -> usize {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("it can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{client}: {out}{err}");
    let last = out.lines().last().unwrap_or_default();
    last.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{client}: {out}{err}"))
}

/// Each number from 0 on is in exactly `times` frames.
fn assert_each(frames: &[Value], pointer: &str, numbers: usize, times: usize) {
    let mut seen = BTreeMap::new();
    for frame in frames {
        let number = frame
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} in {frame}"));
        *seen.entry(number.as_u64().expect("a number")).or_insert(0) += 1;
    }
    let whole = (0..numbers as u64).map(|number| (number, times));
    assert_eq!(seen, whole.collect());
}

fn parsed(frames: &[Vec<u8>]) -> Vec<Value> {
    let parse = |frame: &Vec<u8>| serde_json::from_slice(frame).expect("a frame is JSON");
    frames.iter().map(parse).collect()
}

/// Runs a Python client once for each of its modes and returns all frames.
fn send(test: &str, client: &str, script: &str, modes: &[&str]) -> Option<Vec<Value>> {
    let Some(python) = python() else {
        skipped(test, "WEIR_PYTHON");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(folder.path(), &config(""));
    let script = root().join("tests/python").join(script);
    let mut sent = 0;
    for mode in modes {
        let mut command = Command::new(&python);
        let url = format!("http://{}", weir.http);
        command
            .arg(&script)
            .args([&url, &weir.token, &EVENTS.to_string(), *mode]);
        sent += run_client(client, &mut command);
    }
    weir.stop();
    let frames = frames(folder.path(), Transport::Http);
    assert_equal(client, sent, frames.len());
    Some(parsed(&frames))
}

#[test]
fn the_elasticsearch_client_delivers_every_document() {
    let test = "the_elasticsearch_client_delivers_every_document";
    let modes = ["basic", "api-key-and-gzip"];
    if let Some(frames) = send(test, "elasticsearch-py bulk helper", "elastic.py", &modes) {
        assert_each(&frames, "/number", EVENTS, modes.len());
    }
}

#[test]
fn the_opentelemetry_sdk_delivers_every_record() {
    let test = "the_opentelemetry_sdk_delivers_every_record";
    let modes = ["plain", "gzip"];
    if let Some(frames) = send(test, "opentelemetry-sdk OTLP/HTTP", "otlp.py", &modes) {
        assert_each(&frames, "/attributes/number", EVENTS, modes.len());
        let frame = &frames[0];
        assert_eq!(frame["level"], "WARN");
        assert_eq!(frame["host"], "web-1");
        assert_eq!(
            frame["scope"],
            json!({ "name": "orders", "version": "1.2" })
        );
        assert_eq!(
            frame["attributes"]["nested"],
            json!({ "list": [1, "two", 3.5] })
        );
    }
}

#[test]
fn splunk_handler_delivers_every_record() {
    let test = "splunk_handler_delivers_every_record";
    if let Some(frames) = send(test, "splunk-handler", "hec.py", &["json"]) {
        let inner = |frame: &Value| {
            let text = frame["event"].as_str().expect("a text");
            serde_json::from_str::<Value>(text).expect("what was logged")
        };
        let inner: Vec<Value> = frames.iter().map(inner).collect();
        assert_each(&inner, "/number", EVENTS, 1);
        assert_eq!(
            (&frames[0]["host"], &frames[0]["source"]),
            (&json!("web-1"), &json!("shop"))
        );
    }
}

/// Compresses a file with a program that writes to standard output.
fn compress(program: &Path, file: &Path) -> Vec<u8> {
    let mut command = Command::new(program);
    let output = command.args(["-q", "-f", "-c"]).arg(file).output();
    let output = output.expect("it can be run");
    assert!(output.status.success(), "{}", program.display());
    output.stdout
}

/// Route, content type and body of an API with as many events as [`EVENTS`].
fn bodies() -> [(&'static str, &'static str, String); 3] {
    let lines = |line: &dyn Fn(usize) -> String| (0..EVENTS).map(line).collect::<String>();
    [
        (
            "/api/v1/events",
            "application/x-ndjson",
            lines(&|n| format!("{{\"number\":{n}}}\n")),
        ),
        (
            "/services/collector",
            "application/json",
            lines(&|n| format!("{{\"time\":1795300000.{n:04},\"event\":{{\"number\":{n}}}}}")),
        ),
        (
            "/shop/_bulk",
            "application/x-ndjson",
            lines(&|n| format!("{{\"create\":{{}}}}\n{{\"number\":{n}}}\n")),
        ),
    ]
}

#[test]
fn curl_delivers_compressed_bodies_by_every_route() {
    let test = "curl_delivers_compressed_bodies_by_every_route";
    let (Some(curl), Some(zstd)) = (find("curl"), find("zstd")) else {
        return skipped(test, "curl and zstd");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let weir = Weir::start(&data, &config(""));
    let (plain, packed) = (folder.path().join("plain"), folder.path().join("packed"));
    let codings = [("gzip", Path::new("gzip")), ("zstd", zstd.as_path())];
    let mut sent = 0;
    for (path, kind, body) in bodies() {
        for (coding, program) in codings {
            std::fs::write(&plain, &body).expect("it can be written");
            std::fs::write(&packed, compress(program, &plain)).expect("it can be written");
            let status = Command::new(&curl)
                .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"])
                .args(["-H", &format!("Authorization: Bearer {}", weir.token)])
                .args(["-H", &format!("Content-Type: {kind}")])
                .args(["-H", &format!("Content-Encoding: {coding}")])
                .arg("--data-binary")
                .arg(format!("@{}", packed.display()))
                .arg(format!("http://{}{path}", weir.http))
                .output()
                .expect("it can be run");
            let status = String::from_utf8_lossy(&status.stdout);
            assert_eq!(status, "200", "{path} {coding}");
            sent += EVENTS;
        }
    }
    weir.stop();
    let frames = frames(&data, Transport::Http);
    assert_equal("curl with gzip and zstd", sent, frames.len());
    let inner = |frame: Value| match frame.get("event") {
        Some(event) => event.clone(),
        None => frame,
    };
    let frames: Vec<Value> = parsed(&frames).into_iter().map(inner).collect();
    assert_each(&frames, "/number", EVENTS, sent / EVENTS);
}

#[test]
fn the_time_that_a_protocol_carries_is_the_event_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("frames.jsonl");
    // Frames as the collectors make them.
    let frames = [
        r#"{"time":1795300000.5,"host":"web-1","event":{"n":1}}"#,
        r#"{"time":1795300000.5,"host":"web-1","event":"plain words"}"#,
        r#"{"@timestamp":"2026-11-21T22:26:40.5Z","n":1}"#,
        r#"{"time":"2026-11-21T22:26:40.500000000Z","host":"w","level":"WARN","message":"x"}"#,
        r#"{"__REALTIME_TIMESTAMP":"1795300000500000","_HOSTNAME":"w","MESSAGE":"x"}"#,
    ];
    std::fs::write(&file, frames.join("\n")).expect("it can be written");
    let times: Vec<Value> = replayed(&file, 0)
        .iter()
        .map(|event| event["time"].clone())
        .collect();
    assert_eq!(times, vec![json!("2026-11-21T22:26:40.500000000Z"); 5]);
}

#[test]
fn a_repeated_bulk_request_with_ids_counts_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(folder.path(), &config(""));
    let body = b"{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"n\":1}\n";
    for _ in 0..3 {
        let reply = weir.send(Request::new("POST", "/_bulk").body(body));
        assert_eq!(reply.json()["items"][0]["create"]["status"], 201);
    }
    let text = weir.get("/metrics").text();
    let repeated = "weir_http_events_accepted_total{repeated=\"true\",way=\"bulk\"} 2";
    assert!(text.contains(repeated), "{text}");
    weir.stop();
    assert_eq!(frames(folder.path(), Transport::Http).len(), 1);
}

/// The events of a file, as `weir replay` prints them.
fn replayed(file: &Path, code: i32) -> Vec<Value> {
    let mut replay = weir(["replay", "--output", "events"]);
    let replay = finish(
        replay
            .args(["--received", "2026-11-22T01:00:00Z"])
            .arg(file),
    );
    assert_eq!(replay.code, Some(code), "{}: {replay:?}", file.display());
    replay.json_lines()
}
