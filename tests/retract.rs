//! The core of Weir end to end: a line raises an alert, a late line retracts it, a restart repeats nothing.

mod support;

use std::io::BufReader;

use support::http::{Body, Message, Request, next_message};
use support::{Weir, config};
use weir_agent::encode_event;

/// A line that raises an alert of `sudo_without_change_ticket`, unless there is a ticket.
fn sudo(time: &str, user: &str) -> String {
    format!(
        "<86>1 2026-01-01T{time}Z db7 sudo - - - {user} : TTY=pts/0 ; PWD=/ ; USER=root ; \
         COMMAND=/usr/bin/systemctl stop billing\n"
    )
}

/// A line that only moves the watermark.
fn filler(time: &str) -> String {
    format!("<13>1 2026-01-01T{time}Z db7 cron - - - nothing of note\n")
}

/// Sends a change ticket over the agent protocol and waits until it is durable.
fn grant(weir: &Weir, time_ns: i64, user: &str) {
    let fields = [("state", "granted"), ("user", user)];
    let source = Some("product=ticketing,service=change");
    let event = encode_event(time_ns, Some("change_ticket"), source, &fields, None);
    weir.send_as_agent("tickets", 1, &[event]);
}

/// Opens the alert stream after a cursor.
fn subscribe(weir: &Weir, after: &str) -> BufReader<Body> {
    let request = Request::new("GET", "/api/v1/stream/alerts").token(&weir.token);
    let (status, stream) = request
        .header("Last-Event-ID", after)
        .open(weir.http)
        .expect("a reply");
    assert_eq!(status, 200);
    stream
}

/// Reads the next change and compares its kind and user.
fn next(stream: &mut BufReader<Body>, event: &str, user: &str) -> Message {
    let mut message = next_message(stream).expect("the stream goes on");
    // Alerts about Weir itself tell of the kills in these tests.
    while message.data["rule"]
        .as_str()
        .is_some_and(|rule| rule.starts_with("weir.self."))
    {
        message = next_message(stream).expect("the stream goes on");
    }
    assert_eq!(message.event, event, "{message:?}");
    assert_eq!(message.data["group"]["user"], user, "{message:?}");
    message
}

#[test]
fn a_late_line_retracts_an_alert() {
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(&folder.path().join("data"), &config(""));
    let mut stream = subscribe(&weir, "0-0");

    let line = sudo("10:00:00", "alice");
    weir.send_tcp(line.as_bytes());
    weir.send_tcp(filler("10:05:00").as_bytes());
    let raised = next(&mut stream, "raised", "alice").data;
    let alert = raised["alert"].as_str().expect("its id");
    let title = "Maintenance as root without a change ticket";
    assert_eq!(
        (&raised["title"], &raised["state"]),
        (&title.into(), &"confirmed".into())
    );

    // The explanation shows the bytes that were sent.
    let path = format!("/api/v1/alerts/{alert}/explanation");
    let explanation = weir.get(&path).json();
    assert_eq!(explanation["events"][0]["text"], line.trim_end());
    let condition = explanation["condition"].as_str();
    assert!(
        condition.is_some_and(|text| text.contains("not")),
        "{explanation}"
    );

    // The ticket was granted four minutes before the line, and arrives late.
    grant(&weir, at(9, 56), "alice");
    let retracted = next(&mut stream, "retracted", "alice").data;
    assert_eq!(retracted["alert"], alert);
    assert!(retracted["revision"].as_u64() > raised["revision"].as_u64());
    assert_eq!(retracted["cause"]["kind"], "late_event");
    let record = weir.get(&format!("/api/v1/alerts/{alert}")).text();
    assert!(record.contains("\"standing\":false"), "{record}");
    // The terminal shows it, too.
    let printed = weir.stdout.wait_for("- retracted", support::LIMIT);
    assert!(printed.is_some());
    drop(stream);
    weir.stop();
}

#[test]
fn a_restart_repeats_no_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let weir = Weir::start(&data, &config(""));
    let mut stream = subscribe(&weir, "0-0");
    weir.send_tcp(sudo("10:00:00", "alice").as_bytes());
    weir.send_tcp(filler("10:05:00").as_bytes());
    let alice = next(&mut stream, "raised", "alice");
    grant(&weir, at(9, 56), "alice");
    let mut last = next(&mut stream, "retracted", "alice").id;
    drop(stream);
    weir.stop();

    // After a stop and after a kill, the stream continues with new changes only.
    for (time, later, user) in [
        ("11:00:00", "11:05:00", "bob"),
        ("12:00:00", "12:05:00", "carol"),
    ] {
        let weir = Weir::start(&data, &config(""));
        let mut stream = subscribe(&weir, &last);
        weir.send_tcp(sudo(time, user).as_bytes());
        weir.send_tcp(filler(later).as_bytes());
        let raised = next(&mut stream, "raised", user);
        assert_ne!(raised.data["alert"], alice.data["alert"]);
        last = raised.id;
        drop(stream);
        weir.kill();
    }
    let weir = Weir::start(&data, &config(""));
    let mut stream = subscribe(&weir, "0-0");
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

/// A time on the day of the test, in nanoseconds since 1970.
fn at(hour: i64, minute: i64) -> i64 {
    const DAY: i64 = 1_767_225_600;
    (DAY + hour * 3600 + minute * 60) * 1_000_000_000
}
