//! Splunk's HTTP Event Collector.

use serde_json::json;
use weir_schema::Format;

use super::{busy, refuse_next, row, take_frames};
use crate::harness::{Memory, TestServer};

const CHANNEL: &str = "X-Splunk-Request-Channel: 6aa1f5b4-0c21-4f0e-9a4f-6f0c2b4a8f11";

#[test]
fn accept_envelopes_unchanged() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let post = |body: &str| server.send("POST /services/collector/event", &[], body.as_bytes());
    let first = r#"{"time":1.5,"host":"h","source":"/var/log/a b","event":{"a":1}}"#;
    let answer = post(&format!(
        "{first}{{\"event\":\"x\"}}\n\n {{ \"event\" : [1]}} "
    ));
    assert_eq!(
        (answer.status, answer.json()["code"].as_u64()),
        (200, Some(0))
    );
    assert_eq!(answer.json().get("ackId"), None);
    assert_eq!(
        take_frames(&memory),
        [
            row("_var_log_a_b", Format::Json, first),
            row("hec", Format::Json, r#"{"event":"x"}"#),
            row("hec", Format::Json, r#"{ "event" : [1]}"#),
        ]
    );
    for (body, status, code, number, frames) in [
        ("", 400, 5, None, 0),
        (" \n", 400, 5, None, 0),
        ("x", 400, 6, Some(0), 0),
        ("[1]", 400, 6, Some(0), 0),
        (r#"[1,{},"source"]"#, 400, 6, Some(0), 0),
        (r#"{"event":1}{"event":2}{"event""#, 400, 6, Some(2), 2),
        (r#"{"event":1}{"time":2}{"event":3}"#, 400, 12, Some(1), 1),
        (r#"{"event":null}"#, 400, 12, Some(0), 0),
        (r#"{"event":1} {"event":""}"#, 400, 13, Some(1), 1),
        (r#"{"event":1,"fields":[]}"#, 400, 15, Some(0), 0),
        (r#"{"event":1,"source":5}"#, 400, 6, Some(0), 0),
        ("{\"event\":\"\u{0}\"}", 400, 6, Some(0), 0),
    ] {
        let answer = post(body);
        let json = answer.json();
        assert_eq!(
            (answer.status, json["code"].as_u64()),
            (status, Some(code)),
            "{body}"
        );
        assert_eq!(json["invalid-event-number"].as_u64(), number, "{body}");
        assert_eq!(take_frames(&memory).len(), frames, "{body}");
    }
    refuse_next(&memory, busy());
    let answer = post(first);
    assert_eq!(
        (answer.status, answer.json()["code"].as_u64()),
        (503, Some(9))
    );
    assert_eq!(answer.header("retry-after"), Some("2"));
}

#[test]
fn accept_raw_lines_and_acknowledge_them() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let raw = |query: &str, body: &[u8]| {
        server.send(
            &format!("POST /services/collector/raw{query}"),
            &[CHANNEL],
            body,
        )
    };
    let answer = raw("?source=web", b"<13>one\r\n\n{\"a\":1}\n\xff\n");
    assert_eq!(
        answer.json(),
        json!({ "text": "Success", "code": 0, "ackId": 0 })
    );
    assert_eq!(
        take_frames(&memory),
        [
            row("web", Format::Auto, "<13>one"),
            row("web", Format::Auto, "{\"a\":1}"),
            row("web", Format::Auto, "\u{fffd}"),
        ]
    );
    let answer = raw("?host=h&sourcetype=a%20b", b"say \"x\"\n");
    assert_eq!(answer.json()["ackId"], 1);
    let frame = r#"{"host":"h","sourcetype":"a b","event":"say \"x\""}"#;
    assert_eq!(take_frames(&memory), [row("hec", Format::Json, frame)]);

    let ack = |headers: &[&str], body: &str| {
        server.send("POST /services/collector/ack", headers, body.as_bytes())
    };
    let answer = ack(&[CHANNEL], r#"{"acks":[0,1,2]}"#);
    assert_eq!(
        answer.json(),
        json!({ "acks": { "0": true, "1": true, "2": false } })
    );
    assert_eq!(ack(&[], r#"{"acks":[0]}"#).json()["code"], 10);
    let wrong = "X-Splunk-Request-Channel: 1";
    assert_eq!(ack(&[wrong], r#"{"acks":[0]}"#).json()["code"], 11);
    assert_eq!(ack(&[CHANNEL], "{}").json()["code"], 6);
    let other = CHANNEL.replace("6aa1", "6aa2");
    assert_eq!(
        ack(&[&other], r#"{"acks":[0]}"#).json(),
        json!({ "acks": { "0": false } })
    );

    refuse_next(&memory, busy());
    assert_eq!(raw("", b"x").status, 503);
    let answer = ack(&[CHANNEL], r#"{"acks":[2]}"#);
    assert_eq!(
        answer.json(),
        json!({ "acks": { "2": false } }),
        "a refused body gets no id"
    );
}
