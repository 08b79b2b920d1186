//! Elasticsearch's bulk requests and probes.

use serde_json::json;
use weir_schema::{Delivery, Format};

use super::{busy, refuse_next, row, take_frames};
use crate::harness::{Answer, Memory, TestServer};

fn post(server: &TestServer, path: &str, body: &str) -> Answer {
    let kind = "Content-Type: application/x-ndjson";
    server.send(&format!("POST {path}"), &[kind], body.as_bytes())
}

#[test]
fn answer_item_by_item() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let body = concat!(
        "{\"create\":{\"_index\":\"logs-2026.11.22\"}}\n{\"@timestamp\":\"2026-11-22T00:00:00Z\"}\n",
        "{\"index\":{\"_id\":\"7\"}}\n{\"a\": 1}\r\n\n",
        "{\"delete\":{\"_id\":\"7\"}}\n",
        "{\"update\":{}}\n{\"doc\":{}}\n",
        "{\"index\":{}}\n[1]\n",
        "{\"create\":{}}\n{\"b\":2}",
    );
    let path = "/app/_bulk?refresh=true&filter_path=errors";
    let answer = post(&server, path, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-elastic-product"), Some("Elasticsearch"));
    let json = answer.json();
    assert_eq!(json["errors"], true);
    let items = json["items"].as_array().unwrap();
    let statuses = items.iter().map(|item| {
        let (action, result) = item.as_object().unwrap().iter().next().unwrap();
        (action.as_str(), result["status"].as_u64().unwrap())
    });
    assert_eq!(
        statuses.collect::<Vec<_>>(),
        [
            ("create", 201),
            ("index", 201),
            ("delete", 400),
            ("update", 400),
            ("index", 400),
            ("create", 201)
        ]
    );
    assert_eq!(
        (&items[1]["index"]["_id"], &items[1]["index"]["_index"]),
        (&json!("7"), &json!("app"))
    );
    assert_eq!(
        take_frames(&memory),
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
}

#[test]
fn refuse_malformed_requests_as_a_whole() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    for body in [
        "",
        "{\"create\":{\"_index\":\"a\"}}\n",
        "{\"create\":{}}\n{}\n",
        "{\"make\":{}}\n{}\n",
        "{}\n{}\n",
        "no\n",
    ] {
        let answer = post(&server, "/_bulk", body);
        assert_eq!(
            (answer.status, answer.json()["status"].as_u64()),
            (400, Some(400)),
            "{body}"
        );
    }
    assert!(take_frames(&memory).is_empty());
}

#[test]
fn recognize_repeated_documents_by_their_ids() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let body = "{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"a\":1}\n";
    for _ in 0..2 {
        assert_eq!(post(&server, "/_bulk", body).json()["errors"], false);
    }
    let submitted = std::mem::take(&mut *memory.submitted.lock().unwrap());
    let deliveries: Vec<_> = submitted
        .into_iter()
        .map(|batches| match &batches[0].delivery {
            Some(Delivery::Http { key, digest, .. }) => (key.clone(), *digest),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(deliveries[0] == deliveries[1] && deliveries[0].0.starts_with("_bulk-"));

    refuse_next(&memory, busy());
    let answer = post(&server, "/_bulk", body);
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
fn answer_the_probes_of_shippers() {
    let server = TestServer::start(&Memory::new());
    let send = |line: &str| server.send(line, &[], b"{}");
    assert_eq!(send("GET /").json()["version"]["number"], "8.19.0");
    assert_eq!(send("GET /_license").json()["license"]["status"], "active");
    assert_eq!(send("GET /_cluster/health").json()["status"], "green");
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
        let answer = send(line);
        assert_eq!(answer.status, status, "{line}");
        let product = answer.header("x-elastic-product");
        let supported = !line.ends_with("_search");
        assert_eq!(product.is_some(), supported, "{line}");
    }
}
