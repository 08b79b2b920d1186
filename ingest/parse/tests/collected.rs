//! Envelopes of the HTTP Event Collector and entries of journald, as tables: what stands on top, and
//! when it was.

use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::{Format, ReceiveTime, Span};

/// 2026-03-02T00:00:00Z
const RECEIVED: i64 = 1_772_409_600_000_000_000;

fn context() -> Context<'static> {
    Context {
        format: Format::Json,
        received: ReceiveTime(RECEIVED),
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

/// The event must hold each `name=value`; an empty value says that there is no such field.
fn check(frame: &str, context: &Context<'_>, expected: &[(&str, &str)]) {
    let event = decode(frame.as_bytes(), context);
    let json = event_json(&event);
    for (name, value) in expected {
        let source = &event.logsource;
        let got = match *name {
            "TIME" => json.split('"').nth(3).unwrap_or_default().to_owned(),
            "SOURCE" => [&source.category, &source.product, &source.service]
                .map(|word| word.clone().unwrap_or_default())
                .join("/"),
            "SAID" => event.message.to_string(),
            "PROBLEMS" => {
                let names: Vec<_> = event.problems.iter().map(|p| p.name()).collect();
                names.join(" ")
            }
            name => {
                let value = event.get(name);
                value.map_or_else(String::new, |v| {
                    v.as_text().unwrap_or_default().into_owned()
                })
            }
        };
        assert_eq!(got, *value, "{name} of {json}");
    }
}

const TIME: &str = "2026-03-01T10:00:00.250000000Z";

#[test]
fn envelopes_are_opened() {
    let line = "Mar  1 09:00:00 web1 sshd[7]: Failed password for root from 192.0.2.1 port 5 ssh2";
    let cases: &[(String, &[(&str, &str)])] = &[
        (
            r#"{"time":1772359200.25,"host":"h","source":"/s","sourcetype":"t","index":"i","event":{"user":"ann","a":{"b":1}},"fields":{"dc":"x","user":"no"}}"#.into(),
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
            r#"{"time":"1772359200.25","host":"relay","event":{"host":"h","time":"late","message":"m"}}"#.into(),
            &[("TIME", TIME), ("host", "h"), ("relay_host", "relay"), ("time", "late"), ("SAID", "m")],
        ),
        (
            r#"{"event":{"@timestamp":"2026-03-01T10:00:00.25Z","x":[1]}}"#.into(),
            &[("TIME", TIME), ("PROBLEMS", "")],
        ),
        (
            format!(r#"{{"time":1772359200.25,"host":"web1","sourcetype":"linux_secure","event":"{line}"}}"#),
            &[
                ("TIME", TIME),
                ("host", "web1"),
                ("relay_host", ""),
                ("user", "root"),
                ("src_ip", "192.0.2.1"),
                ("SOURCE", "/linux/sshd"),
                ("PROBLEMS", ""),
            ],
        ),
        (
            format!(r#"{{"host":"collector","event":"{line} \"x\""}}"#),
            &[("TIME", "2026-03-01T09:00:00.000000000Z"), ("host", "web1"), ("relay_host", "collector")],
        ),
        (
            r#"{"time":1772359200.25,"event":"{\"user\":\"bob\",\"level\":\"info\"}"}"#.into(),
            &[("TIME", TIME), ("user", "bob"), ("level", "info")],
        ),
        (
            r#"{"time":1772359200.25,"host":"h","event":"hello there"}"#.into(),
            &[("TIME", TIME), ("SAID", "hello there"), ("host", "h"), ("PROBLEMS", "")],
        ),
        (
            // A Windows event as Winlogbeat's kin put it in.
            r#"{"time":1,"host":"relay","event":{"EventID":4625,"Channel":"Security","Computer":"pc","TimeCreated":"2020-01-01T00:00:00Z"}}"#.into(),
            &[("host", "pc"), ("relay_host", "relay"), ("SOURCE", "/windows/")],
        ),
        (
            // Anything else beside the event, and it is no envelope.
            r#"{"time":1772359200.25,"event":{"user":"ann"},"user":"bob"}"#.into(),
            &[("TIME", TIME), ("user", "bob"), ("event.user", "ann")],
        ),
        (
            r#"{"event":5,"host":"h"}"#.into(),
            &[("event", "5"), ("host", "h"), ("PROBLEMS", "time_missing")],
        ),
    ];
    for (frame, expected) in cases {
        check(frame, &context(), expected);
    }
    let own = Context {
        time_field: Some("event.when"),
        ..context()
    };
    let frame = r#"{"time":1,"event":{"when":"2026-03-01T10:00:00.25Z"}}"#;
    check(frame, &own, &[("TIME", TIME), ("PROBLEMS", "")]);
}

#[test]
fn envelopes_in_envelopes_end() {
    let mut frame = r#"{"event":"x"}"#.to_owned();
    while frame.len() < 1 << 20 {
        let escaped = frame.replace('\\', "\\\\").replace('"', "\\\"");
        frame = format!(r#"{{"event":"{escaped}"}}"#);
    }
    check(&frame, &context(), &[("SAID", "x")]);
}

#[test]
fn entries_of_the_journal_are_read_as_the_lines_they_were() {
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
                    "SAID",
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
                ("SAID", "say \"x\""),
                ("program", "x"),
                ("severity", ""),
                ("SOURCE", "//"),
            ],
        ),
        (
            // A message that is no text is kept as the journal writes it.
            r#"{"__REALTIME_TIMESTAMP":"1772359200250000","MESSAGE":[255,0]}"#,
            &[("SAID", ""), ("TIME", TIME), ("PROBLEMS", "")],
        ),
    ];
    for (frame, expected) in cases {
        check(frame, &context(), expected);
    }
}
