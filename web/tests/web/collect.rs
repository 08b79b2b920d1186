//! The collectors as shippers meet them: what they send, what is answered, what becomes a frame.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use weir_schema::{Delivery, Format};
use weir_web::COLLECTOR_ROUTES;
use weir_web::ports::{IntakeError, IntakeReceipt};

use crate::harness::{Answer, Memory, Running, TOKEN};

const CHANNEL: &str = "X-Splunk-Request-Channel: 6aa1f5b4-0c21-4f0e-9a4f-6f0c2b4a8f11";
const PROTOBUF: &str = "Content-Type: application/x-protobuf";
const JSON: &str = "Content-Type: application/json";
const JOURNAL: &str = "Content-Type: application/vnd.fdo.journal";

/// What was taken in since this was asked last: source, format, frame.
fn taken(memory: &Memory) -> Vec<(String, Format, String)> {
    let taken = std::mem::take(&mut *memory.taken.lock().unwrap());
    let batches = taken.into_iter().flatten();
    let frames = batches.flat_map(|batch| {
        let text = |frame| String::from_utf8_lossy(frame).into_owned();
        let frames = batch.frames.iter().map(text);
        frames
            .map(|frame| (batch.source.clone(), batch.format, frame))
            .collect::<Vec<_>>()
    });
    frames.collect()
}

fn row(source: &str, format: Format, frame: &str) -> (String, Format, String) {
    (source.to_owned(), format, frame.to_owned())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn refusing(memory: &Memory, error: IntakeError) {
    memory.intake.lock().unwrap().push_back(Err(error));
}

fn busy() -> IntakeError {
    IntakeError::Busy {
        retry_after: Duration::from_secs(2),
    }
}

#[test]
fn no_collector_but_health_takes_anything_without_the_token() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/collectors.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for (method, path) in COLLECTOR_ROUTES {
        let told = manual.contains(&format!("`{method} {path}`"));
        assert!(told, "docs/collectors.md does not tell of {method} {path}");
        let path = path.replace(['{', '}'], "");
        let line = format!("{method} {path}");
        for headers in [
            &[][..],
            &["Authorization: Splunk no"],
            &["Authorization: Basic eDp5"],
        ] {
            let answer = server.ask(&line, headers, b"");
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
        let answer = server.authed(&line, &[], b"");
        assert!(![401, 403, 405].contains(&answer.status), "{line}");
    }
    for (headers, code) in [
        (&[][..], 2),
        (&["Authorization: Negotiate x"], 3),
        (&["Authorization: Splunk x"], 4),
    ] {
        let answer = server.ask("POST /services/collector", headers, b"{}");
        assert_eq!(answer.json()["code"], code);
    }
    let splunk = format!("Authorization: Splunk {TOKEN}");
    let answer = server.ask("POST /services/collector", &[&splunk], b"{\"event\":1}");
    assert_eq!(answer.json(), json!({ "text": "Success", "code": 0 }));
    assert!(taken(&memory).len() == 1);
}

#[test]
fn envelopes_of_the_event_collector_become_frames_as_they_stand() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let post = |body: &str| server.authed("POST /services/collector/event", &[], body.as_bytes());
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
        taken(&memory),
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
        let said = answer.json();
        assert_eq!(
            (answer.status, said["code"].as_u64()),
            (status, Some(code)),
            "{body}"
        );
        assert_eq!(said["invalid-event-number"].as_u64(), number, "{body}");
        assert_eq!(taken(&memory).len(), frames, "{body}");
    }
    refusing(&memory, busy());
    let answer = post(first);
    assert_eq!(
        (answer.status, answer.json()["code"].as_u64()),
        (503, Some(9))
    );
    assert_eq!(answer.header("retry-after"), Some("2"));
}

#[test]
fn raw_lines_and_acknowledgements_of_the_event_collector() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let raw = |query: &str, body: &[u8]| {
        server.authed(
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
        taken(&memory),
        [
            row("web", Format::Auto, "<13>one"),
            row("web", Format::Auto, "{\"a\":1}"),
            row("web", Format::Auto, "\u{fffd}"),
        ]
    );
    let answer = raw("?host=h&sourcetype=a%20b", b"say \"x\"\n");
    assert_eq!(answer.json()["ackId"], 1);
    let frame = r#"{"host":"h","sourcetype":"a b","event":"say \"x\""}"#;
    assert_eq!(taken(&memory), [row("hec", Format::Json, frame)]);

    let ack = |headers: &[&str], body: &str| {
        server.authed("POST /services/collector/ack", headers, body.as_bytes())
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

    refusing(&memory, busy());
    assert_eq!(raw("", b"x").status, 503);
    let answer = ack(&[CHANNEL], r#"{"acks":[2]}"#);
    assert_eq!(
        answer.json(),
        json!({ "acks": { "2": false } }),
        "not durable, no id"
    );
}

#[test]
fn bulk_requests_are_judged_item_by_item() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let post = |path: &str, body: &str| {
        server.authed(
            &format!("POST {path}"),
            &["Content-Type: application/x-ndjson"],
            body.as_bytes(),
        )
    };
    let body = concat!(
        "{\"create\":{\"_index\":\"logs-2026.11.22\"}}\n{\"@timestamp\":\"2026-11-22T00:00:00Z\"}\n",
        "{\"index\":{\"_id\":\"7\"}}\n{\"a\": 1}\r\n\n",
        "{\"delete\":{\"_id\":\"7\"}}\n",
        "{\"update\":{}}\n{\"doc\":{}}\n",
        "{\"index\":{}}\n[1]\n",
        "{\"create\":{}}\n{\"b\":2}",
    );
    let answer = post("/app/_bulk?refresh=true&filter_path=errors", body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-elastic-product"), Some("Elasticsearch"));
    let said = answer.json();
    assert_eq!(said["errors"], true);
    let items = said["items"].as_array().unwrap();
    let statuses: Vec<(String, u64)> = items
        .iter()
        .map(|item| {
            let (action, said) = item.as_object().unwrap().iter().next().unwrap();
            (action.clone(), said["status"].as_u64().unwrap())
        })
        .collect();
    let of = |action: &str, status| (action.to_owned(), status);
    assert_eq!(
        statuses,
        [
            of("create", 201),
            of("index", 201),
            of("delete", 400),
            of("update", 400),
            of("index", 400),
            of("create", 201)
        ]
    );
    assert_eq!(
        (&items[1]["index"]["_id"], &items[1]["index"]["_index"]),
        (&json!("7"), &json!("app"))
    );
    assert_eq!(
        taken(&memory),
        [
            row(
                "logs",
                Format::Json,
                "{\"@timestamp\":\"2026-11-22T00:00:00Z\"}"
            ),
            row("app", Format::Json, "{\"a\": 1}"),
            row("app", Format::Json, "{\"b\":2}"),
        ]
    );
    for body in [
        "",
        "{\"create\":{\"_index\":\"a\"}}\n",
        "{\"create\":{}}\n{}\n",
        "{\"make\":{}}\n{}\n",
        "{}\n{}\n",
        "no\n",
    ] {
        let answer = post("/_bulk", body);
        assert_eq!(
            (answer.status, answer.json()["status"].as_u64()),
            (400, Some(400)),
            "{body}"
        );
    }
    assert!(taken(&memory).is_empty());

    // All named: the same body again is the same documents.
    let named = "{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"a\":1}\n";
    assert_eq!(post("/_bulk", named).json()["errors"], false);
    assert_eq!(post("/_bulk", named).json()["errors"], false);
    let deliveries: Vec<_> = memory
        .taken
        .lock()
        .unwrap()
        .drain(..)
        .map(|batches| match &batches[0].delivery {
            Some(Delivery::Http { key, digest, .. }) => (key.clone(), *digest),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(deliveries[0] == deliveries[1] && deliveries[0].0.starts_with("_bulk-"));

    refusing(&memory, busy());
    let answer = post("/_bulk", named);
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, Some("2"))
    );
    assert_eq!(
        answer.json()["error"]["type"],
        "es_rejected_execution_exception"
    );
}

#[test]
fn shippers_that_probe_go_on() {
    let server = Running::start(&Memory::new());
    let asked = |line: &str| server.authed(line, &[], b"{}");
    assert_eq!(asked("GET /").json()["version"]["number"], "8.19.0");
    assert_eq!(asked("GET /_license").json()["license"]["status"], "active");
    assert_eq!(asked("GET /_cluster/health").json()["status"], "green");
    for (line, status) in [
        ("HEAD /", 200),
        ("GET /_xpack", 200),
        ("HEAD /_index_template/filebeat-8.19.0", 404),
        ("GET /_template/logstash", 404),
        ("PUT /_index_template/filebeat-8.19.0", 200),
        ("PUT /_ilm/policy/filebeat", 200),
        ("PUT /_ingest/pipeline/x", 200),
        ("GET /_ingest/pipeline/x", 404),
        ("GET /nothing/_search", 404),
    ] {
        let answer = asked(line);
        assert_eq!(answer.status, status, "{line}");
        let product = answer.header("x-elastic-product");
        let ours = !line.ends_with("_search");
        assert_eq!(product.is_some(), ours, "{line}");
    }
}

/// A field of protobuf with a length.
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

/// A request of one resource, with it behind its records, and one scope.
fn otlp(records: &[Vec<u8>]) -> Vec<u8> {
    let resource = [
        part(1, &pair("service.name", "shop")),
        part(1, &pair("host.name", "w")),
    ];
    let records: Vec<u8> = records.iter().flat_map(|record| part(2, record)).collect();
    let scope = [part(1, &part(1, b"lib")), records].concat();
    part(1, &[part(2, &scope), part(1, &resource.concat())].concat())
}

fn record(text: &str) -> Vec<u8> {
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

#[test]
fn log_records_of_otlp_become_frames_in_either_writing() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let frame = concat!(
        r#"{"time":"1970-01-01T00:00:01.500000000Z","host":"w","level":"ERROR","#,
        r#""severity_number":17,"message":"disk full","#,
        r#""trace_id":"abababababababababababababababab","#,
        r#""attributes":{"user.id":"u1"},"scope":{"name":"lib"},"#,
        r#""resource":{"service.name":"shop","host.name":"w"}}"#
    );
    let post = |kind: &str, body: &[u8]| server.authed("POST /v1/logs", &[kind], body);
    let answer = post(PROTOBUF, &otlp(&[record("disk full")]));
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]));
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(taken(&memory), [row("shop", Format::Json, frame)]);

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
    let answer = post(JSON, body.to_string().as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert_eq!(taken(&memory), [row("shop", Format::Json, frame)]);

    // What cannot be read is refused record by record; what cannot be walked as a whole.
    let answer = post(PROTOBUF, &otlp(&[record("a"), vec![0xff], record("b")]));
    assert_eq!(answer.status, 200);
    assert_eq!(
        (answer.body[0], answer.body[2], answer.body[3]),
        (1 << 3 | 2, 1 << 3, 1)
    );
    assert_eq!(taken(&memory).len(), 2);
    let body = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":1},{"flags":"x"}]}]}]}"#;
    let answer = post(JSON, body);
    assert_eq!(answer.json()["partialSuccess"]["rejectedLogRecords"], "1");
    assert_eq!(taken(&memory)[0].0, "otlp");
    let cut = otlp(&[record("a")]);
    for (kind, body, status) in [
        (PROTOBUF, &cut[..cut.len() - 3], 400),
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
        assert_eq!(post(kind, body).status, status, "{kind} {body:?}");
    }
    assert!(taken(&memory).is_empty());

    refusing(&memory, busy());
    let answer = post(PROTOBUF, &otlp(&[record("a")]));
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
fn nested_values_of_otlp_are_bounded() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    // Lists in lists, deeper than is read.
    let mut value = part(1, b"x");
    for _ in 0..200 {
        value = part(5, &part(1, &value));
    }
    let answer = server.authed("POST /v1/logs", &[PROTOBUF], &otlp(&[part(5, &value)]));
    assert_eq!((answer.status, taken(&memory).len()), (200, 0));
    let deep = "{\"arrayValue\":{\"values\":[".repeat(200);
    let body = format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"body\":{deep}");
    assert_eq!(
        server
            .authed("POST /v1/logs", &[JSON], body.as_bytes())
            .status,
        400
    );
    // Two bytes for a record: no more than may be counted.
    let empty = vec![Vec::new(); 100_001];
    let answer = server.authed("POST /v1/logs", &[PROTOBUF], &otlp(&empty));
    assert_eq!(answer.status, 413);
    assert!(taken(&memory).is_empty());
}

#[test]
fn journals_are_taken_in_as_they_stream() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let post = |headers: &[&str], body: &[u8]| server.authed("POST /upload", headers, body);
    let entries = |count: usize| -> Vec<u8> {
        (0..count)
            .flat_map(|n| format!("_HOSTNAME=m{}\nMESSAGE=n {n}\n\n", n % 2).into_bytes())
            .collect()
    };
    let answer = post(&[JOURNAL], &entries(2_500));
    assert_eq!((answer.status, answer.text().as_str()), (202, "OK.\n"));
    let first = row("m0", Format::Json, r#"{"_HOSTNAME":"m0","MESSAGE":"n 0"}"#);
    let rows = taken(&memory);
    assert_eq!((rows.len(), &rows[0]), (2_500, &first));
    let answer = post(&[JOURNAL, "Content-Encoding: gzip"], &gzip(&entries(3)));
    assert_eq!((answer.status, taken(&memory).len()), (202, 3));
    // What came whole before the fault is kept.
    let broken = [&entries(2)[..], b"no journal\n"].concat();
    assert!(
        post(&[JOURNAL], &broken)
            .problem(400)
            .1
            .contains("starts no field")
    );
    assert_eq!(taken(&memory).len(), 2);
    post(&[JSON], b"{}").problem(415);
    assert_eq!(post(&[JOURNAL], b"").status, 202);
}

#[test]
fn packed_bodies_are_taken_everywhere_within_bounds() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let post = |path: &str, headers: &[&str], body: &[u8]| -> Answer {
        server.authed(&format!("POST {path}"), headers, body)
    };
    let record = otlp(&[record("a")]);
    for (path, kind, body) in [
        ("/api/v1/events", JSON, &b"{\"a\":1}"[..]),
        ("/services/collector", JSON, b"{\"event\":1}"),
        ("/services/collector/raw", JSON, b"x"),
        ("/a/_bulk", JSON, b"{\"index\":{}}\n{}\n"),
        ("/v1/logs", PROTOBUF, &record),
    ] {
        for (coding, packed) in [
            ("gzip", gzip(body)),
            ("zstd", zstd::encode_all(body, 1).unwrap()),
            ("identity", body.to_vec()),
        ] {
            let coding = format!("Content-Encoding: {coding}");
            let answer = post(path, &[kind, &coding], &packed);
            assert_eq!(answer.status, 200, "{path} {coding} {}", answer.text());
            assert_eq!(taken(&memory).len(), 1, "{path} {coding}");
        }
        let bomb = gzip(&vec![b'\n'; 8 << 20]);
        let answer = post(path, &[kind, "Content-Encoding: gzip"], &bomb);
        assert_eq!(answer.status, 413, "{path} {}", answer.text());
        assert!(answer.text().contains("250 times"), "{}", answer.text());
        let answer = post(path, &[kind, "Content-Encoding: br"], body);
        assert_eq!(answer.status, 415, "{path}");
    }
    assert!(taken(&memory).is_empty());
}

#[test]
fn every_event_of_a_body_is_accounted_for() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    memory
        .intake
        .lock()
        .unwrap()
        .push_back(Ok(IntakeReceipt { repeated: true }));
    let post = |path: &str, kind: &str, body: &[u8]| {
        server.authed(&format!("POST {path}"), &[kind], body);
    };
    post("/api/v1/events", JSON, b"{}\n{}\nno\n");
    refusing(&memory, busy());
    post("/api/v1/events", JSON, b"{}\n{}\nno\n");
    post("/services/collector", JSON, b"{\"event\":1}{\"event\":2}{}");
    post(
        "/a/_bulk",
        JSON,
        b"{\"index\":{}}\n{}\n{\"delete\":{}}\n{\"index\":{}}\n1\n",
    );
    refusing(&memory, IntakeError::Conflict);
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
fn a_restless_sender_of_sources_is_stopped() {
    let memory: Arc<Memory> = Memory::new();
    let server = Running::start(&memory);
    let body: String = (0..1_001)
        .map(|n| json!({ "event": 1, "source": format!("s{n}") }).to_string())
        .collect();
    let answer = server.authed("POST /services/collector", &[], body.as_bytes());
    assert_eq!(
        (answer.status, answer.json()["code"].as_u64()),
        (413, Some(6))
    );
    let long = json!({ "event": "x".repeat(1 << 20) }).to_string();
    let answer = server.authed("POST /services/collector", &[], long.as_bytes());
    let said: Value = answer.json();
    assert_eq!(
        (&said["code"], &said["invalid-event-number"]),
        (&json!(6), &json!(0))
    );
    assert!(taken(&memory).is_empty());
}
