//! Tokens, malformed requests, and problem details.

use std::io::Write;

use weir_web::ROUTES;

use super::filled;
use crate::harness::{Memory, TOKEN, TestServer};

#[test]
fn only_health_routes_answer_without_the_token() {
    let server = TestServer::start(&filled());
    let mut paths: Vec<(&str, String)> = ROUTES
        .iter()
        .map(|(method, path)| (*method, path.replace("{id}", "0".repeat(32).as_str())))
        .collect();
    for path in [
        "/",
        "/nowhere",
        "/api/v1/alerts/",
        "/api/v1/alerts/../../healthz",
        "/healthz/",
    ] {
        paths.push(("GET", path.into()));
        paths.push(("DELETE", path.into()));
    }
    let long = format!("Authorization: Bearer {}", "x".repeat(5_000));
    let prefix = format!("Authorization: Bearer {}", &TOKEN[..TOKEN.len() - 1]);
    let basic = format!("Authorization: Basic {TOKEN}");
    let credentials: [&[&str]; 7] = [
        &[],
        &["Authorization:"],
        &["Authorization: Bearer"],
        &["Authorization: Bearer "],
        &[&long],
        &[&prefix],
        &[&basic],
    ];
    for (method, path) in &paths {
        let open = path == "/healthz" || path == "/readyz";
        for headers in credentials {
            let answer = server.send_without_token(&format!("{method} {path}"), headers, b"");
            if open {
                assert_eq!(answer.status, 200, "{path}");
            } else {
                assert_eq!(answer.problem(401).0, "unauthorized", "{method} {path}");
                assert!(answer.header("www-authenticate").is_some());
            }
        }
        let answer = server.send_without_token(&format!("{method} {path}?token={TOKEN}"), &[], b"");
        assert_eq!(
            answer.status == 401,
            !open,
            "{path}: a token in the query is ignored"
        );
    }
}

#[test]
fn every_route_answers_and_is_documented() {
    let server = TestServer::start(&filled());
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for (method, path) in ROUTES {
        assert!(
            manual.contains(&format!("`{method} {path}`")),
            "{method} {path}"
        );
        let path = path.replace("{id}", "x").replace("{name}", "x");
        if path.contains("/stream/") || path.ends_with("/tap") {
            assert_eq!(server.stream(&path, &[]).status, 200);
            continue;
        }
        let answer = server.send(&format!("{method} {path}"), &[], b"");
        assert_ne!(answer.status, 405, "{method} {path}");
        assert_ne!(answer.status, 401, "{method} {path}");
        if answer.status == 404 {
            assert!(
                answer.problem(404).1.contains("\"x\""),
                "the handler answers, not the router"
            );
        }
    }
    assert_eq!(server.get("/nowhere").problem(404).0, "not-found");
    let answer = server.send("PATCH /api/v1/alerts", &[], b"");
    assert_eq!(answer.problem(405).0, "method-not-allowed");
}

/// Request line, header and expected status of malformed requests.
const MALFORMED_REQUESTS: &[(&str, &str, u16)] = &[
    ("GET /api/v1/alerts?limit=0", "", 400),
    ("GET /api/v1/alerts?limit=1001", "", 400),
    ("GET /api/v1/alerts?limit=99999999999999999999999", "", 400),
    ("GET /api/v1/alerts?limit=1&limit=2", "", 400),
    ("GET /api/v1/alerts?levle=high", "", 400),
    ("GET /api/v1/alerts?level=HIGH", "", 400),
    ("GET /api/v1/alerts?after=%00", "", 400),
    ("GET /api/v1/alerts?group=host", "", 400),
    ("GET /api/v1/alerts?format=OCSF", "", 400),
    ("GET /api/v1/alerts?group=%ff%fe", "", 400),
    ("GET /api/v1/alerts/%00", "", 400),
    ("GET /api/v1/alerts/%ff%fe", "", 400),
    ("GET /api/v1/alerts/..%2f..%2fetc%2fpasswd", "", 400),
    ("DELETE /api/v1/rules/%ff%00", "", 404),
    ("GET /api/v1/stream/alerts?after=", "", 400),
    ("GET /api/v1/stream/alerts?after=1", "", 400),
    ("GET /api/v1/stream/alerts?after=-1-0", "", 400),
    ("GET /api/v1/stream/alerts?after=%2b1-0", "", 400),
    ("GET /api/v1/stream/alerts?after=1-4294967296", "", 400),
    (
        "GET /api/v1/stream/alerts?after=18446744073709551616-0",
        "",
        400,
    ),
    ("GET /api/v1/stream/alerts?state=maybe", "", 400),
    (
        "GET /api/v1/stream/alerts.ndjson",
        "Last-Event-ID: 1-0x",
        400,
    ),
    (
        "GET /api/v1/stream/alerts.ndjson",
        "Last-Event-ID: \u{fffd}",
        400,
    ),
    ("POST /api/v1/events?source=", "", 400),
    ("POST /api/v1/events?source=a%0ab", "", 400),
    ("POST /api/v1/events?source=../x", "", 400),
    ("POST /api/v1/events", "Idempotency-Key: a b", 400),
    ("POST /api/v1/events", "Idempotency-Key:", 400),
    (
        "POST /api/v1/events",
        "Idempotency-Key: a\r\nIdempotency-Key: b",
        400,
    ),
    ("POST /api/v1/events", "Content-Encoding: br", 415),
    (
        "POST /api/v1/events",
        "Content-Type: application/x-www-form-urlencoded",
        415,
    ),
];

#[test]
fn answer_malformed_requests_with_problems() {
    let server = TestServer::start(&filled());
    for (line, header, status) in MALFORMED_REQUESTS {
        let headers: &[&str] = if header.is_empty() { &[] } else { &[header] };
        let answer = server.send(line, headers, b"");
        assert_eq!(answer.status, *status, "{line} {header}: {}", answer.text());
        answer.problem(*status);
    }
}

#[test]
fn survive_requests_that_are_not_http() {
    let server = TestServer::start(&filled());
    let path = "x".repeat(200_000);
    for bytes in [
        &b"GET /\0 HTTP/1.1\r\n\r\n"[..],
        b"\xff\xfe\0\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        format!("GET /{path} HTTP/1.1\r\n\r\n").as_bytes(),
    ] {
        let mut socket = server.connect();
        // The server may close the connection before everything is sent.
        let _ = socket.write_all(bytes);
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn close_connections_with_unread_bodies() {
    let server = TestServer::start(&Memory::new());
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for (line, token, status) in [
        ("POST /api/v1/events", "", 401),
        ("GET /healthz", "", 200),
        ("GET /api/v1/alerts", token.as_str(), 200),
        ("POST /api/v1/events?x=y", token.as_str(), 400),
    ] {
        // The body never ends; `send_raw` returns once the server closes the connection.
        let request = format!(
            "{line} HTTP/1.1\r\nHost: h\r\n{token}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
        );
        assert_eq!(server.send_raw(request.as_bytes()).status, status, "{line}");
    }
}
