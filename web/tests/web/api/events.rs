//! Bodies of JSON and syslog lines.

use std::time::Duration;

use serde_json::json;
use weir_schema::{Delivery, Format};
use weir_web::ports::{IntakeError, IntakeReceipt};

use crate::harness::{Memory, TOKEN, TestServer};

const NDJSON: &str = "Content-Type: application/x-ndjson";

#[test]
fn answer_line_by_line() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let body = b"{\"a\":1}\nnot json\n\n{\"b\":\"\xff\"}\r\n[]\n{\"c\":2}";
    let answer = server.send("POST /api/v1/events?source=web-1", &[NDJSON], body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json(),
        json!({
            "accepted": 2, "refused": 3, "lines_left_off": 0, "repeated": false,
            "lines": [
                { "line": 2, "error": "not JSON at column 2: expected ident" },
                { "line": 4, "error": "not UTF-8 at byte 6" },
                { "line": 5, "error": "not a JSON object" },
            ],
        })
    );
    let batches = memory.submitted.lock().unwrap().remove(0);
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].frames, ["{\"a\":1}", "{\"c\":2}"].into());
    assert_eq!(
        (batches[0].source.as_str(), batches[0].format),
        ("web-1", Format::Json)
    );
    assert_eq!(
        (batches[0].peer.as_deref(), &batches[0].delivery),
        (Some("127.0.0.1"), &None)
    );

    let syslog = b"<13>x\n\xff\0\n";
    let kind = "Content-Type: text/plain; charset=utf-8";
    assert_eq!(
        server.send("POST /api/v1/events", &[kind], syslog).json()["accepted"],
        2
    );
    assert_eq!(
        memory.submitted.lock().unwrap()[0][0].format,
        Format::Syslog
    );

    let nothing = server.send("POST /api/v1/events", &[], b"x\n");
    assert_eq!(nothing.problem(400).0, "bad-request");
    assert_eq!(nothing.json()["lines"][0]["line"], 1);
    assert_eq!(
        server.send("POST /api/v1/events", &[], b"\n \n").status,
        400
    );
}

#[test]
fn forward_idempotency_keys_and_intake_answers() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    memory.intake_answers.lock().unwrap().extend([
        Ok(IntakeReceipt { repeated: false }),
        Ok(IntakeReceipt { repeated: true }),
        Err(IntakeError::Conflict),
        Err(IntakeError::Busy {
            retry_after: Duration::from_millis(2_100),
        }),
        Err(IntakeError::Unavailable {
            reason: "the disk is full".into(),
        }),
    ]);
    let post = |body: &[u8]| server.send("POST /api/v1/events", &["Idempotency-Key: k-1"], body);
    assert_eq!(post(b"{}").json()["repeated"], false);
    assert_eq!(post(b"{}").json()["repeated"], true);
    assert_eq!(post(b"{ }").problem(409).0, "conflict");
    let busy = post(b"{}");
    assert_eq!(
        (busy.problem(503).0.as_str(), busy.header("retry-after")),
        ("busy", Some("3"))
    );
    let full = post(b"{}");
    assert!(full.problem(503).1.contains("the disk is full"));
    assert!(full.header("retry-after").is_some());
    let digests: Vec<_> = memory.submitted.lock().unwrap()[..3]
        .iter()
        .map(|batches| match &batches[0].delivery {
            Some(Delivery::Http {
                key,
                digest,
                part: 0,
                last: true,
            }) if key == "k-1" => *digest,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(digests[0] == digests[1] && digests[1] != digests[2]);
}

#[test]
fn refuse_long_bodies_with_and_without_a_length() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let head =
        format!("POST /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n");
    let declared = format!("{head}Content-Length: 16777217\r\n\r\n");
    assert_eq!(
        server.send_raw(declared.as_bytes()).problem(413).0,
        "too-large"
    );

    let mut chunked =
        format!("{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..16 {
        chunked.extend(b"100000\r\n");
        chunked.extend(vec![b'x'; 1 << 20]);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"1\r\nx\r\n");
    assert_eq!(server.send_raw(&chunked).problem(413).0, "too-large");
    assert!(memory.submitted.lock().unwrap().is_empty());
}
