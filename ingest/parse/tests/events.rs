//! Lines and the events they decode to: services, log sources and messages.

mod common;

use weir_parse::{Context, parse_logsource};
use weir_schema::Format;

use common::{check, context};

const LINES: [(&str, &[(&str, &str)]); 14] = [
    // rsyslog's template for RFC 5424 writes two spaces in front of the message.
    (
        "<38>1 2026-03-01T10:00:00Z web1 sshd 7 - -  Failed password for root from 192.0.2.1 port 5 ssh2",
        &[
            ("user", "root"),
            ("src_ip", "192.0.2.1"),
            ("outcome", "failure"),
            ("SOURCE", "/linux/sshd"),
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
            ("SOURCE", "/linux/sshd"),
            ("PROBLEMS", ""),
            ("TIME", "2026-03-01T10:00:00.000000000Z"),
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
            ("SOURCE", "/linux/sudo"),
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
            ("SOURCE", "/linux/cron"),
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
            ("SOURCE", "firewall/linux/firewall"),
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
            ("SOURCE", "webserver/nginx/"),
            ("TIME", "2026-03-01T10:00:00.000000000Z"),
        ],
    ),
    (
        "Mar  1 10:00:00 h su[1]: pam_unix(su:session): session closed for user root",
        &[
            ("user", "root"),
            ("action", "session_close"),
            ("SOURCE", "/linux/su"),
        ],
    ),
    (
        "<13>Mar  1 10:00:00 h myapp: hello",
        &[("program", "myapp"), ("MESSAGE", "hello"), ("SOURCE", "//")],
    ),
    (
        "<13>Mar  1 10:00:00.250 h myapp[x-1]: [a b=\"c\"] hello",
        &[
            ("pid", "x-1"),
            ("MESSAGE", "[a b=\"c\"] hello"),
            ("TIME", "2026-03-01T10:00:00.250000000Z"),
        ],
    ),
    (
        "2026-03-01 10:00:00.5-0700  h sshd[7]: Invalid user x from ::ffff:192.0.2.1",
        &[
            ("host", "h"),
            ("src_ip", "192.0.2.1"),
            ("user", "x"),
            ("TIME", "2026-03-01T17:00:00.500000000Z"),
            ("PROBLEMS", ""),
        ],
    ),
    (
        "garbage",
        &[
            ("MESSAGE", "garbage"),
            ("PROBLEMS", "unparsed time_missing"),
            ("TIME", "2026-03-02T00:00:00.000000000Z"),
        ],
    ),
];

#[test]
fn decode_lines_of_services() {
    for (line, expected) in LINES {
        check(line.as_bytes(), &context(Format::Auto), expected);
    }
}

/// A user name that contains an address must not replace the address of the client.
#[test]
fn user_names_cannot_fake_the_address() {
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
        check(line.as_bytes(), &context(Format::Auto), &expected);
    }
}

#[test]
fn declared_log_source_overrides_stated_one() {
    let line = br#"{"n":1.10,"n":2.50,"a":{"b":{"c":"d"}},"u":18446744073709551616,"when":5,"logsource":"product=windows,service=x"}"#;
    let declared = parse_logsource("service=y").unwrap();
    let context = Context {
        logsource: Some(&declared),
        time_field: Some("when"),
        ..context(Format::Auto)
    };
    check(
        line,
        &context,
        &[
            ("n", "2.50"),
            ("a.b.c", "d"),
            ("u", "18446744073709551616"),
            ("SOURCE", "/windows/y"),
            ("TIME", "1970-01-01T00:00:05.000000000Z"),
            ("MESSAGE", ""),
        ],
    );
}

#[test]
fn find_message_of_json_object() {
    let messages = [
        ("{\"message\":\"a\",\"Message\":\"b\"}", "a"),
        ("{\"log\":\"d\",\"msg\":\"c\",\"Message\":\"b\"}", "b"),
        ("{\"message\":1,\"msg\":\"c\\n\"}", "c\n"),
        ("{\"log\":\"d\"}", "d"),
        ("{\"log\":{\"level\":\"info\"}}", ""),
        ("{\"log\":\"d\"", "{\"log\":\"d\""),
    ];
    for (line, message) in messages {
        check(
            line.as_bytes(),
            &context(Format::Auto),
            &[("MESSAGE", message)],
        );
    }
}

#[test]
fn replace_invalid_utf8_and_report_it() {
    check(
        b"\xef\xbb\xbf<13>Mar  1 10:00:00 h a: b\xff\0c\r\n",
        &context(Format::Auto),
        &[
            ("PROBLEMS", "invalid_utf8"),
            ("MESSAGE", "b\u{fffd}\0c"),
            ("host", "h"),
        ],
    );
}

#[test]
fn application_logs_carry_no_other_event() {
    let record = "type=USER_LOGIN msg=audit(1652292620.5:1): client_ip=192.0.2.6";
    let xml = "<Event><System><EventID>1</EventID><Computer>dc</Computer></System></Event>";
    for inner in [record, xml] {
        let json = serde_json::to_string(inner).unwrap();
        for log_field in [
            "\"level\":\"info\"",
            "\"log\":{\"level\":30}",
            "\"logger\":\"app\"",
        ] {
            let line = format!(
                "{{\"time\":\"2026-03-01T10:00:00Z\",{log_field},\"client_ip\":\"192.0.2.4\",\"message\":{json}}}"
            );
            check(
                line.as_bytes(),
                &context(Format::Auto),
                &[
                    ("client_ip", "192.0.2.4"),
                    ("SOURCE", "//"),
                    ("MESSAGE", inner),
                    ("TIME", "2026-03-01T10:00:00.000000000Z"),
                ],
            );
        }
    }
    for id in ["\"abc\"", "null", "[1]", "1.5"] {
        let line =
            format!("{{\"EventID\":{id},\"Channel\":\"news\",\"host\":\"h\",\"Computer\":\"c\"}}");
        check(
            line.as_bytes(),
            &context(Format::Auto),
            &[("SOURCE", "//"), ("host", "h")],
        );
    }
}
