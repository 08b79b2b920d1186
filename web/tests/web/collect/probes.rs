//! Probes that shippers send before they send events, and requests of one document.

use serde_json::json;
use weir_schema::Format;

use super::{busy, refuse_next, row, take_frames};
use crate::harness::{Memory, TOKEN, TestServer};

/// Addresses that take events.
const ADDRESSES: [&str; 10] = [
    "/services/collector",
    "/services/collector/event",
    "/services/collector/event/1.0",
    "/services/collector/raw",
    "/services/collector/raw/1.0",
    "/_bulk",
    "/logs/_bulk",
    "/logs/_doc",
    "/v1/logs",
    "/upload",
];

#[test]
fn probes_need_the_token_and_accept_nothing() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    for path in ADDRESSES {
        for method in ["OPTIONS", "HEAD", "GET"] {
            let line = format!("{method} {path}");
            let answer = server.send(&line, &[], b"");
            assert_eq!(answer.status, 200, "{line}: {}", answer.text());
            assert_eq!(
                answer.header("allow"),
                Some("POST, OPTIONS, HEAD, GET"),
                "{line}"
            );
            let answer = server.send_without_token(&line, &[], b"");
            assert_eq!(answer.status, 401, "{line} without the token");
            assert_eq!(answer.header("allow"), None, "{line} without the token");
        }
        let answer = server.send(&format!("DELETE {path}"), &[], b"");
        assert!([404, 405].contains(&answer.status), "DELETE {path}");
    }
    let splunk = format!("Authorization: Splunk {TOKEN}");
    let line = "OPTIONS /services/collector/event/1.0";
    assert_eq!(server.send_without_token(line, &[&splunk], b"").status, 200);
    // Weir does not speak this protocol, so its probes find nothing.
    for line in [
        "OPTIONS /loki/api/v1/push",
        "GET /ready",
        "GET /logs/_doc/1",
    ] {
        let status = server.send(line, &[], b"").status;
        assert!([404, 405].contains(&status), "{line}: {status}");
    }
    assert!(take_frames(&memory).is_empty());
}

#[test]
fn accept_one_document() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let key = format!("Authorization: ApiKey {TOKEN}");
    let send = |line: &str, body: &[u8]| server.send_without_token(line, &[&key], body);
    for line in [
        "POST /logs-2026.11.22/_doc",
        "PUT /logs/_doc/7",
        "PUT /logs/_create/8",
    ] {
        let answer = send(line, b" {\"message\":\"x\"}\n");
        assert_eq!(answer.status, 201, "{line}: {}", answer.text());
        assert_eq!(answer.json()["result"], "created");
        let frame = row("logs", Format::Json, "{\"message\":\"x\"}");
        assert_eq!(take_frames(&memory), [frame], "{line}");
    }
    assert_eq!(send("PUT /logs/_doc/7", b"{}").json()["_id"], json!("7"));
    let _ = take_frames(&memory);
    for body in [&b""[..], b"[1]", b"{", b"{}{}"] {
        let answer = send("POST /logs/_doc", body);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "document_parsing_exception");
    }
    assert!(take_frames(&memory).is_empty());
    refuse_next(&memory, busy());
    assert_eq!(send("POST /logs/_doc", b"{}").status, 429);
    // A path of Elasticsearch that Weir lacks is missing, not forbidden.
    assert_eq!(send("GET /logs/_search", b"").status, 404);
    assert_eq!(send("POST /logs/_doc/1/_update", b"{}").status, 404);
    let wrong = ["Authorization: ApiKey no"];
    let answer = server.send_without_token("GET /logs/_search", &wrong, b"");
    assert_eq!(answer.status, 401);
}
