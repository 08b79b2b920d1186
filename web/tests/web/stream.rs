//! Alert streams: order, resuming, filters, limits, the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::{Memory, Running, change};
use weir_schema::AlertState::{Confirmed, Provisional};
use weir_schema::ChangeKind::{Raised, Retracted, Revised};
use weir_schema::{AlertId, AlertState, Change, ChangeKind, Level, alert_frame};

/// Changes of many alerts over many epochs, some provisional at first; more than one read's worth.
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
            changes.push(change((epoch, ordinal), alert, kind, epoch, state));
        }
    }
    changes
}

/// The ids and words of a stream until the row `last`.
fn read(server: &Running, path: &str, headers: &[&str], last: &str) -> Vec<(String, String)> {
    let mut stream = server.stream(path, headers);
    assert_eq!(stream.status, 200, "{path} {headers:?}");
    let mut rows = Vec::new();
    while rows.last().is_none_or(|(id, _)| id != last) {
        let (id, word, data) = stream.event().unwrap();
        assert_eq!(
            (data["id"].as_str(), data["change"].as_str()),
            (Some(&*id), Some(&*word))
        );
        rows.push((id, word));
    }
    rows
}

#[test]
fn a_stream_cut_anywhere_goes_on_without_loss_or_repeat() {
    let memory = Memory::new();
    memory.commit(history());
    // A seat is given back when the next heartbeat finds the client gone.
    let server = Running::with(&memory, |options| options.streams_max = 1_000);
    for filter in ["state=all", "state=confirmed", "state=all&level=high"] {
        let path = format!("/api/v1/stream/alerts?after=0-0&{filter}");
        // Row 20-4 is one that each of these filters lets through.
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
fn rows_come_as_they_are_committed_and_both_formats_agree() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let mut sse = server.stream("/api/v1/stream/alerts?state=all", &[]);
    let mut ndjson = server.stream("/api/v1/stream/alerts.ndjson?state=all", &[]);
    let accept = ["Accept: application/x-ndjson"];
    let mut asked = server.stream("/api/v1/stream/alerts?state=all", &accept);
    assert_eq!(sse.block().unwrap(), "retry: 2000\nid: 0-0\n\n");
    for row in history().into_iter().take(12) {
        memory.commit([row.clone()]);
        let (_, _, data) = sse.event().unwrap();
        assert_eq!(data, weir_web::change_json(&row));
        assert_eq!(ndjson.object().unwrap(), data);
        assert_eq!(asked.object().unwrap(), data);
    }
    let counted = "weir_stream_rows_total{format=\"sse\"} 12";
    assert!(server.get("/metrics").text().contains(counted));
    let late = server.stream("/api/v1/stream/alerts", &[]);
    assert!(late.headers.contains(&("weir-cursor".into(), "3-1".into())));
}

#[test]
fn a_quiet_stream_lives_and_moves_its_cursor_past_what_it_withholds() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let mut stream = server.stream("/api/v1/stream/alerts", &[]);
    stream.block().unwrap();
    assert_eq!(stream.block().unwrap(), ":\n\n");
    memory.commit([change((1, 0), 'A', Raised, 1, Provisional)]);
    let mut block = stream.block().unwrap();
    while block == ":\n\n" {
        block = stream.block().unwrap();
    }
    assert_eq!(block, ":\nid: 1-0\n\n");
}

/// One row of a table: alert, word, state, level, what it swallows.
type Row = (char, ChangeKind, AlertState, Level, &'static [char]);

fn check(query: &str, rows: &[Row], said: &str) {
    let memory: Arc<Memory> = Memory::new();
    let id = |alert: char| AlertId([0, u64::from(alert)]);
    let mut last = 0;
    for (epoch, (alert, kind, state, level, swallows)) in (1..).zip(rows) {
        let mut row = change((epoch, 0), *alert, *kind, epoch, *state);
        row.record.level = *level;
        row.supersedes = swallows.iter().copied().map(id).collect();
        memory.commit([row]);
        last = epoch;
    }
    // Passes every filter, so that the end is known.
    let mut end = change((last + 1, 0), 'Z', Raised, 1, Confirmed);
    end.record.level = Level::Critical;
    memory.commit([end]);
    let server = Running::start(&memory);
    let mut stream = server.stream(&format!("/api/v1/stream/alerts?after=0-0&{query}"), &[]);
    let mut words = Vec::new();
    loop {
        let (_, word, data) = stream.event().unwrap();
        let alert = AlertId::parse(data["alert"].as_str().unwrap()).unwrap();
        match char::from_u32(u32::try_from(alert.0[1]).unwrap()).unwrap() {
            'Z' => break,
            alert => words.push(format!("{alert} {word}")),
        }
    }
    assert_eq!(words.join(", "), said, "{query}");
}

#[test]
fn a_filtered_stream_raises_what_passes_and_corrects_all_that_it_raised() {
    const HIGH: Level = Level::High;
    const LOW: Level = Level::Low;

    // Confirmed later; then everything about it is said, provisional again or not.
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

    // A level that rises raises; one that falls is told.
    let rows: &[Row] = &[
        ('A', Raised, Confirmed, LOW, &[]),
        ('A', Revised, Confirmed, HIGH, &[]),
        ('A', Revised, Confirmed, LOW, &[]),
        ('A', Retracted, Confirmed, LOW, &[]),
        ('B', Raised, Confirmed, LOW, &[]),
        ('B', Retracted, Confirmed, LOW, &[]),
    ];
    check("level=high", rows, "A raised, A revised, A retracted");

    // What takes the place of an alert that was said is said, though it is provisional itself.
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
fn streams_are_counted_limited_and_given_back() {
    let memory = Memory::new();
    let server = Running::with(&memory, |options| options.streams_max = 2);
    let first = server.stream("/api/v1/stream/alerts", &[]);
    let _second = server.stream("/api/v1/stream/alerts.ndjson", &[]);
    let third = server.get("/api/v1/stream/alerts");
    assert_eq!(third.problem(503).0, "busy");
    assert!(third.header("retry-after").is_some());
    drop(first);
    let open = "weir_stream_subscribers{format=\"sse\"} 1";
    let gone = (0..100_000).any(|_| !server.get("/metrics").text().contains(open));
    assert!(gone, "the seat was not given back");
    assert_eq!(server.stream("/api/v1/stream/alerts", &[]).status, 200);
}

#[test]
fn a_stop_ends_every_stream_well() {
    let memory = Memory::new();
    let mut server = Running::start(&memory);
    let mut sse = server.stream("/api/v1/stream/alerts", &[]);
    let mut ndjson = server.stream("/api/v1/stream/alerts.ndjson", &[]);
    server.stop();
    assert_eq!(sse.event(), None);
    assert_eq!(ndjson.object(), None);
}

/// Commits to a listener that is far behind in one go: of these rows the outbox has the last two.
fn overrun(memory: &Memory, epochs: std::ops::RangeInclusive<u64>) {
    let rows = epochs.map(|epoch| change((epoch, 0), 'A', Revised, epoch, Confirmed));
    let mut changes = memory.changes.lock().unwrap();
    changes.extend(rows);
    memory.kept_from.store(changes.len() - 2, Ordering::SeqCst);
    drop(changes);
    memory.bell.send_modify(|n| *n += 1);
}

#[test]
fn a_listener_whose_rows_have_gone_is_told_so() {
    let memory = Memory::new();
    overrun(&memory, 1..=9);
    let server = Running::start(&memory);
    let gap = |from: &str, to: &str| serde_json::json!({ "from": from, "to": to, "catch_up": "/api/v1/alerts?standing=all" });
    // One that comes back, and one that asks for all; then both are slow while they are connected.
    for (path, from) in [
        ("?after=3-0", "3-0"),
        ("?after=0-0", "0-0"),
        ("?after=7-0", ""),
    ] {
        let mut stream = server.stream(&format!("/api/v1/stream/alerts{path}"), &[]);
        stream.block().unwrap();
        if !from.is_empty() {
            let told = stream.told().unwrap();
            assert_eq!(told, (None, "gap".into(), gap(from, "8-0")), "{path}");
        }
        for id in ["8-0", "9-0"] {
            assert_eq!(stream.event().unwrap().0, id, "{path}");
        }
    }
    // Those that have left are told nothing more.
    counted(&server, "weir_stream_subscribers{format=\"sse\"} 0\n");
    let mut sse = server.stream("/api/v1/stream/alerts", &[]);
    let mut ndjson = server.stream("/api/v1/stream/alerts.ndjson?format=ocsf", &[]);
    let accept = format!("Accept: {}", alert_frame::MEDIA_TYPE);
    let mut frames = server.stream("/api/v1/stream/alerts", &[&accept]);
    sse.block().unwrap();
    overrun(&memory, 10..=30);
    assert_eq!(
        sse.told().unwrap(),
        (None, "gap".into(), gap("9-0", "29-0"))
    );
    assert_eq!(sse.event().unwrap().0, "29-0");
    let mut row = gap("9-0", "29-0");
    row["change"] = "gap".into();
    assert_eq!(ndjson.object().unwrap(), row);
    assert_eq!(ndjson.object().unwrap()["activity"], "revised");
    let frame = frames.frame();
    let told = alert_frame::decode(&frame).unwrap();
    assert_eq!(told.kind(), alert_frame::Kind::Gap);
    assert_eq!(
        (told.gap_epoch(), told.gap_ordinal(), told.epoch()),
        (9, 0, 29)
    );
    let frame = frames.frame();
    assert_eq!(alert_frame::decode(&frame).unwrap().epoch(), 29);
    let metrics = server.get("/metrics").text();
    for (format, count) in [("sse", 3), ("ndjson", 1), ("flatbuffers", 1)] {
        let counted = format!("weir_stream_gaps_total{{format=\"{format}\"}} {count}\n");
        assert!(metrics.contains(&counted), "{counted}");
    }
}

/// Waits until `/metrics` has a line.
fn counted(server: &Running, line: &str) {
    let found = (0..100_000).any(|_| server.get("/metrics").text().contains(line));
    assert!(found, "{line}");
}

#[test]
fn a_reader_that_does_not_read_gives_its_seat_back() {
    let memory = Memory::new();
    // More than the buffers of a connection take.
    let rows = (1..=20_000).map(|epoch| change((epoch, 0), 'A', Revised, epoch, Confirmed));
    memory.commit(rows);
    let server = Running::with(&memory, |options| {
        options.streams_max = 1;
        options.stall_timeout = Duration::from_millis(200);
    });
    let stalled = server.stream("/api/v1/stream/alerts?after=0-0&state=all", &[]);
    assert_eq!(server.get("/api/v1/stream/alerts").status, 503);
    counted(
        &server,
        "weir_stream_ends_total{format=\"sse\",reason=\"stalled\"} 1\n",
    );
    counted(&server, "weir_stream_subscribers{format=\"sse\"} 0\n");
    // Who reads, however late, is not stalled; nor is who leaves.
    let mut reader = server.stream("/api/v1/stream/alerts?after=19990-0", &[]);
    for _ in 0..20 {
        reader.block().unwrap();
    }
    drop(reader);
    counted(
        &server,
        "weir_stream_ends_total{format=\"sse\",reason=\"gone\"} 1\n",
    );
    drop(stalled);
    let wide = format!("/api/v1/tap?limit=100000&field=a={}", "x".repeat(1_000));
    let tap = server.stream(&wide, &[]);
    counted(
        &server,
        "weir_stream_ends_total{format=\"tap\",reason=\"stalled\"} 1\n",
    );
    drop(tap);
}
