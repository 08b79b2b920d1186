//! Envelopes of the HTTP Event Collector, and entries of journald.

mod common;

use weir_parse::Context;
use weir_schema::Format;

use common::{check, context};

const TIME: &str = "2026-03-01T10:00:00.250000000Z";

/// Frames, and parts of the events that they decode to.
const ENVELOPES: [(&str, &[(&str, &str)]); 10] = [
    (
        r#"{"time":1772359200.25,"host":"h","source":"/s","sourcetype":"t","index":"i","event":{"user":"ann","a":{"b":1}},"fields":{"dc":"x","user":"no"}}"#,
        &[
            ("TIME", TIME),
            ("host", "h"),
            ("user", "ann"),
            ("a.b", "1"),
            ("dc", "x"),
            ("sourcetype", "t"),
            ("event.user", ""),
            ("PROBLEMS", ""),
        ],
    ),
    (
        r#"{"time":"1772359200.25","host":"relay","event":{"host":"h","time":"late","message":"m"}}"#,
        &[
            ("TIME", TIME),
            ("host", "h"),
            ("relay_host", "relay"),
            ("time", "late"),
            ("MESSAGE", "m"),
        ],
    ),
    (
        r#"{"event":{"@timestamp":"2026-03-01T10:00:00.25Z","x":[1]}}"#,
        &[("TIME", TIME), ("PROBLEMS", "")],
    ),
    (
        r#"{"time":1772359200.25,"host":"web1","sourcetype":"linux_secure","event":"Mar  1 09:00:00 web1 sshd[7]: Failed password for root from 192.0.2.1 port 5 ssh2"}"#,
        &[
            ("TIME", "2026-03-01T09:00:00.000000000Z"),
            ("host", "web1"),
            ("relay_host", ""),
            ("user", "root"),
            ("src_ip", "192.0.2.1"),
            ("SOURCE", "/linux/sshd"),
            ("PROBLEMS", ""),
        ],
    ),
    (
        r#"{"host":"collector","event":"Mar  1 09:00:00 web1 sshd[7]: Failed password for root from 192.0.2.1 port 5 ssh2 \"x\""}"#,
        &[
            ("TIME", "2026-03-01T09:00:00.000000000Z"),
            ("host", "web1"),
            ("relay_host", "collector"),
        ],
    ),
    (
        r#"{"time":1772359200.25,"event":"{\"user\":\"bob\",\"level\":\"info\"}"}"#,
        &[("TIME", TIME), ("user", "bob"), ("level", "info")],
    ),
    (
        r#"{"time":1772359200.25,"host":"h","event":"hello there"}"#,
        &[
            ("TIME", TIME),
            ("MESSAGE", "hello there"),
            ("host", "h"),
            ("PROBLEMS", ""),
        ],
    ),
    (
        // A Windows event in an envelope.
        r#"{"time":1,"host":"relay","event":{"EventID":4625,"Channel":"Security","Computer":"pc","TimeCreated":"2020-01-01T00:00:00Z"}}"#,
        &[
            ("host", "pc"),
            ("relay_host", "relay"),
            ("SOURCE", "/windows/"),
        ],
    ),
    (
        // Not an envelope: it has another member.
        r#"{"time":1772359200.25,"event":{"user":"ann"},"user":"bob"}"#,
        &[("TIME", TIME), ("user", "bob"), ("event.user", "ann")],
    ),
    (
        r#"{"event":5,"host":"h"}"#,
        &[("event", "5"), ("host", "h"), ("PROBLEMS", "time_missing")],
    ),
];

#[test]
fn open_envelopes() {
    for (frame, expected) in ENVELOPES {
        check(frame.as_bytes(), &context(Format::Json), expected);
    }
    let with_time_field = Context {
        time_field: Some("event.when"),
        ..context(Format::Json)
    };
    let frame = r#"{"time":1,"event":{"when":"2026-03-01T10:00:00.25Z"}}"#;
    let expected = [("TIME", TIME), ("PROBLEMS", "")];
    check(frame.as_bytes(), &with_time_field, &expected);
}

#[test]
fn open_a_mebibyte_of_nested_envelopes() {
    let mut frame = r#"{"event":"x"}"#.to_owned();
    while frame.len() < 1 << 20 {
        let escaped = frame.replace('\\', "\\\\").replace('"', "\\\"");
        frame = format!(r#"{{"event":"{escaped}"}}"#);
    }
    check(
        frame.as_bytes(),
        &context(Format::Json),
        &[("MESSAGE", "x")],
    );
}

#[test]
fn read_journal_entries_as_syslog_lines() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        (
            r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1772359200250000","PRIORITY":"6","SYSLOG_FACILITY":"10","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"sshd","_PID":"7","_COMM":"sshd","MESSAGE":"Failed password for root from 192.0.2.1 port 5 ssh2"}"#,
            &[
                ("TIME", TIME),
                ("host", "web1"),
                ("program", "sshd"),
                ("pid", "7"),
                ("facility", "authpriv"),
                ("severity", "info"),
                ("user", "root"),
                ("src_ip", "192.0.2.1"),
                ("outcome", "failure"),
                ("SOURCE", "/linux/sshd"),
                (
                    "MESSAGE",
                    "Failed password for root from 192.0.2.1 port 5 ssh2",
                ),
                ("_COMM", "sshd"),
                ("PROBLEMS", ""),
            ],
        ),
        (
            r#"{"__REALTIME_TIMESTAMP":"1","_SOURCE_REALTIME_TIMESTAMP":"1772359200250000","MESSAGE":"say \"x\"","PRIORITY":"9","_COMM":"x"}"#,
            &[
                ("TIME", TIME),
                ("MESSAGE", "say \"x\""),
                ("program", "x"),
                ("severity", ""),
                ("SOURCE", "//"),
            ],
        ),
        (
            // A message that is no UTF-8 is a list of bytes.
            r#"{"__REALTIME_TIMESTAMP":"1772359200250000","MESSAGE":[97,255,0]}"#,
            &[("MESSAGE", "a\u{fffd}"), ("TIME", TIME), ("PROBLEMS", "")],
        ),
    ];
    for (frame, expected) in cases {
        check(frame.as_bytes(), &context(Format::Json), expected);
    }
}
