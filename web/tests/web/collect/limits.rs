//! Tokens, limits and counts of all protocols.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_web::COLLECTOR_ROUTES;
use weir_web::ports::{IntakeError, IntakeReceipt};

use super::otlp::{otlp, record};
use super::{JOURNAL, JSON, PROTOBUF, busy, gzip, refuse_next, take_frames};
use crate::harness::{Answer, Memory, TOKEN, TestServer};

#[test]
fn only_health_routes_answer_without_the_token() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/collectors.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for (method, path) in COLLECTOR_ROUTES {
        let documented = manual.contains(&format!("`{method} {path}`"));
        assert!(documented, "{method} {path} is not in docs/collectors.md");
        let path = path.replace(['{', '}'], "");
        let line = format!("{method} {path}");
        for headers in [
            &[][..],
            &["Authorization: Splunk no"],
            &["Authorization: Basic eDp5"],
        ] {
            let answer = server.send_without_token(&line, headers, b"");
            let open = path.starts_with("/services/collector/health");
            let splunk = path.starts_with("/services");
            let wrong = splunk && !headers.is_empty();
            let status = [200, 403, 401][if open { 0 } else { 2 - usize::from(wrong) }];
            assert_eq!(
                answer.status,
                status,
                "{line} {headers:?} {}",
                answer.text()
            );
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
        let answer = server.send(&line, &[], b"");
        assert!(![401, 403, 405].contains(&answer.status), "{line}");
    }
    for (headers, code) in [
        (&[][..], 2),
        (&["Authorization: Negotiate x"], 3),
        (&["Authorization: Splunk x"], 4),
    ] {
        let answer = server.send_without_token("POST /services/collector", headers, b"{}");
        assert_eq!(answer.json()["code"], code);
    }
    let splunk = format!("Authorization: Splunk {TOKEN}");
    let answer =
        server.send_without_token("POST /services/collector", &[&splunk], b"{\"event\":1}");
    assert_eq!(answer.json(), json!({ "text": "Success", "code": 0 }));
    assert!(take_frames(&memory).len() == 1);
}

#[test]
fn accept_compressed_bodies_within_limits() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let post = |path: &str, headers: &[&str], body: &[u8]| -> Answer {
        server.send(&format!("POST {path}"), headers, body)
    };
    let record = otlp(&[record("a")]);
    for (path, kind, body) in [
        ("/api/v1/events", JSON, &b"{\"a\":1}"[..]),
        ("/services/collector", JSON, b"{\"event\":1}"),
        ("/services/collector/raw", JSON, b"x"),
        ("/a/_bulk", JSON, b"{\"index\":{}}\n{}\n"),
        ("/v1/logs", PROTOBUF, &record),
    ] {
        for (coding, compressed) in [
            ("gzip", gzip(body)),
            ("zstd", zstd::encode_all(body, 1).unwrap()),
            ("identity", body.to_vec()),
        ] {
            let coding = format!("Content-Encoding: {coding}");
            let answer = post(path, &[kind, &coding], &compressed);
            assert_eq!(answer.status, 200, "{path} {coding} {}", answer.text());
            assert_eq!(take_frames(&memory).len(), 1, "{path} {coding}");
        }
        let bomb = gzip(&vec![b'\n'; 8 << 20]);
        let answer = post(path, &[kind, "Content-Encoding: gzip"], &bomb);
        assert_eq!(answer.status, 413, "{path} {}", answer.text());
        assert!(answer.text().contains("250 times"), "{}", answer.text());
        let answer = post(path, &[kind, "Content-Encoding: br"], body);
        assert_eq!(answer.status, 415, "{path}");
    }
    assert!(take_frames(&memory).is_empty());
}

#[test]
fn count_every_event_of_a_body() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    memory
        .intake_answers
        .lock()
        .unwrap()
        .push_back(Ok(IntakeReceipt { repeated: true }));
    let post = |path: &str, kind: &str, body: &[u8]| {
        server.send(&format!("POST {path}"), &[kind], body);
    };
    post("/api/v1/events", JSON, b"{}\n{}\nno\n");
    refuse_next(&memory, busy());
    post("/api/v1/events", JSON, b"{}\n{}\nno\n");
    post("/services/collector", JSON, b"{\"event\":1}{\"event\":2}{}");
    post(
        "/a/_bulk",
        JSON,
        b"{\"index\":{}}\n{}\n{\"delete\":{}}\n{\"index\":{}}\n1\n",
    );
    refuse_next(&memory, IntakeError::Conflict);
    post("/v1/logs", PROTOBUF, &otlp(&[record("a"), vec![0xff]]));
    post("/upload", JOURNAL, b"A=1\n\nB=2\n\nno");
    let text = server.get("/metrics").text();
    let sum = |name: &str, way: &str| -> u64 {
        let lines = text.lines().filter(|line| {
            line.starts_with(&format!("{name}{{")) && line.contains(&format!("way=\"{way}\""))
        });
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    for (way, events) in [
        ("events", 6),
        ("hec", 3),
        ("bulk", 3),
        ("otlp", 2),
        ("journald", 2),
    ] {
        let received = sum("weir_http_events_received_total", way);
        let accepted = sum("weir_http_events_accepted_total", way);
        let refused = sum("weir_http_events_refused_total", way);
        assert_eq!(
            (received, received),
            (events, accepted + refused),
            "{way}\n{text}"
        );
    }
    let bodies = |way| sum("weir_http_bodies_refused_total", way);
    assert_eq!(
        (bodies("events"), bodies("otlp"), bodies("journald")),
        (1, 1, 1)
    );
}

#[test]
fn limit_sources_and_event_sizes() {
    let memory: Arc<Memory> = Memory::new();
    let server = TestServer::start(&memory);
    let body: String = (0..1_001)
        .map(|n| json!({ "event": 1, "source": format!("s{n}") }).to_string())
        .collect();
    let answer = server.send("POST /services/collector", &[], body.as_bytes());
    assert_eq!(
        (answer.status, answer.json()["code"].as_u64()),
        (413, Some(6))
    );
    let long = json!({ "event": "x".repeat(1 << 20) }).to_string();
    let answer = server.send("POST /services/collector", &[], long.as_bytes());
    let json: Value = answer.json();
    assert_eq!(
        (&json["code"], &json["invalid-event-number"]),
        (&json!(6), &json!(0))
    );
    assert!(take_frames(&memory).is_empty());
}
