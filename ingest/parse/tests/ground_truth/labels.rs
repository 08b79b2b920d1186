//! Test cases from the labelled lines of fail2ban, Wazuh and CrowdSec.

use serde_json::Value as Json;

use crate::common::data;

/// A line and the labels of a corpus.
pub struct Case {
    pub source: &'static str,
    pub corpus: &'static str,
    pub line: String,
    pub expected: Vec<(&'static str, String)>,
}

fn string(row: &Json, name: &str) -> Option<String> {
    row[name].as_str().map(str::to_owned)
}

/// Filters of fail2ban, the source of their lines, and whether every match is a refusal.
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

pub fn add_fail2ban(cases: &mut Vec<Case>, all: &[Json]) {
    for row in all {
        let filter = row["service"].as_str().unwrap();
        let Some((_, source, refuses)) = FILTERS.iter().find(|(name, ..)| *name == filter) else {
            continue;
        };
        let line = string(row, "line").unwrap();
        let source = match source {
            &"access log" if line.contains(" [error] ") => &"nginx error log",
            source => source,
        };
        let matched = row["expect_match"] == Json::Bool(true);
        let mut expected = Vec::new();
        // If the line does not name the host, fail2ban takes it from an earlier line.
        if let Some(host) = string(row, "expect_host").filter(|host| line.contains(host)) {
            expected.push(("src", host));
        }
        if let Some(user) = string(row, "expect_user") {
            expected.push(("user", user));
        }
        // Skip one label with a day of one digit, and labels of daemontools lines: fail2ban ignores
        // that TAI started ten seconds ahead.
        let is_daemontools = line.starts_with('@');
        let is_valid = |time: &String| time.len() == 19 && !is_daemontools;
        if let Some(time) = string(row, "expect_time").filter(is_valid) {
            expected.push(("time", time));
        }
        if matched {
            let outcome = if *refuses { "failure" } else { "no success" };
            // For sshd it also matches the end of a session, in order to forget earlier lines.
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

/// Decoders of Wazuh, and the source of their lines.
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

/// Texts in the descriptions of Wazuh's rules, and the outcome that they assert.
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

pub fn add_wazuh(cases: &mut Vec<Case>, all: &[Json]) {
    for row in all {
        let decoder = row["decoder"].as_str().unwrap();
        let Some((_, source)) = DECODERS.iter().find(|(name, _)| *name == decoder) else {
            continue;
        };
        let line = string(row, "line").unwrap();
        let meaning = row["meaning"].as_str().unwrap();
        let mut expected = vec![("source", (*source).to_owned())];
        match MEANINGS.iter().find(|(phrase, _)| meaning.contains(phrase)) {
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

/// Returns the source of an event of CrowdSec's parsers.
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

/// Field names of CrowdSec, and of Weir.
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

/// Returns the labels of an event of CrowdSec's parsers.
fn crowdsec_labels(
    kind: &str,
    source: &str,
    event: &Json,
    line: &str,
) -> Vec<(&'static str, String)> {
    let mut expected = vec![("source", source.to_owned())];
    for (crowdsec_name, name) in CROWDSEC {
        // For a message that Exim refused, CrowdSec gives the recipient as the user.
        if source == "exim" && crowdsec_name == "username" && !line.contains("set_id=") {
            continue;
        }
        let value = string(event, crowdsec_name).filter(|value| !matches!(&**value, "" | "-"));
        if let Some(value) = value.filter(|value| line.contains(value.as_str())) {
            expected.push((name, value));
        }
    }
    if kind == "syslog"
        && let Some(program) = string(event, "program")
    {
        expected.push(("program", program));
    }
    let kinds = ["log_type", "sub_type", "dovecot_login_result"]
        .map(|name| event[name].as_str().unwrap_or(""))
        .join(" ");
    let failures = [
        "failed-auth",
        "failed_auth",
        "auth_fail",
        "denied",
        "bad_ssl",
    ];
    if failures.iter().any(|phrase| kinds.contains(phrase)) {
        expected.push(("outcome", "failure".to_owned()));
    } else if kinds.contains("auth_success") {
        expected.push(("outcome", "success".to_owned()));
    }
    expected
}

pub fn add_crowdsec(cases: &mut Vec<Case>, all: &[Json]) {
    for row in all {
        let kind = row["type"].as_str().unwrap();
        let log = row["log"].as_str().unwrap();
        let bytes = data(
            "decode_supported_services",
            &format!("syslog/crowdsec/{log}"),
        );
        let bytes = bytes.map_or_else(Vec::new, |path| std::fs::read(path).unwrap());
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<_> = text.lines().collect();
        for event in row["parsed_events"].as_array().unwrap() {
            let (Some(source), Some(message)) =
                (crowdsec_source(kind, event), event["message"].as_str())
            else {
                continue;
            };
            // The events are in the order of the lines.
            let Some(at) = lines.iter().position(|l| l.contains(message.trim_end())) else {
                continue;
            };
            let line = lines.remove(at).to_owned();
            let expected = crowdsec_labels(kind, source, event, &line);
            cases.push(Case {
                source,
                corpus: "crowdsec",
                line,
                expected,
            });
        }
    }
}
