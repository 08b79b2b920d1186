//! OTLP logs in protobuf and JSON.

use serde_json::json;
use weir_schema::Format;

use super::{JSON, PROTOBUF, busy, refuse_next, row, take_frames};
use crate::harness::{Answer, Memory, TestServer};

/// A length-delimited protobuf field.
fn part(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag << 3 | 2];
    let mut length = bytes.len();
    while length >= 128 {
        field.push(length as u8 | 128);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

fn pair(key: &str, text: &str) -> Vec<u8> {
    [part(1, key.as_bytes()), part(2, &part(1, text.as_bytes()))].concat()
}

/// A request with one scope and one resource, which follows its records.
pub(super) fn otlp(records: &[Vec<u8>]) -> Vec<u8> {
    let resource = [
        part(1, &pair("service.name", "shop")),
        part(1, &pair("host.name", "w")),
    ];
    let records: Vec<u8> = records.iter().flat_map(|record| part(2, record)).collect();
    let scope = [part(1, &part(1, b"lib")), records].concat();
    part(1, &[part(2, &scope), part(1, &resource.concat())].concat())
}

pub(super) fn record(text: &str) -> Vec<u8> {
    let time = [&[9][..], &1_500_000_000u64.to_le_bytes()].concat();
    let severity = vec![2 << 3, 17];
    let attribute = part(6, &pair("user.id", "u1"));
    [
        time,
        severity,
        part(5, &part(1, text.as_bytes())),
        attribute,
        part(9, &[0xab; 16]),
    ]
    .concat()
}

/// The frame of `record("disk full")` in the request of [`otlp`].
const FRAME: &str = concat!(
    r#"{"time":"1970-01-01T00:00:01.500000000Z","host":"w","level":"ERROR","#,
    r#""severity_number":17,"message":"disk full","#,
    r#""trace_id":"abababababababababababababababab","#,
    r#""attributes":{"user.id":"u1"},"scope":{"name":"lib"},"#,
    r#""resource":{"service.name":"shop","host.name":"w"}}"#
);

fn post(server: &TestServer, kind: &str, body: &[u8]) -> Answer {
    server.send("POST /v1/logs", &[kind], body)
}

#[test]
fn accept_records_in_protobuf() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let answer = post(&server, PROTOBUF, &otlp(&[record("disk full")]));
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]));
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(take_frames(&memory), [row("shop", Format::Json, FRAME)]);
}

#[test]
fn accept_records_in_json() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let text = |text: &str| json!({ "stringValue": text });
    let body = json!({ "resourceLogs": [{
        "resource": { "attributes": [
            { "key": "service.name", "value": text("shop") },
            { "key": "host.name", "value": text("w") },
        ]},
        "scopeLogs": [{ "scope": { "name": "lib" }, "logRecords": [{
            "timeUnixNano": "1500000000", "severityNumber": 17, "body": text("disk full"),
            "attributes": [{ "key": "user.id", "value": text("u1") }],
            "traceId": "ABABABABABABABABABABABABABABABAB",
        }]}],
    }]});
    let answer = post(&server, JSON, body.to_string().as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert_eq!(take_frames(&memory), [row("shop", Format::Json, FRAME)]);
}

#[test]
fn reject_invalid_records_one_by_one() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let body = otlp(&[record("a"), vec![0xff], record("b")]);
    let answer = post(&server, PROTOBUF, &body);
    assert_eq!(answer.status, 200);
    assert_eq!(
        (answer.body[0], answer.body[2], answer.body[3]),
        (1 << 3 | 2, 1 << 3, 1)
    );
    assert_eq!(take_frames(&memory).len(), 2);
    let body = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":1},{"flags":"x"}]}]}]}"#;
    let answer = post(&server, JSON, body);
    assert_eq!(answer.json()["partialSuccess"]["rejectedLogRecords"], "1");
    assert_eq!(take_frames(&memory)[0].0, "otlp");
}

#[test]
fn refuse_invalid_requests_as_a_whole() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let whole = otlp(&[record("a")]);
    for (kind, body, status) in [
        (PROTOBUF, &whole[..whole.len() - 3], 400),
        (
            PROTOBUF,
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            400,
        ),
        (JSON, b"[]", 400),
        (JSON, b"{\"resourceLogs\":[7]}", 400),
        (JSON, b"\xff", 400),
        ("Content-Type: text/plain", b"x", 415),
        (JSON, b"{}", 200),
        (PROTOBUF, b"", 200),
    ] {
        let answer = post(&server, kind, body);
        assert_eq!(answer.status, status, "{kind} {body:?}");
    }
    assert!(take_frames(&memory).is_empty());

    refuse_next(&memory, busy());
    let answer = post(&server, PROTOBUF, &whole);
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, Some("2"))
    );
    assert_eq!(
        &answer.body[..3],
        &[1 << 3, 8, 2 << 3 | 2],
        "google.rpc.Status"
    );
}

#[test]
fn limit_nesting_and_records() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    // Nested lists, deeper than the decoder's limit.
    let mut value = part(1, b"x");
    for _ in 0..200 {
        value = part(5, &part(1, &value));
    }
    let answer = server.send("POST /v1/logs", &[PROTOBUF], &otlp(&[part(5, &value)]));
    assert_eq!((answer.status, take_frames(&memory).len()), (200, 0));
    let deep = "{\"arrayValue\":{\"values\":[".repeat(200);
    let body = format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"body\":{deep}");
    assert_eq!(
        server
            .send("POST /v1/logs", &[JSON], body.as_bytes())
            .status,
        400
    );
    // One record of two bytes above the limit.
    let empty = vec![Vec::new(); 100_001];
    let answer = server.send("POST /v1/logs", &[PROTOBUF], &otlp(&empty));
    assert_eq!(answer.status, 413);
    assert!(take_frames(&memory).is_empty());
}
