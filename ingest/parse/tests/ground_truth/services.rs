//! Measures, for each service that Weir claims to read, the share of public test lines whose
//! asserted host, user, program and outcome come out of `decode`, and holds it.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::Value as Json;
use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::Event;

use crate::{context, folder, rows, text_of};

/// Source, its cases, and how many of them must be right. `docs/sources.md` shows the same numbers.
const CLAIMED: [(&str, usize, usize); 20] = [
    ("access log", 173, 165),
    ("apache error log", 119, 118),
    ("cisco", 169, 168),
    ("dovecot", 104, 103),
    ("dropbear", 16, 16),
    ("exim", 82, 79),
    ("haproxy", 9, 9),
    ("kernel", 60, 60),
    ("named", 46, 46),
    ("nginx error log", 71, 70),
    ("openvpn", 18, 18),
    ("pam", 14, 14),
    ("postfix", 74, 74),
    ("proftpd", 22, 22),
    ("pure-ftpd", 31, 31),
    ("smbd", 6, 6),
    ("sshd", 408, 407),
    ("su", 5, 5),
    ("sudo", 10, 10),
    ("vsftpd", 15, 15),
];

/// fail2ban's tests say when a line was written in the time of Zurich, which is that of Berlin.
const ZONE: chrono_tz::Tz = chrono_tz::Tz::Europe__Berlin;

/// One line and what a corpus says of it.
struct Case {
    source: &'static str,
    corpus: &'static str,
    line: String,
    expected: Vec<(&'static str, String)>,
}

fn word(row: &Json, name: &str) -> Option<String> {
    row[name].as_str().map(str::to_owned)
}

/// fail2ban's filters, the source whose lines they read, and whether a match is a refusal.
const FILTERS: [(&str, &str, bool); 29] = [
    ("sshd", "sshd", false),
    ("sshd-journal", "sshd", false),
    ("dropbear", "dropbear", true),
    ("pam-generic", "pam", true),
    ("postfix", "postfix", false),
    ("dovecot", "dovecot", false),
    ("vsftpd", "vsftpd", true),
    ("proftpd", "proftpd", true),
    ("pure-ftpd", "pure-ftpd", true),
    ("named-refused", "named", true),
    ("apache-auth", "apache error log", false),
    ("apache-noscript", "apache error log", false),
    ("apache-overflows", "apache error log", false),
    ("apache-botsearch", "apache error log", false),
    ("apache-modsecurity", "apache error log", false),
    ("apache-nohome", "apache error log", false),
    ("apache-shellshock", "apache error log", false),
    ("apache-badbots", "access log", false),
    ("apache-fakegooglebot", "access log", false),
    ("apache-pass", "access log", false),
    ("nginx-botsearch", "access log", false),
    ("nginx-bad-request", "access log", false),
    ("nginx-http-auth", "nginx error log", false),
    ("nginx-limit-req", "nginx error log", false),
    ("nginx-forbidden", "nginx error log", false),
    ("haproxy-http-auth", "haproxy", false),
    ("openvpn", "openvpn", false),
    ("exim", "exim", true),
    ("exim-spam", "exim", false),
];

fn fail2ban(cases: &mut Vec<Case>, all: &[Json]) {
    for row in all {
        let filter = row["service"].as_str().unwrap();
        let Some((_, source, refuses)) = FILTERS.iter().find(|(name, ..)| *name == filter) else {
            continue;
        };
        let line = word(row, "line").unwrap();
        let source = match source {
            &"access log" if line.contains(" [error] ") => &"nginx error log",
            source => source,
        };
        let matched = row["expect_match"] == Json::Bool(true);
        let mut expected = Vec::new();
        // Where the line does not name the host, fail2ban has it from an earlier line.
        if let Some(host) = word(row, "expect_host").filter(|host| line.contains(host)) {
            expected.push(("src", host));
        }
        if let Some(user) = word(row, "expect_user") {
            expected.push(("user", user));
        }
        // One is written with a day of one digit, as no other is; and the clock of daemontools, which
        // begins with ten seconds, is read as if it began with none.
        let daemontools = line.starts_with('@');
        let is_usual = |time: &String| time.len() == 19 && !daemontools;
        if let Some(time) = word(row, "expect_time").filter(is_usual) {
            expected.push(("time", time));
        }
        if matched {
            let outcome = if *refuses { "failure" } else { "no success" };
            // Of sshd it matches what ends a session too, to forget what came before.
            if *source != "sshd" {
                expected.push(("outcome", outcome.to_owned()));
            }
        }
        expected.push(("source", (*source).to_owned()));
        cases.push(Case {
            source,
            corpus: "fail2ban",
            line,
            expected,
        });
    }
}

/// Wazuh's decoders and the source whose lines they read.
const DECODERS: [(&str, &str); 21] = [
    ("sshd", "sshd"),
    ("dropbear", "dropbear"),
    ("pam", "pam"),
    ("su", "su"),
    ("sudo", "sudo"),
    ("postfix-reject", "postfix"),
    ("dovecot", "dovecot"),
    ("dovecot-info", "dovecot"),
    ("vsftpd", "vsftpd"),
    ("proftpd", "proftpd"),
    ("named", "named"),
    ("smbd", "smbd"),
    ("openvpn", "openvpn"),
    ("web-accesslog", "access log"),
    ("apache-errorlog", "apache error log"),
    ("nginx-errorlog", "nginx error log"),
    ("kernel", "kernel"),
    ("cisco-asa", "cisco"),
    ("cisco-ftd", "cisco"),
    ("pix", "cisco"),
    ("cisco-ios", "cisco"),
];

/// What Wazuh's rules say, and the outcome that this asserts.
const MEANINGS: [(&str, &str); 22] = [
    ("authentication failed", "failure"),
    ("Authentication failed", "failure"),
    ("Authentication Failed", "failure"),
    ("brute force trying to get access to the system", "failure"),
    ("using a denied user", "failure"),
    ("Maximum authentication attempts exceeded", "failure"),
    ("Login failed", "failure"),
    ("login failed", "failure"),
    ("Failed login attempt", "failure"),
    ("Invalid User Login Attempt", "failure"),
    ("Bad password attempt", "failure"),
    ("Attempt to login with an invalid user", "failure"),
    ("missed the password", "failure"),
    ("Failed attempt to run sudo", "failure"),
    ("failed attempts to run sudo", "failure"),
    ("Unauthorized user attempted", "failure"),
    ("connection denied", "failure"),
    ("Connection denied", "failure"),
    ("Attempt to access forbidden", "failure"),
    ("Firewall drop event", "drop"),
    ("Authentication success", "success"),
    ("uccessful", "success"),
];

fn wazuh(cases: &mut Vec<Case>, all: &[Json]) {
    for row in all {
        let decoder = row["decoder"].as_str().unwrap();
        let Some((_, source)) = DECODERS.iter().find(|(name, _)| *name == decoder) else {
            continue;
        };
        let line = word(row, "line").unwrap();
        let meaning = row["meaning"].as_str().unwrap();
        let mut expected = vec![("source", (*source).to_owned())];
        match MEANINGS.iter().find(|(words, _)| meaning.contains(words)) {
            Some((_, "drop")) => expected.push(("action", "drop".to_owned())),
            Some((_, outcome)) => expected.push(("outcome", (*outcome).to_owned())),
            None => {}
        }
        if let Some((_, id)) = line.split_once('%').filter(|_| *source == "cisco") {
            let id = id.split([':', ' ']).next().unwrap();
            expected.push(("msgid", id.to_owned()));
        }
        cases.push(Case {
            source,
            corpus: "wazuh",
            line,
            expected,
        });
    }
}

/// The source of an event that CrowdSec's parsers gave.
fn crowdsec_source(kind: &str, event: &Json) -> Option<&'static str> {
    let program = event["program"].as_str().unwrap_or(kind);
    let log = event["log_type"].as_str().unwrap_or("");
    Some(match (program, log) {
        ("sshd" | "sshd-session", _) => "sshd",
        ("dropbear", _) => "dropbear",
        ("sudo", _) => "sudo",
        ("dovecot", _) => "dovecot",
        ("vsftpd", _) => "vsftpd",
        ("proftpd", _) => "proftpd",
        ("pure-ftpd", _) => "pure-ftpd",
        ("named", _) => "named",
        ("smb", _) => "smbd",
        ("openvpn", _) => "openvpn",
        ("haproxy", _) => "haproxy",
        ("exim", _) => "exim",
        ("nginx", "http_error-log" | "mail_auth" | "mail_new_session") => "nginx error log",
        ("apache2", "http_error-log") => "apache error log",
        ("nginx" | "apache2", "http_access-log") => "access log",
        ("kernel", "iptables_drop" | "iptables_event") => "kernel",
        (name, _) if name.starts_with("postfix/") => "postfix",
        _ => return None,
    })
}

/// CrowdSec's names for fields, and ours.
const CROWDSEC: [(&str, &str); 14] = [
    ("source_ip", "src"),
    ("machine", "host"),
    ("pid", "pid"),
    ("user", "user"),
    ("username", "user"),
    ("sshd_invalid_user", "user"),
    ("dovecot_user", "user"),
    ("http_status", "sc-status"),
    ("http_verb", "cs-method"),
    ("request", "uri"),
    ("http_user_agent", "cs-user-agent"),
    ("dst_ip", "dst_ip"),
    ("dst_port", "dst_port"),
    ("proto", "PROTO"),
];

fn crowdsec(cases: &mut Vec<Case>, all: &[Json]) {
    for row in all {
        let kind = row["type"].as_str().unwrap();
        let log = row["log"].as_str().unwrap();
        let path = folder().join("syslog/crowdsec").join(log);
        let bytes = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<_> = text.lines().collect();
        for event in row["parsed_events"].as_array().unwrap() {
            let (Some(source), Some(message)) =
                (crowdsec_source(kind, event), event["message"].as_str())
            else {
                continue;
            };
            // Events are in the order of their lines.
            let Some(at) = lines.iter().position(|l| l.contains(message.trim_end())) else {
                continue;
            };
            let line = lines.remove(at).to_owned();
            let mut expected = vec![("source", source.to_owned())];
            for (theirs, ours) in CROWDSEC {
                // Of a message that Exim refused, the user is the recipient there.
                if source == "exim" && theirs == "username" && !line.contains("set_id=") {
                    continue;
                }
                let value = word(event, theirs).filter(|value| !matches!(&**value, "" | "-"));
                if let Some(value) = value.filter(|value| line.contains(value.as_str())) {
                    expected.push((ours, value));
                }
            }
            if kind == "syslog"
                && let Some(program) = word(event, "program")
            {
                expected.push(("program", program));
            }
            let what = ["log_type", "sub_type", "dovecot_login_result"]
                .map(|name| event[name].as_str().unwrap_or(""))
                .join(" ");
            let failed = [
                "failed-auth",
                "failed_auth",
                "auth_fail",
                "denied",
                "bad_ssl",
            ];
            if failed.iter().any(|words| what.contains(words)) {
                expected.push(("outcome", "failure".to_owned()));
            } else if what.contains("auth_success") {
                expected.push(("outcome", "success".to_owned()));
            }
            cases.push(Case {
                source,
                corpus: "crowdsec",
                line,
                expected,
            });
        }
    }
}

fn plain(address: &str) -> &str {
    let v4 = address.strip_prefix("::ffff:");
    v4.filter(|v4| v4.contains('.')).unwrap_or(address)
}

/// Whether the event has what is expected of it.
fn holds(event: &Event<'_>, name: &str, value: &str) -> bool {
    let got = |name: &str| text_of(event, name);
    let words = &event.logsource;
    match name {
        "src" => [got("src_ip"), got("src_host")].contains(&Some(plain(value).to_owned())),
        "time" => {
            // The corpus puts a year of its own where the line has none.
            let local = DateTime::from_timestamp_nanos(event.time.0).with_timezone(&ZONE);
            let local = local.format("%m-%dT%H:%M:%S").to_string();
            value.get(5..) == Some(local.as_str())
        }
        "outcome" if value == "no success" => got("outcome").as_deref() != Some("success"),
        // The corpus leaves out the query, or the scheme, of some.
        "uri" => ["cs-uri", "cs-uri-stem"]
            .iter()
            .any(|name| got(name).is_some_and(|uri| uri.ends_with(value))),
        "source" => match value {
            // PAM speaks through the program that asked it.
            "pam" => true,
            "access log" => words.category.as_deref() == Some("webserver"),
            "apache error log" => words.product.as_deref() == Some("apache"),
            "nginx error log" => words.product.as_deref() == Some("nginx"),
            "haproxy" => words.product.as_deref() == Some("haproxy"),
            "cisco" => words.product.as_deref() == Some("cisco"),
            "kernel" => words.product.as_deref() == Some("linux"),
            service => words.service.as_deref() == Some(service),
        },
        name => got(name).as_deref() == Some(value),
    }
}

#[derive(Default)]
struct Share {
    cases: usize,
    correct: usize,
    by_corpus: BTreeMap<&'static str, usize>,
}

#[test]
fn claimed_services_are_read() {
    let test = "claimed_services_are_read";
    let (Some(f), Some(w), Some(c)) = (
        rows(test, "fail2ban_cases.jsonl"),
        rows(test, "wazuh_cases.jsonl"),
        rows(test, "crowdsec/cases.jsonl"),
    ) else {
        return;
    };
    let mut cases = Vec::new();
    fail2ban(&mut cases, &f);
    wazuh(&mut cases, &w);
    crowdsec(&mut cases, &c);
    let berlin = Context {
        zone: Zone::parse("Europe/Berlin").unwrap(),
        ..context()
    };
    let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
    for case in &cases {
        let event = decode(case.line.as_bytes(), &berlin);
        let wrong: Vec<_> = case
            .expected
            .iter()
            .filter(|(name, value)| !holds(&event, name, value))
            .collect();
        let share = shares.entry(case.source).or_default();
        share.cases += 1;
        share.correct += usize::from(wrong.is_empty());
        *share.by_corpus.entry(case.corpus).or_default() += 1;
        if !wrong.is_empty() {
            let json = event_json(&event);
            println!(
                "{} ({}): {wrong:?}\n  {}\n  {json}",
                case.source, case.corpus, case.line
            );
        }
    }
    println!("source, cases, correct, share, cases by corpus");
    for (source, share) in &shares {
        let percent = 100.0 * share.correct as f64 / share.cases as f64;
        println!(
            "{source}, {}, {}, {percent:.1} %, {:?}",
            share.cases, share.correct, share.by_corpus
        );
    }
    for (source, cases, correct) in CLAIMED {
        let share = &shares[source];
        assert!(share.cases >= cases, "{source}: {} cases", share.cases);
        assert!(share.correct >= correct, "{source}: {}", share.correct);
        // What is claimed is earned.
        assert!(share.correct * 100 >= share.cases * 95, "{source}");
    }
    assert_eq!(
        shares.len(),
        CLAIMED.len(),
        "every measured source is in the table"
    );
}
