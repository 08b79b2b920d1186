//! The routes as a client meets them, over a real socket.

use std::io::Write;
use std::time::Duration;

use crate::harness::{Memory, Running, TOKEN, change};
use serde_json::json;
use weir_schema::{AlertId, AlertState, ChangeKind, Delivery, Format, Level};
use weir_web::ROUTES;
use weir_web::ports::{IntakeError, IntakeReceipt, StandingFilter};

const NDJSON: &str = "Content-Type: application/x-ndjson";

fn filled() -> std::sync::Arc<Memory> {
    let memory = Memory::new();
    memory.commit([change(
        (1, 0),
        'A',
        ChangeKind::Raised,
        1,
        AlertState::Confirmed,
    )]);
    memory
}

#[test]
fn no_route_but_health_answers_without_the_token() {
    let server = Running::start(&filled());
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
            let answer = server.ask(&format!("{method} {path}"), headers, b"");
            if open {
                assert_eq!(answer.status, 200, "{path}");
            } else {
                assert_eq!(answer.problem(401).0, "unauthorized", "{method} {path}");
                assert!(answer.header("www-authenticate").is_some());
            }
        }
        let answer = server.ask(&format!("{method} {path}?token={TOKEN}"), &[], b"");
        assert_eq!(
            answer.status == 401,
            !open,
            "{path}: a token in the address opens nothing"
        );
    }
}

#[test]
fn every_route_answers_with_the_token_and_is_documented() {
    let server = Running::start(&filled());
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
        let answer = server.authed(&format!("{method} {path}"), &[], b"");
        assert_ne!(answer.status, 405, "{method} {path}");
        assert_ne!(answer.status, 401, "{method} {path}");
        if answer.status == 404 {
            assert!(
                answer.problem(404).1.contains("\"x\""),
                "it is the handler that found nothing"
            );
        }
    }
    assert_eq!(server.get("/nowhere").problem(404).0, "not-found");
    let answer = server.authed("PATCH /api/v1/alerts", &[], b"");
    assert_eq!(answer.problem(405).0, "method-not-allowed");
}

#[test]
fn each_line_of_events_gets_its_verdict() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let body = b"{\"a\":1}\nnot json\n\n{\"b\":\"\xff\"}\r\n[]\n{\"c\":2}";
    let answer = server.authed("POST /api/v1/events?source=web-1", &[NDJSON], body);
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
    let taken = memory.taken.lock().unwrap().remove(0);
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].frames, ["{\"a\":1}", "{\"c\":2}"].into());
    assert_eq!(
        (taken[0].source.as_str(), taken[0].format),
        ("web-1", Format::Json)
    );
    assert_eq!(
        (taken[0].peer.as_deref(), &taken[0].delivery),
        (Some("127.0.0.1"), &None)
    );

    let syslog = b"<13>x\n\xff\0\n";
    let kind = "Content-Type: text/plain; charset=utf-8";
    assert_eq!(
        server.authed("POST /api/v1/events", &[kind], syslog).json()["accepted"],
        2
    );
    assert_eq!(memory.taken.lock().unwrap()[0][0].format, Format::Syslog);

    let nothing = server.authed("POST /api/v1/events", &[], b"x\n");
    assert_eq!(nothing.problem(400).0, "bad-request");
    assert_eq!(nothing.json()["lines"][0]["line"], 1);
    assert_eq!(
        server.authed("POST /api/v1/events", &[], b"\n \n").status,
        400
    );
}

#[test]
fn a_repeated_key_is_handed_on_and_its_answer_told() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    memory.intake.lock().unwrap().extend([
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
    let post = |body: &[u8]| server.authed("POST /api/v1/events", &["Idempotency-Key: k-1"], body);
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
    let digests: Vec<_> = memory.taken.lock().unwrap()[..3]
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
fn alerts_are_listed_and_explained() {
    let memory = filled();
    let server = Running::start(&memory);
    let id = AlertId([0, u64::from('A')]);
    let path = format!(
        "/api/v1/alerts?standing=all&level=high&rule=r&tenant=t&group=host%3Da%3Db&group=u=&\
         after={id}&limit=1000"
    );
    let answer = server.get(&path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let asked = memory.asked.lock().unwrap().remove(0);
    assert_eq!(
        (asked.standing, asked.level_min),
        (StandingFilter::All, Some(Level::High))
    );
    assert_eq!(
        asked.group,
        [("host".into(), "a=b".into()), ("u".into(), String::new())]
    );
    assert_eq!((asked.after, asked.limit), (Some(id), 1_000));
    assert_eq!(answer.json()["next"], id.to_string());

    let one = server.get(&format!("/api/v1/alerts/{id}")).json();
    assert_eq!(one["alert"]["standing"], true);
    assert_eq!(
        one["alert"]["supersedes"],
        json!(["00000000000000000000000000000009"])
    );
    assert_eq!(
        one["changes"][0],
        json!({
            "id": "1-0", "change": "raised", "alert": id.to_string(), "key": id.to_string(),
            "revision": 1, "rule": "ssh-guessing", "version": "00000000000000ab",
            "title": "Passwords guessed", "level": "high", "tenant": "default",
            "group": { "host": "web\n1" }, "state": "confirmed",
            "first": "1970-01-01T00:00:00.000000000Z", "last": "1970-01-01T00:00:01.500000000Z",
            "count": 5, "limited": false,
            "cause": {
                "kind": "late_event", "event": "00000000000000010000000000000002",
                "time": "1970-01-01T00:00:00.000000001Z",
            },
            "evidence": {
                "count": 5, "head": ["00000000000000010000000000000002"], "tail": [],
            },
            "supersedes": [],
        })
    );
    // The same as findings: of the harness, which show who was told what.
    let finding = |kind: &str| json!({ "activity": kind, "uid": id.to_string() });
    let one = server
        .get(&format!("/api/v1/alerts/{id}?format=ocsf"))
        .json();
    assert_eq!(
        one,
        json!({ "alert": finding("raised"), "changes": [finding("raised")] })
    );
    let listed = server.get("/api/v1/alerts?format=ocsf&limit=1").json();
    assert_eq!(listed["alerts"][0], finding("raised"));
    assert_eq!(listed["next"], id.to_string());
    memory.commit([change(
        (2, 0),
        'A',
        ChangeKind::Revised,
        2,
        AlertState::Confirmed,
    )]);
    let now = |server: &Running| {
        let one = server
            .get(&format!("/api/v1/alerts/{id}?format=ocsf"))
            .json();
        one["alert"]["activity"].as_str().unwrap().to_owned()
    };
    assert_eq!(now(&server), "revised");
    memory.commit([change(
        (3, 0),
        'A',
        ChangeKind::Retracted,
        3,
        AlertState::Confirmed,
    )]);
    assert_eq!(now(&server), "retracted");
    let told = server
        .get(&format!("/api/v1/alerts/{id}/explanation"))
        .json();
    assert_eq!(
        (&told["events"][0]["raw"], &told["events"][0]["text"]),
        (&json!("Zm9vYmFy"), &json!("foobar"))
    );
    assert_eq!(
        (&told["events"][1]["raw"], told["events"][1].get("text")),
        (&json!("/wA="), None)
    );
    assert_eq!(
        (
            &told["events"][2]["raw_bytes"],
            &told["events"][2]["raw_cut"]
        ),
        (&json!(70_000), &json!(true))
    );
    assert_eq!(told["events"][0]["clauses"][0]["value"], "root");
    server
        .get(&format!("/api/v1/alerts/{}", "0".repeat(32)))
        .problem(404);
}

#[test]
fn rules_are_put_disabled_and_removed() {
    let server = Running::start(&Memory::new());
    let refused = server.authed("PUT /api/v1/rules", &[], b"title: x");
    assert_eq!(refused.problem(422).0, "rule-refused");
    assert_eq!(refused.json()["diagnostics"][0]["line"], 1);
    let put = server.authed("PUT /api/v1/rules?origin=a.yml", &[], b"id: a rule/1\n");
    assert_eq!(put.json()["rules"][0]["origin"], "a.yml");
    assert_eq!(
        server.get("/api/v1/rules").json()["rules"][0]["id"],
        "a rule/1"
    );
    let disabled = server.authed("POST /api/v1/rules/a%20rule%2F1/disable", &[], b"");
    assert_eq!(disabled.status, 200, "{}", disabled.text());
    assert_eq!(
        server
            .authed("DELETE /api/v1/rules/a%20rule%2F1", &[], b"")
            .status,
        200
    );
    server
        .authed("DELETE /api/v1/rules/a%20rule%2F1", &[], b"")
        .problem(404);
    server
        .authed("PUT /api/v1/rules", &[], b"id: \xff")
        .problem(400);
    server
        .authed("PUT /api/v1/rules", &[], &vec![b'x'; (1 << 20) + 1])
        .problem(413);
}

#[test]
fn hostile_requests_get_a_problem_and_harm_nothing() {
    let server = Running::start(&filled());
    for (line, header, status) in [
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
    ] {
        let headers: &[&str] = if header.is_empty() { &[] } else { &[header] };
        let answer = server.authed(line, headers, b"");
        assert_eq!(answer.status, status, "{line} {header}: {}", answer.text());
        answer.problem(status);
    }
    // What the HTTP library refuses by itself.
    let path = "x".repeat(200_000);
    for bytes in [
        &b"GET /\0 HTTP/1.1\r\n\r\n"[..],
        b"\xff\xfe\0\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        format!("GET /{path} HTTP/1.1\r\n\r\n").as_bytes(),
    ] {
        let mut socket = server.connect();
        // It may close the connection before all is sent.
        let _ = socket.write_all(bytes);
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn bodies_beyond_the_limit_are_refused_with_and_without_a_length() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    let head =
        format!("POST /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n");
    let declared = format!("{head}Content-Length: 16777217\r\n\r\n");
    assert_eq!(server.raw(declared.as_bytes()).problem(413).0, "too-large");

    let mut chunked =
        format!("{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..16 {
        chunked.extend(b"100000\r\n");
        chunked.extend(vec![b'x'; 1 << 20]);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"1\r\nx\r\n");
    assert_eq!(server.raw(&chunked).problem(413).0, "too-large");
    assert!(memory.taken.lock().unwrap().is_empty());
}

#[test]
fn a_body_that_nobody_reads_ends_the_connection() {
    let server = Running::start(&Memory::new());
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for (line, token, status) in [
        ("POST /api/v1/events", "", 401),
        ("GET /healthz", "", 200),
        ("GET /api/v1/alerts", token.as_str(), 200),
        ("POST /api/v1/events?x=y", token.as_str(), 400),
    ] {
        // The body's end never comes; `raw` returns once the server has closed.
        let request = format!(
            "{line} HTTP/1.1\r\nHost: h\r\n{token}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
        );
        assert_eq!(server.raw(request.as_bytes()).status, status, "{line}");
    }
}

#[test]
fn readiness_tells_why_not() {
    let memory = Memory::new();
    let server = Running::start(&memory);
    assert_eq!(server.ask("GET /readyz", &[], b"").status, 200);
    *memory.ready.lock().unwrap() = Err("replaying the journal".into());
    let answer = server.ask("GET /readyz", &[], b"");
    assert_eq!(answer.problem(503).1, "replaying the journal");
    assert_eq!(server.ask("GET /healthz", &[], b"").status, 200);
}

#[test]
fn metrics_have_closed_labels_and_please_promtool() {
    let server = Running::start(&Memory::new());
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
        // Not `eprintln`, which the test runner swallows.
        let line = "SKIPPED: metrics_have_closed_labels_and_please_promtool: promtool\n";
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
fn a_tap_is_bounded_by_what_it_was_asked_for() {
    let server = Running::start(&Memory::new());
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
