//! Lines and the events they are, as tables: services, times, log sources, agents.

use weir_parse::{Context, Zone, decode, event_json, parse_logsource};
use weir_schema::agent::{AgentEvent, AgentEventArgs, Field, FieldArgs};
use weir_schema::{Format, ReceiveTime, Span};

/// 2026-03-02T00:00:00Z
const RECEIVED: i64 = 1_772_409_600_000_000_000;

fn context() -> Context<'static> {
    Context {
        format: Format::Auto,
        received: ReceiveTime(RECEIVED),
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

/// The event must hold each `name=value`; the names `time`, `source`, `message` and `problems` are
/// the event's own.
fn check(frame: &[u8], context: &Context<'_>, expected: &[(&str, &str)]) {
    let event = decode(frame, context);
    let json = event_json(&event);
    for (name, value) in expected {
        let source = &event.logsource;
        let got = match *name {
            "time" => json.split('"').nth(3).map(str::to_owned),
            "source" => Some(
                [&source.category, &source.product, &source.service]
                    .map(|word| word.clone().unwrap_or_default())
                    .join("/"),
            ),
            "message" => Some(event.message.to_string()),
            "problems" => {
                let names: Vec<_> = event.problems.iter().map(|p| p.name()).collect();
                Some(names.join(" "))
            }
            name => event
                .get(name)
                .map(|v| v.as_text().unwrap_or_default().into_owned()),
        };
        assert_eq!(got.as_deref(), Some(*value), "{name} of {json}");
    }
}

#[test]
fn services_are_read() {
    let cases: [(&str, &[(&str, &str)]); 14] = [
        // As rsyslog's own template for RFC 5424 writes it, with two spaces.
        (
            "<38>1 2026-03-01T10:00:00Z web1 sshd 7 - -  Failed password for root from 192.0.2.1 port 5 ssh2",
            &[
                ("user", "root"),
                ("src_ip", "192.0.2.1"),
                ("outcome", "failure"),
                ("source", "/linux/sshd"),
            ],
        ),
        (
            "<38>Mar  1 10:00:00 web1 sshd[7]: Accepted publickey for git from 192.0.2.1 port 5 ssh2: RSA x",
            &[
                ("host", "web1"),
                ("program", "sshd"),
                ("pid", "7"),
                ("user", "git"),
                ("src_ip", "192.0.2.1"),
                ("src_port", "5"),
                ("method", "publickey"),
                ("outcome", "success"),
                ("action", "login"),
                ("source", "/linux/sshd"),
                ("problems", ""),
                ("time", "2026-03-01T10:00:00.000000000Z"),
            ],
        ),
        (
            "Mar  1 10:00:00 h sudo:     dcid : TTY=pts/4 ; PWD=/home/dcid ; USER=root ; COMMAND=/bin/sh -c a=b ; c",
            &[
                ("user", "dcid"),
                ("target_user", "root"),
                ("tty", "pts/4"),
                ("pwd", "/home/dcid"),
                ("command", "/bin/sh -c a=b ; c"),
                ("outcome", "success"),
                ("source", "/linux/sudo"),
            ],
        ),
        (
            "Mar  1 10:00:00 h sudo:  mike : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/ls",
            &[
                ("user", "mike"),
                ("outcome", "failure"),
                ("reason", "3 incorrect password attempts"),
                ("command", "/bin/ls"),
            ],
        ),
        (
            "Mar  1 10:00:00 h sudo: pam_unix(sudo:auth): authentication failure; logname=bob uid=1000 euid=0 tty=/dev/pts/1 ruser=bob rhost=  user=bob",
            &[
                ("user", "bob"),
                ("outcome", "failure"),
                ("tty", "/dev/pts/1"),
            ],
        ),
        (
            "Mar  1 10:00:00 h sudo: pam_unix(sudo:session): session opened for user root(uid=0) by bob(uid=1000)",
            &[
                ("user", "bob"),
                ("target_user", "root"),
                ("action", "session_open"),
            ],
        ),
        (
            "<78>Mar  1 10:00:00 h CRON[12]: (root) CMD (cd / && run-parts /etc/cron.hourly)",
            &[
                ("user", "root"),
                ("command", "cd / && run-parts /etc/cron.hourly"),
                ("action", "command"),
                ("source", "/linux/cron"),
            ],
        ),
        (
            "Mar  1 10:00:00 h kernel: [ 3529.289825] [UFW BLOCK] IN=eth0 OUT= MAC=00:11 SRC=1.2.3.4 DST=5.6.7.8 LEN=103 PROTO=UDP SPT=53 DPT=36427 LEN=83",
            &[
                ("action", "block"),
                ("src_ip", "1.2.3.4"),
                ("dst_ip", "5.6.7.8"),
                ("dst_port", "36427"),
                ("LEN", "103"),
                ("SPT", "53"),
                ("source", "firewall/linux/firewall"),
            ],
        ),
        (
            "<190>Mar  1 10:00:00 w nginx: 192.0.2.9 - - [01/Mar/2026:09:59:59 +0000] \"GET /a/b.php?q=1 HTTP/1.1\" 404 12 \"-\" \"curl/8 \\\"x\\\"\"",
            &[
                ("c-ip", "192.0.2.9"),
                ("src_ip", "192.0.2.9"),
                ("cs-method", "GET"),
                ("cs-uri", "/a/b.php?q=1"),
                ("cs-uri-stem", "/a/b.php"),
                ("cs-uri-query", "q=1"),
                ("sc-status", "404"),
                ("sc-bytes", "12"),
                ("cs-user-agent", "curl/8 \\\"x\\\""),
                ("source", "webserver/nginx/"),
                ("time", "2026-03-01T10:00:00.000000000Z"),
            ],
        ),
        (
            "Mar  1 10:00:00 h su[1]: pam_unix(su:session): session closed for user root",
            &[
                ("user", "root"),
                ("action", "session_close"),
                ("source", "/linux/su"),
            ],
        ),
        (
            "<13>Mar  1 10:00:00 h myapp: hello",
            &[("program", "myapp"), ("message", "hello"), ("source", "//")],
        ),
        (
            "<13>Mar  1 10:00:00.250 h myapp[x-1]: [a b=\"c\"] hello",
            &[
                ("pid", "x-1"),
                ("message", "[a b=\"c\"] hello"),
                ("time", "2026-03-01T10:00:00.250000000Z"),
            ],
        ),
        (
            "2026-03-01 10:00:00.5-0700  h sshd[7]: Invalid user x from ::ffff:192.0.2.1",
            &[
                ("host", "h"),
                ("src_ip", "192.0.2.1"),
                ("user", "x"),
                ("time", "2026-03-01T17:00:00.500000000Z"),
                ("problems", ""),
            ],
        ),
        (
            "garbage",
            &[
                ("message", "garbage"),
                ("problems", "unparsed time_missing"),
                ("time", "2026-03-02T00:00:00.000000000Z"),
            ],
        ),
    ];
    for (line, expected) in cases {
        check(line.as_bytes(), &context(), expected);
    }
}

/// Names that try to pass an address of their own off as the sender's.
#[test]
fn a_user_name_does_not_choose_the_address() {
    let cases = [
        (
            "Invalid user a from 1.1.1.1 from 192.0.2.1 port 5",
            "a from 1.1.1.1",
        ),
        (
            "Invalid user a from 1.1.1.1: from 192.0.2.1 port 5",
            "a from 1.1.1.1:",
        ),
        (
            "Invalid user a from 1.1.1.1 not allowed because from 192.0.2.1 port 5",
            "a from 1.1.1.1 not allowed because",
        ),
        (
            "Connection closed by invalid user a 1.1.1.1 port 9: b 192.0.2.1 port 5 [preauth]",
            "a 1.1.1.1 port 9: b",
        ),
        (
            "Failed password for invalid user a from 1.1.1.1 port 9 ssh2 from 192.0.2.1 port 5 ssh2",
            "a from 1.1.1.1 port 9 ssh2",
        ),
    ];
    for (message, user) in cases {
        let line = format!("<38>Mar  1 10:00:00 h sshd[1]: {message}");
        let expected = [("user", user), ("src_ip", "192.0.2.1"), ("src_port", "5")];
        check(line.as_bytes(), &context(), &expected);
    }
}

#[test]
fn years_that_are_not_written_are_the_nearest() {
    let cases = [
        // received, zone, written, read
        (
            "2026-01-01T00:00:30Z",
            "UTC",
            "Dec 31 23:59:59",
            "2025-12-31T23:59:59",
        ),
        (
            "2025-12-31T23:59:30Z",
            "UTC",
            "Jan  1 00:00:01",
            "2026-01-01T00:00:01",
        ),
        (
            "2026-02-01T00:00:00Z",
            "UTC",
            "Feb 29 12:00:00",
            "2024-02-29T12:00:00",
        ),
        (
            "2027-03-02T00:00:00Z",
            "UTC",
            "Feb 29 12:00:00",
            "2028-02-29T12:00:00",
        ),
        (
            "2103-01-01T00:00:00Z",
            "UTC",
            "Feb 29 12:00:00",
            "2104-02-29T12:00:00",
        ),
        (
            "2026-01-01T00:30:00Z",
            "America/New_York",
            "Dec 31 19:29:00",
            "2026-01-01T00:29:00",
        ),
        (
            "2026-07-01T00:00:00Z",
            "Europe/Berlin",
            "Jun 30 12:00:00",
            "2026-06-30T10:00:00",
        ),
        // Clocks go forward at 02:00: 02:30 never was, and reads with the offset before.
        (
            "2026-03-29T12:00:00Z",
            "Europe/Berlin",
            "Mar 29 02:30:00",
            "2026-03-29T01:30:00",
        ),
        // Clocks go back at 03:00: 02:30 stands twice, and is the first.
        (
            "2026-10-25T12:00:00Z",
            "Europe/Berlin",
            "Oct 25 02:30:00",
            "2026-10-25T00:30:00",
        ),
        (
            "2026-03-29T12:00:00Z",
            "Europe/Berlin",
            "Mar 29 2026 12:30:00",
            "2026-03-29T10:30:00",
        ),
    ];
    for (received, zone, written, read) in cases {
        let received = chrono::DateTime::parse_from_rfc3339(received).unwrap();
        let context = Context {
            received: ReceiveTime(received.timestamp_nanos_opt().unwrap()),
            zone: Zone::parse(zone).unwrap(),
            ..context()
        };
        let line = format!("<13>{written} h app: m");
        check(
            line.as_bytes(),
            &context,
            &[("time", &format!("{read}.000000000Z")), ("host", "h")],
        );
    }
    assert!(Zone::parse("Europe/Atlantis").is_none());
}

#[test]
fn json_times_log_sources_and_messages_are_found() {
    let berlin = Context {
        zone: Zone::parse("Europe/Berlin").unwrap(),
        ..context()
    };
    let times = [
        (
            "\"2026-01-02T03:04:05.5+01:00\"",
            "2026-01-02T02:04:05.500000000Z",
        ),
        (
            "\"2026-01-02 03:04:05.000000001\"",
            "2026-01-02T02:04:05.000000001Z",
        ),
        (
            "\"2026-01-02T03:04:05.1+0000\"",
            "2026-01-02T03:04:05.100000000Z",
        ),
        ("1767323045", "2026-01-02T03:04:05.000000000Z"),
        ("1767323045.25", "2026-01-02T03:04:05.250000000Z"),
        ("1767323045250", "2026-01-02T03:04:05.250000000Z"),
        ("1767323045250000", "2026-01-02T03:04:05.250000000Z"),
        ("1767323045250000001", "2026-01-02T03:04:05.250000001Z"),
        // A duration beside it is none.
        (
            "1767323045,\"time\":0.023",
            "2026-01-02T03:04:05.000000000Z",
        ),
        ("7", "1970-01-01T00:00:07.000000000Z"),
    ];
    for (written, read) in times {
        let line = format!("{{\"message\":\"m\",\"@timestamp\":{written}}}");
        check(
            line.as_bytes(),
            &berlin,
            &[("time", read), ("message", "m"), ("problems", "")],
        );
    }
    let line = br#"{"n":1.10,"n":2.50,"a":{"b":{"c":"d"}},"u":18446744073709551616,"when":5,"logsource":"product=windows,service=x"}"#;
    let declared = parse_logsource("service=y").unwrap();
    let context = Context {
        logsource: Some(&declared),
        time_field: Some("when"),
        ..context()
    };
    check(
        line,
        &context,
        &[
            ("n", "2.50"),
            ("a.b.c", "d"),
            ("u", "18446744073709551616"),
            ("source", "/windows/y"),
            ("time", "1970-01-01T00:00:05.000000000Z"),
            ("message", ""),
        ],
    );
    let messages = [
        ("{\"message\":\"a\",\"Message\":\"b\"}", "a"),
        ("{\"log\":\"d\",\"msg\":\"c\",\"Message\":\"b\"}", "b"),
        ("{\"message\":1,\"msg\":\"c\\n\"}", "c\n"),
        ("{\"log\":\"d\"}", "d"),
        ("{\"log\":{\"level\":\"info\"}}", ""),
        ("{\"log\":\"d\"", "{\"log\":\"d\""),
    ];
    for (line, message) in messages {
        check(line.as_bytes(), &self::context(), &[("message", message)]);
    }
    let problems = [
        ("{\"time\":\"2300-01-01T00:00:00Z\"}", "time_absurd"),
        ("{\"time\":\"1969-12-31T23:59:59Z\"}", "time_absurd"),
        ("{\"time\":-5}", "time_absurd"),
        ("{\"time\":\"2026-03-02T00:05:01Z\"}", "time_in_future"),
        ("{\"time\":\"2026-03-02T00:05:00Z\"}", ""),
        ("{\"time\":\"soon\"}", "time_missing"),
        ("{\"time\":1", "unparsed time_missing"),
        ("<13>1 2261-12-31T23:59:59Z h a - - - m", "time_in_future"),
        ("<13>1 2262-01-01T00:00:00Z h a - - - m", "time_absurd"),
    ];
    for (line, expected) in problems {
        check(line.as_bytes(), &self::context(), &[("problems", expected)]);
    }
    check(
        b"\xef\xbb\xbf<13>Mar  1 10:00:00 h a: b\xff\0c\r\n",
        &self::context(),
        &[
            ("problems", "invalid_utf8"),
            ("message", "b\u{fffd}\0c"),
            ("host", "h"),
        ],
    );
}

#[test]
fn what_an_application_says_is_no_event_of_another() {
    let record = "type=USER_LOGIN msg=audit(1652292620.5:1): client_ip=192.0.2.6";
    let xml = "<Event><System><EventID>1</EventID><Computer>dc</Computer></System></Event>";
    for inner in [record, xml] {
        let json = serde_json::to_string(inner).unwrap();
        for own in [
            "\"level\":\"info\"",
            "\"log\":{\"level\":30}",
            "\"logger\":\"app\"",
        ] {
            let line = format!(
                "{{\"time\":\"2026-03-01T10:00:00Z\",{own},\"client_ip\":\"192.0.2.4\",\"message\":{json}}}"
            );
            check(
                line.as_bytes(),
                &context(),
                &[
                    ("client_ip", "192.0.2.4"),
                    ("source", "//"),
                    ("message", inner),
                    ("time", "2026-03-01T10:00:00.000000000Z"),
                ],
            );
        }
    }
    for id in ["\"abc\"", "null", "[1]", "1.5"] {
        let line =
            format!("{{\"EventID\":{id},\"Channel\":\"news\",\"host\":\"h\",\"Computer\":\"c\"}}");
        check(
            line.as_bytes(),
            &context(),
            &[("source", "//"), ("host", "h")],
        );
    }
}

#[test]
fn agent_events_are_read_with_the_line_they_carry() {
    let build = |time_ns: i64, name: &str, raw: Option<&str>| {
        let mut b = flatbuffers::FlatBufferBuilder::new();
        let (name, value) = (b.create_string(name), b.create_string("agent-says"));
        let field = Field::create(
            &mut b,
            &FieldArgs {
                name: Some(name),
                value: Some(value),
            },
        );
        let fields = b.create_vector(&[field]);
        let kind = b.create_string("process_creation");
        let logsource = b.create_string("category=process_creation,product=linux");
        let raw = raw.map(|raw| b.create_string(raw));
        let args = AgentEventArgs {
            time_ns,
            kind: Some(kind),
            logsource: Some(logsource),
            fields: Some(fields),
            raw,
        };
        let event = AgentEvent::create(&mut b, &args);
        b.finish(event, None);
        b.finished_data().to_vec()
    };
    let context = Context {
        format: Format::Agent,
        ..context()
    };
    let line = "<38>Mar  1 10:00:00 web1 sshd[7]: Invalid user x from 192.0.2.1";
    check(
        &build(0, "user", Some(line)),
        &context,
        &[
            ("time", "2026-03-01T10:00:00.000000000Z"),
            ("user", "agent-says"),
            ("src_ip", "192.0.2.1"),
            ("kind", "process_creation"),
            ("source", "process_creation/linux/sshd"),
            ("problems", ""),
        ],
    );
    check(
        &build(5_000_000_000, "user", Some("the line")),
        &context,
        &[
            ("time", "1970-01-01T00:00:05.000000000Z"),
            ("message", "the line"),
        ],
    );
    check(
        &build(0, "user", None),
        &context,
        &[
            ("message", "process_creation agent-says"),
            ("problems", "time_missing"),
        ],
    );
    // What the line says goes by another name where the agent has taken it.
    let session = "sudo: pam_unix(sudo:session): session opened for user root by ann(uid=0)";
    let frame = build(0, "target_user", Some(session));
    let event = decode(&frame, &context);
    let named = event
        .fields
        .iter()
        .filter(|(name, _)| name == "target_user");
    assert_eq!(named.count(), 1, "{event:?}");
    check(
        b"no flatbuffer \xff",
        &context,
        &[
            ("message", "no flatbuffer \u{fffd}"),
            ("problems", "time_missing invalid_flatbuffer"),
        ],
    );
}
