//! The heart, from outside: a line raises an alert, a late line takes it back, a restart says nothing twice.

mod support;

use std::io::BufReader;

use support::http::{Body, Message, Request, next_message};
use support::{Weir, config};
use weir_agent::{AgentClient, AgentIdentity, encode_event};

/// Without a ticket, an alert of the rule `sudo_without_change_ticket`.
fn sudo(time: &str, user: &str) -> String {
    format!(
        "<86>1 2026-01-01T{time}Z db7 sudo - - - {user} : TTY=pts/0 ; PWD=/ ; USER=root ; \
         COMMAND=/usr/bin/systemctl stop billing\n"
    )
}

/// Any line, so that the watermark moves.
fn filler(time: &str) -> String {
    format!("<13>1 2026-01-01T{time}Z db7 cron - - - nothing of note\n")
}

/// Sends the ticket system's word over the agent protocol, and waits until it is durable.
fn grant(weir: &Weir, time_ns: i64, user: &str) {
    let identity = AgentIdentity {
        agent: "tickets".to_owned(),
        spool: 1,
        token: weir.token.clone(),
    };
    let fields = [("state", "granted"), ("user", user)];
    let source = Some("product=ticketing,service=change");
    let event = encode_event(time_ns, Some("change_ticket"), source, &fields, None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let client = AgentClient::connect(&weir.agent.to_string(), identity).await;
        let client = client.expect("the agents' port is open");
        client.push(event).await.expect("it has room");
        client.close().await.expect("it becomes durable");
    });
}

fn listen(weir: &Weir, after: &str) -> BufReader<Body> {
    let request = Request::new("GET", "/api/v1/stream/alerts").token(&weir.token);
    let (status, stream) = request
        .header("Last-Event-ID", after)
        .open(weir.http)
        .expect("it answers");
    assert_eq!(status, 200);
    stream
}

fn next(stream: &mut BufReader<Body>, event: &str, user: &str) -> Message {
    let message = next_message(stream).expect("the stream goes on");
    assert_eq!(message.event, event, "{message:?}");
    assert_eq!(message.data["group"]["user"], user, "{message:?}");
    message
}

#[test]
fn a_late_line_takes_back_what_a_line_raised() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let weir = Weir::start(&data, &config(""));
    let mut stream = listen(&weir, "0-0");

    let line = sudo("10:00:00", "alice");
    weir.send_tcp(line.as_bytes());
    weir.send_tcp(filler("10:05:00").as_bytes());
    let raised = next(&mut stream, "raised", "alice");
    let (alert, data_of) = (
        raised.data["alert"].as_str().expect("its id").to_owned(),
        &raised.data,
    );
    assert_eq!(
        data_of["title"],
        "Maintenance as root without a change ticket"
    );
    assert_eq!(data_of["state"], "confirmed");

    // The explanation shows the bytes that were sent.
    let explained = weir
        .get(&format!("/api/v1/alerts/{alert}/explanation"))
        .json();
    assert_eq!(explained["events"][0]["text"], line.trim_end());
    assert!(
        explained["condition"]
            .as_str()
            .is_some_and(|text| text.contains("not")),
        "{explained}"
    );

    // Granted four minutes before, told five minutes late.
    grant(&weir, at(9, 56), "alice");
    let retracted = next(&mut stream, "retracted", "alice");
    assert_eq!(retracted.data["alert"], alert.as_str());
    assert!(retracted.data["revision"].as_u64() > raised.data["revision"].as_u64());
    assert_eq!(retracted.data["cause"]["kind"], "late_event");
    let shown = weir.get(&format!("/api/v1/alerts/{alert}")).text();
    assert!(shown.contains("\"standing\":false"), "{shown}");
    // Who watches the terminal sees it, too.
    assert!(
        weir.stdout
            .wait_for("- retracted", support::LIMIT)
            .is_some()
    );
    drop(stream);
    weir.stop();

    // Two more lives: one ends by kill. What comes next is news, and only that.
    let mut last = retracted.id;
    for (time, later, user) in [
        ("11:00:00", "11:05:00", "bob"),
        ("12:00:00", "12:05:00", "carol"),
    ] {
        let weir = Weir::start(&data, &config(""));
        let mut stream = listen(&weir, &last);
        weir.send_tcp(sudo(time, user).as_bytes());
        weir.send_tcp(filler(later).as_bytes());
        let raised = next(&mut stream, "raised", user);
        assert_ne!(raised.data["alert"], alert.as_str());
        last = raised.id;
        drop(stream);
        weir.kill();
    }
    let weir = Weir::start(&data, &config(""));
    let mut stream = listen(&weir, "0-0");
    for (event, user) in [
        ("raised", "alice"),
        ("retracted", "alice"),
        ("raised", "bob"),
        ("raised", "carol"),
    ] {
        next(&mut stream, event, user);
    }
    drop(stream);
    weir.stop();
}

/// Hour and minute of the day of the test, in nanoseconds since 1970.
fn at(hour: i64, minute: i64) -> i64 {
    const DAY: i64 = 1_767_225_600;
    (DAY + hour * 3600 + minute * 60) * 1_000_000_000
}
