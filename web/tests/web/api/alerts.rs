//! Alerts: list, get, explain.

use serde_json::{Value, json};
use weir_schema::{AlertId, AlertState, ChangeKind, Level};
use weir_web::ports::StandingFilter;

use super::filled;
use crate::harness::{TestServer, change};

const ALERT: AlertId = AlertId([0, 'A' as u64]);

fn alert(server: &TestServer, suffix: &str) -> Value {
    server
        .get(&format!("/api/v1/alerts/{ALERT}{suffix}"))
        .json()
}

#[test]
fn list_alerts_by_query() {
    let memory = filled();
    let server = TestServer::start(&memory);
    let path = format!(
        "/api/v1/alerts?standing=all&level=high&rule=r&tenant=t&group=host%3Da%3Db&group=u=&\
         after={ALERT}&limit=1000"
    );
    let answer = server.get(&path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let query = memory.queries.lock().unwrap().remove(0);
    assert_eq!(
        (query.standing, query.level_min),
        (StandingFilter::All, Some(Level::High))
    );
    assert_eq!(
        query.group,
        [("host".into(), "a=b".into()), ("u".into(), String::new())]
    );
    assert_eq!((query.after, query.limit), (Some(ALERT), 1_000));
    assert_eq!(answer.json()["next"], ALERT.to_string());
}

#[test]
fn get_an_alert_with_its_changes() {
    let server = TestServer::start(&filled());
    let answer = alert(&server, "");
    assert_eq!(answer["alert"]["standing"], true);
    assert_eq!(
        answer["alert"]["supersedes"],
        json!(["00000000000000000000000000000009"])
    );
    assert_eq!(
        answer["changes"][0],
        json!({
            "id": "1-0", "change": "raised", "alert": ALERT.to_string(), "key": ALERT.to_string(),
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
    let absent = format!("/api/v1/alerts/{}", "0".repeat(32));
    server.get(&absent).problem(404);
}

#[test]
fn format_alerts_as_findings() {
    let memory = filled();
    let server = TestServer::start(&memory);
    // The finding writer of the harness shows the kind of change and the alert.
    let finding = |kind: &str| json!({ "activity": kind, "uid": ALERT.to_string() });
    assert_eq!(
        alert(&server, "?format=ocsf"),
        json!({ "alert": finding("raised"), "changes": [finding("raised")] })
    );
    let listed = server.get("/api/v1/alerts?format=ocsf&limit=1").json();
    assert_eq!(listed["alerts"][0], finding("raised"));
    assert_eq!(listed["next"], ALERT.to_string());

    let commit = |epoch: u64, kind| {
        let state = AlertState::Confirmed;
        memory.commit([change(epoch, 'A', kind, epoch, state)]);
    };
    let current = || alert(&server, "?format=ocsf")["alert"]["activity"].clone();
    commit(2, ChangeKind::Revised);
    assert_eq!(current(), "revised");
    commit(3, ChangeKind::Retracted);
    assert_eq!(current(), "retracted");
}

#[test]
fn explain_an_alert_with_its_raw_events() {
    let server = TestServer::start(&filled());
    let events = alert(&server, "/explanation")["events"].clone();
    assert_eq!(
        (&events[0]["raw"], &events[0]["text"]),
        (&json!("Zm9vYmFy"), &json!("foobar"))
    );
    assert_eq!(
        (&events[1]["raw"], events[1].get("text")),
        (&json!("/wA="), None)
    );
    assert_eq!(
        (&events[2]["raw_bytes"], &events[2]["raw_cut"]),
        (&json!(70_000), &json!(true))
    );
    assert_eq!(events[0]["clauses"][0]["value"], "root");
}
