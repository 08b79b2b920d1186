//! Readiness, metrics and taps.

use std::io::Write;

use crate::harness::{Memory, TestServer};

#[test]
fn report_why_the_server_is_not_ready() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    assert_eq!(
        server.send_without_token("GET /readyz", &[], b"").status,
        200
    );
    *memory.ready.lock().unwrap() = Err("replaying the journal".into());
    let answer = server.send_without_token("GET /readyz", &[], b"");
    assert_eq!(answer.problem(503).1, "replaying the journal");
    let health = || server.send_without_token("GET /healthz", &[], b"");
    let answer = health();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), r#"{"status":"ok"}"#);
    *memory.live.lock().unwrap() = Err("the graph stopped".into());
    assert_eq!(health().problem(503).1, "the graph stopped");
}

#[test]
fn metrics_pass_promtool_and_have_closed_labels() {
    let server = TestServer::start(&Memory::new());
    server.get("/nowhere/1");
    server.get("/nowhere/2");
    server.get("/api/v1/alerts/zzz");
    let answer = server.get("/metrics");
    let text = answer.text();
    for line in [
        "weir_http_requests_total{route=\"other\",status=\"4xx\"} 2",
        "weir_http_requests_total{route=\"/api/v1/alerts/{id}\",status=\"4xx\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let mut command = std::process::Command::new("promtool");
    command
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        // The test runner would capture `eprintln`.
        let line = "SKIPPED: metrics_pass_promtool_and_have_closed_labels: promtool\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn limit_taps_by_their_parameters() {
    let server = TestServer::start(&Memory::new());
    for bad in [
        "stage=nowhere",
        "limit=0",
        "limit=100001",
        "seconds=0",
        "seconds=3601",
        "field=x",
        "sources=x",
        &format!("text={}", "x".repeat(1_025)),
    ] {
        let answer = server.get(&format!("/api/v1/tap?{bad}"));
        assert_eq!(answer.status, 400, "{bad}");
    }
    let stream = server.stream("/api/v1/tap?stage=facts&limit=2&field=a=b%20c", &[]);
    assert_eq!(stream.status, 200);
    let text = stream.rest();
    let row = |n| format!("{n} facts Some((\"a\", \"b c\"))\n");
    assert_eq!(text, format!("{}{}end\n", row(1), row(2)));
}
