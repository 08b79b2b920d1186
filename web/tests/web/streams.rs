//! Alert streams: order, resuming, filters, limits, end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use weir_schema::AlertState::{Confirmed, Provisional};
use weir_schema::ChangeKind::{Raised, Retracted, Revised};
use weir_schema::{AlertId, AlertState, Change, ChangeKind, Level, alert_frame};

use crate::harness::{Memory, SseEvent, TestServer, change};

/// Changes of several alerts over many epochs, some provisional; more than one read returns.
fn history() -> Vec<Change> {
    let mut changes = Vec::new();
    for epoch in 1..=20_u64 {
        for (ordinal, alert) in (0..).zip(['A', 'B', 'C', 'D', 'E']) {
            let (kind, state) = match (epoch + u64::from(ordinal)) % 5 {
                0 => (Raised, Provisional),
                1 => (Revised, Provisional),
                2 => (Revised, Confirmed),
                3 => (Revised, Confirmed),
                _ => (Retracted, Confirmed),
            };
            let mut change = change(epoch, alert, kind, epoch, state);
            change.ordinal = ordinal;
            changes.push(change);
        }
    }
    changes
}

/// Reads the ids and kinds of a stream up to the row `last`.
fn read(server: &TestServer, path: &str, headers: &[&str], last: &str) -> Vec<(String, String)> {
    let mut stream = server.stream(path, headers);
    assert_eq!(stream.status, 200, "{path} {headers:?}");
    let mut rows = Vec::new();
    while rows.last().is_none_or(|(id, _)| id != last) {
        let SseEvent { id, kind, data } = stream.event().unwrap();
        let id = id.unwrap();
        assert_eq!(
            (data["id"].as_str(), data["change"].as_str()),
            (Some(&*id), Some(&*kind))
        );
        rows.push((id, kind));
    }
    rows
}

#[test]
fn resume_after_any_row_without_loss_or_repeat() {
    let memory = Memory::new();
    memory.commit(history());
    // The slot of a closed stream is free only after the next heartbeat.
    let server = TestServer::with(&memory, |options| options.streams_max = 1_000);
    for filter in ["state=all", "state=confirmed", "state=all&level=high"] {
        let path = format!("/api/v1/stream/alerts?after=0-0&{filter}");
        // Row 20-4 passes every one of these filters.
        let whole = read(&server, &path, &[], "20-4");
        assert!(whole.len() > 40, "{filter}: {}", whole.len());
        if filter == "state=all" {
            assert_eq!(whole.len(), history().len());
        }
        for (at, (id, _)) in whole.iter().enumerate().take(whole.len() - 1) {
            let header = format!("Last-Event-ID: {id}");
            let rest = read(&server, &path, &[&header], "20-4");
            assert_eq!(rest, whole[at + 1..], "{filter} cut behind {id}");
        }
    }
}

#[test]
fn emit_rows_at_commit_and_alike_in_all_formats() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let mut sse = server.stream("/api/v1/stream/alerts?state=all", &[]);
    let mut ndjson = server.stream("/api/v1/stream/alerts.ndjson?state=all", &[]);
    let accept = ["Accept: application/x-ndjson"];
    let mut negotiated = server.stream("/api/v1/stream/alerts?state=all", &accept);
    assert_eq!(sse.block().unwrap(), "retry: 2000\nid: 0-0\n\n");
    for row in history().into_iter().take(12) {
        memory.commit([row.clone()]);
        let data = sse.event().unwrap().data;
        assert_eq!(data, weir_web::change_json(&row));
        assert_eq!(ndjson.object().unwrap(), data);
        assert_eq!(negotiated.object().unwrap(), data);
    }
    let metric = "weir_stream_rows_total{format=\"sse\"} 12";
    assert!(server.get("/metrics").text().contains(metric));
    let late = server.stream("/api/v1/stream/alerts", &[]);
    assert!(late.headers.contains(&("weir-cursor".into(), "3-1".into())));
}

#[test]
fn heartbeats_move_the_cursor_past_withheld_rows() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let mut stream = server.stream("/api/v1/stream/alerts", &[]);
    stream.block().unwrap();
    assert_eq!(stream.block().unwrap(), ":\n\n");
    memory.commit([change(1, 'A', Raised, 1, Provisional)]);
    let mut block = stream.block().unwrap();
    while block == ":\n\n" {
        block = stream.block().unwrap();
    }
    assert_eq!(block, ":\nid: 1-0\n\n");
}

/// A row of a table: alert, kind, state, level, superseded alerts.
type Row = (char, ChangeKind, AlertState, Level, &'static [char]);

fn check(query: &str, rows: &[Row], expected: &str) {
    let memory: Arc<Memory> = Memory::new();
    let id = |alert: char| AlertId([0, u64::from(alert)]);
    let mut last = 0;
    for (epoch, (alert, kind, state, level, supersedes)) in (1..).zip(rows) {
        let mut row = change(epoch, *alert, *kind, epoch, *state);
        row.record.level = *level;
        row.supersedes = supersedes.iter().copied().map(id).collect();
        memory.commit([row]);
        last = epoch;
    }
    // The last row passes every filter and marks the end.
    let mut end = change(last + 1, 'Z', Raised, 1, Confirmed);
    end.record.level = Level::Critical;
    memory.commit([end]);
    let server = TestServer::start(&memory);
    let mut stream = server.stream(&format!("/api/v1/stream/alerts?after=0-0&{query}"), &[]);
    let mut emitted = Vec::new();
    loop {
        let SseEvent { kind, data, .. } = stream.event().unwrap();
        let alert = AlertId::parse(data["alert"].as_str().unwrap()).unwrap();
        match char::from_u32(u32::try_from(alert.0[1]).unwrap()).unwrap() {
            'Z' => break,
            alert => emitted.push(format!("{alert} {kind}")),
        }
    }
    assert_eq!(emitted.join(", "), expected, "{query}");
}

#[test]
fn filtered_streams_correct_every_alert_that_they_raised() {
    const HIGH: Level = Level::High;
    const LOW: Level = Level::Low;

    // Confirmed later: from then on every change is emitted, also if it is provisional again.
    let rows: &[Row] = &[
        ('A', Raised, Provisional, HIGH, &[]),
        ('A', Revised, Provisional, HIGH, &[]),
        ('A', Revised, Confirmed, HIGH, &[]),
        ('A', Revised, Provisional, HIGH, &[]),
        ('A', Retracted, Provisional, HIGH, &[]),
        ('A', Raised, Provisional, HIGH, &[]),
        ('A', Retracted, Provisional, HIGH, &[]),
    ];
    check("state=confirmed", rows, "A raised, A revised, A retracted");
    check(
        "state=all",
        rows,
        "A raised, A revised, A revised, A revised, A retracted, A raised, A retracted",
    );

    // A rising level raises the alert; a falling level is emitted as a revision.
    let rows: &[Row] = &[
        ('A', Raised, Confirmed, LOW, &[]),
        ('A', Revised, Confirmed, HIGH, &[]),
        ('A', Revised, Confirmed, LOW, &[]),
        ('A', Retracted, Confirmed, LOW, &[]),
        ('B', Raised, Confirmed, LOW, &[]),
        ('B', Retracted, Confirmed, LOW, &[]),
    ];
    check("level=high", rows, "A raised, A revised, A retracted");

    // An alert that supersedes an emitted alert is emitted although it is provisional.
    let rows: &[Row] = &[
        ('A', Raised, Provisional, HIGH, &[]),
        ('C', Raised, Provisional, HIGH, &[]),
        ('A', Revised, Provisional, HIGH, &['C']),
        ('A', Revised, Confirmed, HIGH, &[]),
    ];
    check("state=confirmed", rows, "A raised");
    let rows: &[Row] = &[
        ('A', Raised, Provisional, HIGH, &[]),
        ('B', Raised, Confirmed, HIGH, &[]),
        ('A', Revised, Provisional, HIGH, &['B']),
        ('A', Retracted, Provisional, HIGH, &[]),
    ];
    check("state=confirmed", rows, "B raised, A raised, A retracted");
}

#[test]
fn count_limit_and_release_streams() {
    let memory = Memory::new();
    let server = TestServer::with(&memory, |options| options.streams_max = 2);
    let first = server.stream("/api/v1/stream/alerts", &[]);
    let _second = server.stream("/api/v1/stream/alerts.ndjson", &[]);
    let third = server.get("/api/v1/stream/alerts");
    assert_eq!(third.problem(503).0, "busy");
    assert!(third.header("retry-after").is_some());
    drop(first);
    let open = "weir_stream_subscribers{format=\"sse\"} 1";
    let gone = (0..100_000).any(|_| !server.get("/metrics").text().contains(open));
    assert!(gone, "the slot was not released");
    assert_eq!(server.stream("/api/v1/stream/alerts", &[]).status, 200);
}

#[test]
fn end_every_stream_at_a_stop() {
    let memory = Memory::new();
    let mut server = TestServer::start(&memory);
    let mut sse = server.stream("/api/v1/stream/alerts", &[]);
    let mut ndjson = server.stream("/api/v1/stream/alerts.ndjson", &[]);
    server.stop();
    assert_eq!(sse.event(), None);
    assert_eq!(ndjson.object(), None);
}

/// Commits revisions of which the outbox stores only the last two.
fn overrun(memory: &Memory, epochs: std::ops::RangeInclusive<u64>) {
    let rows = epochs.map(|epoch| change(epoch, 'A', Revised, epoch, Confirmed));
    let mut changes = memory.changes.lock().unwrap();
    changes.extend(rows);
    memory
        .first_stored
        .store(changes.len() - 2, Ordering::SeqCst);
    drop(changes);
    memory.outbox_signal.send_modify(|n| *n += 1);
}

fn gap(from: &str, to: &str) -> Value {
    json!({ "from": from, "to": to, "catch_up": "/api/v1/alerts?standing=all" })
}

fn gap_event(from: &str, to: &str) -> SseEvent {
    SseEvent {
        id: None,
        kind: "gap".into(),
        data: gap(from, to),
    }
}

#[test]
fn report_gaps_to_clients() {
    let memory = Memory::new();
    overrun(&memory, 1..=9);
    let server = TestServer::start(&memory);
    // A client that resumes, one that wants all rows, and one without a gap.
    for (path, from) in [
        ("?after=3-0", "3-0"),
        ("?after=0-0", "0-0"),
        ("?after=7-0", ""),
    ] {
        let mut stream = server.stream(&format!("/api/v1/stream/alerts{path}"), &[]);
        stream.block().unwrap();
        if !from.is_empty() {
            assert_eq!(stream.event().unwrap(), gap_event(from, "8-0"), "{path}");
        }
        for id in ["8-0", "9-0"] {
            let event = stream.event().unwrap();
            assert_eq!(event.id.as_deref(), Some(id), "{path}");
        }
    }
}

#[test]
fn report_gaps_in_every_format() {
    let memory = Memory::new();
    overrun(&memory, 1..=9);
    let server = TestServer::start(&memory);
    let mut sse = server.stream("/api/v1/stream/alerts", &[]);
    let mut ndjson = server.stream("/api/v1/stream/alerts.ndjson?format=ocsf", &[]);
    let accept = format!("Accept: {}", alert_frame::MEDIA_TYPE);
    let mut frames = server.stream("/api/v1/stream/alerts", &[&accept]);
    sse.block().unwrap();
    overrun(&memory, 10..=30);
    assert_eq!(sse.event().unwrap(), gap_event("9-0", "29-0"));
    assert_eq!(sse.event().unwrap().id.as_deref(), Some("29-0"));
    let mut row = gap("9-0", "29-0");
    row["change"] = "gap".into();
    assert_eq!(ndjson.object().unwrap(), row);
    assert_eq!(ndjson.object().unwrap()["activity"], "revised");
    let frame = frames.frame();
    let gap_frame = alert_frame::decode(&frame).unwrap();
    assert_eq!(gap_frame.kind(), alert_frame::Kind::Gap);
    assert_eq!(
        (
            gap_frame.gap_epoch(),
            gap_frame.gap_ordinal(),
            gap_frame.epoch()
        ),
        (9, 0, 29)
    );
    let frame = frames.frame();
    assert_eq!(alert_frame::decode(&frame).unwrap().epoch(), 29);
    let metrics = server.get("/metrics").text();
    for (format, count) in [("sse", 1), ("ndjson", 1), ("flatbuffers", 1)] {
        let line = format!("weir_stream_gaps_total{{format=\"{format}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}");
    }
}

/// Waits until `/metrics` has a line.
fn await_metric(server: &TestServer, line: &str) {
    let found = (0..100_000).any(|_| server.get("/metrics").text().contains(line));
    assert!(found, "{line}");
}

#[test]
fn release_the_slot_of_a_stalled_client() {
    let memory = Memory::new();
    // More rows than the buffers of a connection hold.
    let rows = (1..=20_000).map(|epoch| change(epoch, 'A', Revised, epoch, Confirmed));
    memory.commit(rows);
    let server = TestServer::with(&memory, |options| {
        options.streams_max = 1;
        options.stall_timeout = Duration::from_millis(200);
    });
    let stalled = server.stream("/api/v1/stream/alerts?after=0-0&state=all", &[]);
    assert_eq!(server.get("/api/v1/stream/alerts").status, 503);
    await_metric(
        &server,
        "weir_stream_ends_total{format=\"sse\",reason=\"stalled\"} 1\n",
    );
    await_metric(&server, "weir_stream_subscribers{format=\"sse\"} 0\n");
    // A client that reads late is not stalled, and a client that disconnects is not either.
    let mut reader = server.stream("/api/v1/stream/alerts?after=19990-0", &[]);
    for _ in 0..20 {
        reader.block().unwrap();
    }
    drop(reader);
    await_metric(
        &server,
        "weir_stream_ends_total{format=\"sse\",reason=\"gone\"} 1\n",
    );
    drop(stalled);
    let wide = format!("/api/v1/tap?limit=100000&field=a={}", "x".repeat(1_000));
    let tap = server.stream(&wide, &[]);
    await_metric(
        &server,
        "weir_stream_ends_total{format=\"tap\",reason=\"stalled\"} 1\n",
    );
    drop(tap);
}
