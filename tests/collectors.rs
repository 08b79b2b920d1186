//! Shippers that people really run send over HTTP, unmodified; what they sent is what is journaled.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::http::Request;
use support::outside::find;
use support::{Weir, config, frames, skipped};
use weir_schema::{JournaldExport, Transport};

/// Events of each client: several requests each.
const EVENTS: usize = 2_000;

/// The interpreter that has the clients of `tests/python/requirements.txt`.
fn python() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("WEIR_PYTHON") {
        return Some(python.into());
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    own.is_file().then_some(own)
}

/// Says, past the capture of the test runner, what a client sent and what is journaled; both are
/// the same.
fn assert_equal(client: &str, sent: usize, journaled: usize) {
    let _ = writeln!(
        std::io::stderr(),
        "client: {client}, sent: {sent}, journaled: {journaled}"
    );
    assert_eq!(sent, journaled, "{client}");
}

/// Runs a client to its end; what it says is how many events it sent.
fn run(client: &str, command: &mut Command) -> usize {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("it can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{client}: {said}{told}");
    let last = said.lines().last().unwrap_or_default();
    last.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{client}: {said}{told}"))
}

/// Each number stands in so many frames.
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

/// Has a client of Python send in several ways, and gives all frames.
fn send(test: &str, client: &str, script: &str, ways: &[&str]) -> Option<Vec<Value>> {
    let Some(python) = python() else {
        skipped(test, "WEIR_PYTHON");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(folder.path(), &config(""));
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/python")
        .join(script);
    let mut sent = 0;
    for way in ways {
        let mut command = Command::new(&python);
        let url = format!("http://{}", weir.http);
        command
            .arg(&script)
            .args([&url, &weir.token, &EVENTS.to_string(), *way]);
        sent += run(client, &mut command);
    }
    weir.stop();
    let frames = frames(folder.path(), Transport::Http);
    assert_equal(client, sent, frames.len());
    Some(parsed(&frames))
}

#[test]
fn elasticsearchs_own_client_delivers_every_document() {
    let test = "elasticsearchs_own_client_delivers_every_document";
    let ways = ["basic", "api-key-and-gzip"];
    if let Some(frames) = send(test, "elasticsearch-py bulk helper", "elastic.py", &ways) {
        assert_each(&frames, "/number", EVENTS, ways.len());
    }
}

#[test]
fn opentelemetrys_sdk_delivers_every_record() {
    let test = "opentelemetrys_sdk_delivers_every_record";
    let ways = ["plain", "gzip"];
    if let Some(frames) = send(test, "opentelemetry-sdk OTLP/HTTP", "otlp.py", &ways) {
        assert_each(&frames, "/attributes/number", EVENTS, ways.len());
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
fn a_handler_of_the_event_collector_delivers_every_record() {
    let test = "a_handler_of_the_event_collector_delivers_every_record";
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

#[test]
fn curl_delivers_packed_bodies_by_every_route() {
    let test = "curl_delivers_packed_bodies_by_every_route";
    let (Some(curl), Some(zstd)) = (find("curl"), find("zstd")) else {
        return skipped(test, "curl and zstd");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let weir = Weir::start(&data, &config(""));
    let lines = |line: &dyn Fn(usize) -> String| (0..EVENTS).map(line).collect::<String>();
    let bodies = [
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
    ];
    let mut sent = 0;
    for (path, kind, body) in &bodies {
        for (coding, program, options) in [
            ("gzip", Path::new("gzip"), ["-q", "-f"]),
            ("zstd", zstd.as_path(), ["-q", "-f"]),
        ] {
            let (plain, packed) = (folder.path().join("plain"), folder.path().join("packed"));
            std::fs::write(&plain, body).expect("it can be written");
            let packing = Command::new(program)
                .args(options)
                .arg("-c")
                .arg(&plain)
                .output()
                .expect("it can be run");
            assert!(packing.status.success(), "{coding}");
            std::fs::write(&packed, packing.stdout).expect("it can be written");
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
            assert_eq!(
                String::from_utf8_lossy(&status.stdout),
                "200",
                "{path} {coding}"
            );
            sent += EVENTS;
        }
    }
    weir.stop();
    let frames = frames(&data, Transport::Http);
    assert_equal("curl with gzip and zstd", sent, frames.len());
    let numbers = |frame: Value| match frame.get("event") {
        Some(event) => event.clone(),
        None => frame,
    };
    let frames: Vec<Value> = parsed(&frames).into_iter().map(numbers).collect();
    assert_each(&frames, "/number", EVENTS, bodies.len() * 2);
}

/// Entries with what breaks naive readers, as the export format has them.
fn export(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..count {
        let time = 1_795_300_000_000_000u64 + n as u64;
        let head = format!(
            "__CURSOR=c{n}\n__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={n}\n\
             _BOOT_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=web-1\nPRIORITY=6\n\
             SYSLOG_IDENTIFIER=sshd\nNUMBER={n}\n"
        );
        bytes.extend_from_slice(head.as_bytes());
        let odd: &[u8] = [
            &b"two\nlines"[..],
            b"\xff\x00binary",
            b"with = and \"quotes\"",
        ][n % 3];
        bytes.extend_from_slice(b"MESSAGE\n");
        bytes.extend_from_slice(&(odd.len() as u64).to_le_bytes());
        bytes.extend_from_slice(odd);
        bytes.extend_from_slice(b"\n\n");
    }
    bytes
}

/// A program of systemd, which has a folder of its own.
fn systemd(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/lib/systemd", "/lib/systemd"];
    folders
        .map(|folder| Path::new(folder).join(name))
        .into_iter()
        .find(|file| file.is_file())
}

#[test]
fn systemds_own_uploader_delivers_every_entry() {
    let test = "systemds_own_uploader_delivers_every_entry";
    let programs = (
        systemd("systemd-journal-remote"),
        systemd("systemd-journal-upload"),
    );
    let (Some(remote), Some(upload)) = programs else {
        return skipped(test, "systemd-journal-remote");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (file, journal) = (
        folder.path().join("in.export"),
        folder.path().join("in.journal"),
    );
    std::fs::write(&file, export(EVENTS)).expect("it can be written");
    let made = Command::new(remote)
        .arg(format!("--output={}", journal.display()))
        .args(["--split-mode=none", "-"])
        .stdin(std::fs::File::open(&file).expect("it was written"))
        .output()
        .expect("it can be run");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );

    let data = folder.path().join("data");
    let weir = Weir::start(&data, &config(""));
    let uploaded = Command::new(upload)
        .arg(format!("--url=http://weir:{}@{}", weir.token, weir.http))
        .arg(format!("--file={}", journal.display()))
        .arg("--follow=no")
        .arg(format!(
            "--save-state={}",
            folder.path().join("state").display()
        ))
        .output()
        .expect("it can be run");
    let told = String::from_utf8_lossy(&uploaded.stderr);
    assert!(uploaded.status.success(), "{told}\n{}", weir.stderr.text());
    weir.stop();
    let frames = frames(&data, Transport::Http);
    assert_equal("systemd-journal-upload", EVENTS, frames.len());
    let mut sent = JournaldExport::default();
    sent.push(&export(EVENTS));
    for frame in parsed(&frames) {
        let entry = sent
            .next_entry()
            .expect("it is an export")
            .expect("it is whole");
        let entry: Value = serde_json::from_slice(&entry).expect("an entry is JSON");
        for field in ["NUMBER", "MESSAGE", "__REALTIME_TIMESTAMP", "_HOSTNAME"] {
            assert_eq!(frame[field], entry[field], "{field} of {frame}");
        }
    }
}

#[test]
fn the_time_that_a_protocol_carries_is_the_event_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("frames.jsonl");
    // As the collectors make them; what they make is held by their own tests.
    let frames = [
        r#"{"time":1795300000.5,"host":"web-1","event":{"n":1}}"#,
        r#"{"time":1795300000.5,"host":"web-1","event":"plain words"}"#,
        r#"{"@timestamp":"2026-11-21T22:26:40.5Z","n":1}"#,
        r#"{"time":"2026-11-21T22:26:40.500000000Z","host":"w","level":"WARN","message":"x"}"#,
        r#"{"__REALTIME_TIMESTAMP":"1795300000500000","_HOSTNAME":"w","MESSAGE":"x"}"#,
    ];
    std::fs::write(&file, frames.join("\n")).expect("it can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args([
            "replay",
            "--output",
            "events",
            "--received",
            "2026-11-22T01:00:00Z",
        ])
        .arg(&file)
        .output()
        .expect("it can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let times: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON")["time"].clone())
        .collect();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        times,
        vec![json!("2026-11-21T22:26:40.500000000Z"); 5][..],
        "{said}{told}"
    );
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

/// The fields of the events of a file, as a replay shows them.
fn replayed(file: &Path, code: i32) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args([
            "replay",
            "--output",
            "events",
            "--received",
            "2026-11-22T00:00:00Z",
        ])
        .arg(file)
        .output()
        .expect("it can be run");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}: {told}",
        file.display()
    );
    let said = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| serde_json::from_str::<Value>(line).expect("a line is JSON");
    said.lines().map(line).collect()
}

/// Told alike but for the case of GUIDs, and for spaces at the end, which the other reader left off.
fn is_same(name: &str, ours: &Value, theirs: &Value) -> bool {
    match (name, ours.as_str(), theirs.as_str()) {
        // Read to the microsecond there, to a tenth of it here.
        ("TimeCreated", Some(ours), Some(theirs)) => ours.get(..26) == theirs.get(..26),
        (_, Some(ours), Some(theirs)) => ours.trim_end().eq_ignore_ascii_case(theirs),
        _ => ours == theirs,
    }
}

#[test]
fn event_logs_of_windows_are_read_from_their_files() {
    let test = "event_logs_of_windows_are_read_from_their_files";
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = std::env::var_os("WEIR_DATA").map_or_else(beside, PathBuf::from);
    let Ok(entries) = std::fs::read_dir(data.join("windows/raw_evtx")) else {
        return skipped(test, "windows/raw_evtx is absent; set WEIR_DATA");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut compared = 0;
    for entry in entries {
        let log = entry.expect("it can be listed").path();
        if log.extension().is_none_or(|ending| ending != "evtx") {
            continue;
        }
        // The same event as another reader wrote it, on one line.
        let text = std::fs::read(log.with_extension("json")).expect("it stands beside the log");
        let theirs: Value = serde_json::from_slice(&text).expect("it is JSON");
        let line = folder.path().join("line.jsonl");
        std::fs::write(&line, theirs.to_string()).expect("it can be written");
        let packed = folder.path().join("log.evtx.zst");
        let bytes = std::fs::read(&log).expect("it can be read");
        let zstd = zstd::encode_all(bytes.as_slice(), 1).expect("it can be packed");
        std::fs::write(&packed, zstd).expect("it can be written");
        let theirs = replayed(&line, 0);
        let theirs = theirs[0]["fields"].as_object().expect("an object");
        for file in [&log, &packed] {
            let ours = replayed(file, 0);
            assert_eq!(ours.len(), 1, "{}", file.display());
            let ours = ours[0]["fields"].as_object().expect("an object");
            let names = |fields: &serde_json::Map<String, Value>| {
                fields
                    .keys()
                    .cloned()
                    .collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(names(ours), names(theirs));
            for (name, value) in ours {
                let same = is_same(name, value, &theirs[name]);
                assert!(same, "{name}: {value}, not {}", theirs[name]);
            }
        }
        // A chunk that is damaged is told, and the replay ends with 65.
        let broken = folder.path().join("broken.evtx");
        let mut bytes = bytes;
        bytes[4096..4104].fill(0xff);
        std::fs::write(&broken, bytes).expect("it can be written");
        assert!(replayed(&broken, 65).is_empty());
        compared += 1;
    }
    assert_eq!(compared, 5);
}

#[test]
fn exports_of_the_journal_are_read_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("in.export");
    std::fs::write(&file, export(300)).expect("it can be written");
    let events = replayed(&file, 0);
    assert_eq!(events.len(), 300);
    assert_eq!(events[0]["time"], "2026-11-21T22:26:40.000000000Z");
    assert_eq!(events[0]["fields"]["program"], "sshd");
    assert!(events.iter().all(|event| event.get("problems").is_none()));
    std::fs::write(&file, &export(3)[..500]).expect("it can be written");
    assert_eq!(
        replayed(&file, 65).len(),
        0,
        "what breaks off is told before anything is"
    );
}
