//! Lines that stand for several: each is read as one of them, and tells how many they are.

mod common;

use weir_parse::decode;
use weir_schema::{Event, Format, Problem, Weight};

use common::{context, text};

/// Programs, their messages, and whether a reader knows them.
const MESSAGES: [(&str, &str); 9] = [
    (
        "sshd[7]",
        "Failed password for root from 192.0.2.9 port 1 ssh2",
    ),
    ("sshd[7]", "Invalid user a] from 192.0.2.9"),
    (
        "su",
        "pam_unix(su:auth): authentication failure; logname=a uid=0 tty=pts/0 ruser=a rhost=  user=root",
    ),
    (
        "sudo",
        "ann : TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/ls [a]",
    ),
    (
        "kernel",
        "[1.2] [UFW BLOCK] IN=eth0 OUT= SRC=192.0.2.9 DST=192.0.2.1 PROTO=TCP SPT=1 DPT=22",
    ),
    (
        "app",
        "{\"action\":\"login\",\"user\":\"ann\",\"list\":[1,2]}",
    ),
    ("app", "kind=upload user=ann bytes=100 repeated=7"),
    (
        "audispd",
        "type=USER_LOGIN msg=audit(1772359200.250:7): pid=9 uid=0 msg='op=login res=failed'",
    ),
    ("app", "prose, and nothing else"),
];

/// Headers before a tag and a message.
const HEADERS: [&str; 4] = [
    "<38>Mar  1 10:00:00 web1 ",
    "Mar  1 10:00:00 web1 ",
    "<38>2026-03-01T10:00:00.5+01:00 web1 ",
    "<14>Mar  1 10:00:01 relay <38>Mar  1 10:00:00 web1 ",
];

fn read(line: &str) -> Event<'_> {
    decode(line.as_bytes(), &context(Format::Auto))
}

#[test]
fn a_repeated_message_is_read_as_one_of_its_repeats() {
    for (tag, message) in MESSAGES {
        for header in HEADERS {
            let plain = format!("{header}{tag}: {message}");
            let repeated = format!("{header}{tag}: message repeated 5 times: [ {message}]");
            let (plain, mut repeated) = (read(&plain), read(&repeated));
            assert_eq!(plain.weight, Weight::ONE);
            assert_eq!(repeated.weight, Weight::of(5), "{repeated:?}");
            assert_eq!(text(&repeated, "repeated").as_deref(), Some("5"));
            let mut fields = plain.fields.clone();
            fields.retain(|(name, _)| name != "repeated");
            repeated.fields.retain(|(name, _)| name != "repeated");
            assert_eq!(repeated.fields, fields);
            assert_eq!(repeated.logsource, plain.logsource);
            assert_eq!(repeated.message, plain.message);
            assert_eq!(repeated.problems, plain.problems);
            assert_eq!(repeated.time, plain.time);
        }
    }
}

/// Loggers differ in the first letter, and in where they write the tag.
#[test]
fn a_tag_in_the_bracket_is_that_of_the_message() {
    let message = "Failed password for root from 192.0.2.9 port 1 ssh2";
    for header in HEADERS {
        let plain = format!("{header}sshd[7]: {message}");
        let plain = read(&plain);
        for start in [
            "",
            "sshd[7]: ",
            "rsyslogd: ",
            "syslogd[1]: ",
            "syslog-ng[3]: ",
        ] {
            for word in ["message", "Message"] {
                let line = format!("{header}{start}{word} repeated 5 times: [ sshd[7]: {message}]");
                let event = read(&line);
                assert_eq!(event.weight, Weight::of(5), "{line}");
                for name in ["host", "program", "pid", "src_ip", "user", "action"] {
                    assert_eq!(text(&event, name), text(&plain, name), "{name} of {line}");
                }
                assert_eq!(event.message, plain.message);
                assert_eq!(event.logsource, plain.logsource);
                assert!(event.problems.is_empty(), "{line}: {:?}", event.problems);
            }
        }
    }
}

/// The words of another program in a bracket are its own text.
#[test]
fn a_tag_in_the_bracket_of_another_program_is_text() {
    let line = "<38>Mar  1 10:00:00 web1 app: message repeated 5 times: [ sshd[7]: Invalid user a from 192.0.2.9]";
    let event = read(line);
    assert_eq!(event.weight, Weight::of(5));
    assert_eq!(text(&event, "program").as_deref(), Some("app"));
    assert_eq!(text(&event, "src_ip"), None);
}

#[test]
fn a_repeat_without_content_or_a_credible_count_is_one_event_with_a_problem() {
    let lines = [
        "<38>Mar  1 10:00:00 web1 last message repeated 5 times",
        "<38>Mar  1 10:00:00 last message repeated 5 times",
        "Mar  1 10:00:00 web1 --- last message repeated 5 times ---",
        "<38>Mar  1 10:00:00 web1 syslogd: last message repeated 1 time",
        "<38>Mar  1 10:00:00 web1 sshd[7]: Last message 'Failed password for ' repeated 3 times, suppressed by syslog-ng on web1",
        "<38>Mar  1 10:00:00 web1 sshd[7]: message repeated 0 times: [ Invalid user a from 192.0.2.9]",
        "<38>Mar  1 10:00:00 web1 sshd[7]: message repeated -1 times: [ Invalid user a from 192.0.2.9]",
        "<38>Mar  1 10:00:00 web1 sshd[7]: message repeated 5 times: [ Invalid user a from 192.0.2",
        "<38>Mar  1 10:00:00 web1 sshd[7]: message repeated 5 times: [ ]",
        "<38>Mar  1 10:00:00 web1 sshd[7]: message repeated 5 times: [ message repeated 5 times: [ Invalid user a from 192.0.2.9]]",
        "<38>Mar  1 10:00:00 web1 Message repeated 5 times",
        "<38>Mar  1 10:00:00 web1 message repeated 5 times: [ sshd[7]: message repeated 5 times: [ Invalid user a from 192.0.2.9]]",
        "<38>1 2026-03-01T10:00:00Z web1 sshd 7 - - message repeated 5 times",
        "{\"host\":\"web1\",\"program\":\"sshd\",\"message\":\"last message repeated 5 times\"}",
        "{\"host\":\"web1\",\"message\":\"last message repeated 5 times\"}",
        "last message repeated 5 times",
    ];
    for line in lines {
        let event = read(line);
        assert!(event.problems.contains(&Problem::RepeatUncounted), "{line}");
        assert_eq!(event.weight, Weight::ONE, "{line}");
        for absent in ["repeated", "src_ip", "user", "action"] {
            assert_eq!(event.get(absent), None, "{line}: {absent}");
        }
        let host = text(&event, "host");
        assert!(
            matches!(host.as_deref(), None | Some("web1")),
            "{line}: {host:?}"
        );
    }
}

#[test]
fn a_large_count_is_bounded_and_told() {
    let line = "<38>Mar  1 10:00:00 web1 sshd[7]: message repeated 99999999999 times: [ Invalid user a from 192.0.2.9]";
    let event = read(line);
    assert_eq!(event.weight, Weight::MAX);
    assert_eq!(text(&event, "repeated").as_deref(), Some("10000"));
    assert_eq!(text(&event, "src_ip").as_deref(), Some("192.0.2.9"));
    assert_eq!(event.problems, [Problem::RepeatUncounted]);
}

/// Only the form of a logger's own line sets a weight: no field, and no text that a sender chose.
#[test]
fn a_sender_does_not_choose_a_weight() {
    let lines = [
        "{\"message\":\"a\",\"repeated\":500,\"weight\":500}",
        "<38>Mar  1 10:00:00 web1 app: repeated=500 user=ann",
        "<38>Mar  1 10:00:00 web1 sshd[7]: Failed password for invalid user message repeated 500 times: [ x] from 192.0.2.9 port 1 ssh2",
        "<38>Mar  1 10:00:00 web1 app: said: message repeated 500 times: [ Invalid user a from 192.0.2.9]",
    ];
    for line in lines {
        let event = read(line);
        assert_eq!(event.weight, Weight::ONE, "{line}");
        assert!(
            !event.problems.contains(&Problem::RepeatUncounted),
            "{line}"
        );
    }
}
