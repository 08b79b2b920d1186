//! Public test data: header vectors, hosts and users of OpenSSH lines, and the share of each
//! service's lines that decode as labelled.

mod common;
#[path = "ground_truth/labels.rs"]
mod labels;
#[path = "ground_truth/services.rs"]
mod services;

use serde_json::Value as Json;
use weir_parse::{decode, event_json};
use weir_schema::{Event, Format, Problem, Value};

use common::{context, rows, stated_time, text, written_time};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clockd", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

/// Compares an event with a header vector. Returns the differences.
fn differences(expect: &Json, event: &Event<'_>, line: &str) -> Vec<String> {
    let format = expect["format"].as_str().unwrap();
    let mut differences = Vec::new();
    for (key, expected) in expect.as_object().unwrap() {
        let is_same = match key.as_str() {
            "format" => match format {
                // The header behind an invalid priority is read all the same.
                "invalid" => event.problems.contains(&Problem::Unparsed),
                "raw" => event.message == line && event.problems.contains(&Problem::Unparsed),
                // The message may lack escapes and the byte order mark of the line.
                _ => !event.message.is_empty() || expect["msg"].as_str().is_none_or(str::is_empty),
            },
            // Events do not have the version.
            "version" => true,
            "pri" | "facility" | "severity" => priority_is(event, key, expected),
            // RFC 5424 forbids leap seconds, but senders write them.
            "timestamp" if line.contains(":60Z") => true,
            "timestamp" | "month" | "day" | "time" => time_part_is(event, key, expected),
            "hostname" => text(event, "host").as_deref() == expected.as_str(),
            "appname" => text(event, "program").as_deref() == expected.as_str(),
            "procid" => text(event, "pid").as_deref() == expected.as_str(),
            "msgid" => text(event, "msgid").as_deref() == expected.as_str(),
            "seq" => text(event, "seq") == Some(expected.to_string()),
            "msg" => event.message == expected.as_str().unwrap_or(""),
            "sd" => expected.as_object().unwrap().iter().all(|(id, params)| {
                let mut params = params.as_object().unwrap().iter();
                params.all(|(name, value)| field_is(event, &format!("{id}.{name}"), value))
            }),
            "kv" => fields_are(event, expected),
            "flags" => field_is(event, "flags", expected),
            "cef" | "leef" => vendor_is(event, expected),
            "audit" => audit_is(event, expected),
            "http" => http_is(event, expected),
            other => panic!("unknown key of a header vector: {other}"),
        };
        if !is_same {
            differences.push(format!("{key}: expected {expected}"));
        }
    }
    differences
}

fn priority_is(event: &Event<'_>, key: &str, expected: &Json) -> bool {
    let Some(number) = expected.as_u64() else {
        return text(event, "facility").is_none();
    };
    let number = usize::try_from(number).unwrap();
    let facility_is =
        |number: usize| text(event, "facility").as_deref() == Some(FACILITIES[number]);
    let severity_is =
        |number: usize| text(event, "severity").as_deref() == Some(SEVERITIES[number]);
    match key {
        "facility" => facility_is(number),
        "severity" => severity_is(number),
        _ => facility_is(number / 8) && severity_is(number % 8),
    }
}

fn time_part_is(event: &Event<'_>, key: &str, expected: &Json) -> bool {
    match (key, expected.as_str()) {
        ("timestamp", None) => event.problems.contains(&Problem::TimeMissing),
        ("timestamp", Some(time)) => time_is(event, time),
        ("month", _) => written(event)[5..7].parse().ok() == expected.as_u64(),
        ("day", _) => written(event)[8..10].parse().ok() == expected.as_u64(),
        (_, time) => written(event)[11..].starts_with(time.unwrap()),
    }
}

/// Returns the time of an event as it is printed.
fn written(event: &Event<'_>) -> String {
    let json: Json = serde_json::from_str(&event_json(event)).unwrap();
    assert!(!event.problems.contains(&Problem::TimeMissing), "{json}");
    written_time(event)
}

fn time_is(event: &Event<'_>, time: &str) -> bool {
    let expected = chrono::DateTime::parse_from_rfc3339(time).unwrap();
    expected.timestamp_nanos_opt() == Some(stated_time(event).0)
}

fn field_is(event: &Event<'_>, name: &str, expected: &Json) -> bool {
    match (event.get(name), expected) {
        (Some(Value::List(values)), Json::Array(expected)) => {
            let texts = values.iter().map(|v| v.as_text().unwrap().into_owned());
            texts.eq(expected.iter().map(|v| v.as_str().unwrap().to_owned()))
        }
        (Some(value), Json::String(expected)) => value.as_text().as_deref() == Some(expected),
        (Some(value), other) => value.as_text().as_deref() == Some(&other.to_string()),
        (None, _) => false,
    }
}

fn fields_are(event: &Event<'_>, expected: &Json) -> bool {
    let mut pairs = expected.as_object().unwrap().iter();
    pairs.all(|(name, value)| field_is(event, name, value))
}

fn vendor_is(event: &Event<'_>, expected: &Json) -> bool {
    expected
        .as_object()
        .unwrap()
        .iter()
        .all(|(name, value)| match name.as_str() {
            "ext" | "attrs" => fields_are(event, value),
            "version" if value.is_string() => field_is(event, "leef_version", value),
            "version" => field_is(event, "cef_version", value),
            "severity" => field_is(event, "cef_severity", value),
            _ => field_is(event, name, value),
        })
}

fn audit_is(event: &Event<'_>, expected: &Json) -> bool {
    expected
        .as_object()
        .unwrap()
        .iter()
        .all(|(name, value)| match name.as_str() {
            "epoch_ms" => Some(stated_time(event).0) == value.as_i64().map(|ms| ms * 1_000_000),
            "argv" => {
                let mut args = value.as_array().unwrap().iter().enumerate();
                args.all(|(n, arg)| field_is(event, &format!("a{n}"), arg))
            }
            _ => field_is(event, name, value),
        })
}

fn http_is(event: &Event<'_>, expected: &Json) -> bool {
    expected.as_object().unwrap().iter().all(|(name, value)| {
        let sigma = match name.as_str() {
            "client" => "c-ip",
            "user" => "cs-username",
            "method" => "cs-method",
            "path" => "cs-uri-stem",
            "status" => "sc-status",
            "bytes" => "sc-bytes",
            "referer" => "cs-referer",
            "user_agent" => "cs-user-agent",
            "timestamp" => return time_is(event, value.as_str().unwrap()),
            other => panic!("unknown key of a header vector: {other}"),
        };
        field_is(event, sigma, value)
    })
}

#[test]
fn decode_header_vectors() {
    let Some(rows) = rows("decode_header_vectors", "syslog/header_vectors.jsonl") else {
        return;
    };
    let mut failures = Vec::new();
    for row in &rows {
        let line = row["line"].as_str().unwrap();
        let event = decode(line.as_bytes(), &context(Format::Auto));
        let differences = differences(&row["expect"], &event, line);
        if !differences.is_empty() {
            failures.push(format!(
                "{line}\n  {}\n  {}",
                differences.join("\n  "),
                event_json(&event)
            ));
        }
    }
    println!("checked {} header vectors", rows.len());
    assert!(rows.len() >= 37);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn extract_host_and_user_of_openssh() {
    let Some(rows) = rows(
        "extract_host_and_user_of_openssh",
        "syslog/fail2ban_cases.jsonl",
    ) else {
        return;
    };
    let (mut hosts, mut users, mut without_host) = (0, 0, 0);
    let mut failures = Vec::new();
    for row in &rows {
        let service = row["service"].as_str().unwrap();
        let line = row["line"].as_str().unwrap();
        let is_openssh = service.starts_with("sshd") || line.contains("sudo");
        if !is_openssh || row["expect_match"] != Json::Bool(true) {
            continue;
        }
        let event = decode(line.as_bytes(), &context(Format::Auto));
        let source = text(&event, "src_ip").or_else(|| text(&event, "src_host"));
        let mut wrong = event.logsource.service.as_deref() != Some("sshd");
        if let Some(host) = row["expect_host"].as_str() {
            // Some lines name no host. fail2ban takes it from an earlier line of the session.
            if line.contains(host) {
                hosts += 1;
                wrong |= source.as_deref() != Some(host);
            } else {
                without_host += 1;
                wrong |= source.is_some();
            }
        }
        if let Some(user) = row["expect_user"].as_str() {
            users += 1;
            wrong |= text(&event, "user").as_deref() != Some(user);
        }
        if wrong {
            failures.push(format!("{row}\n  {}", event_json(&event)));
        }
    }
    println!("checked {hosts} hosts and {users} users; {without_host} lines name no host");
    assert!(
        failures.is_empty(),
        "{} wrong:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(hosts >= 130 && users >= 10, "{hosts} hosts, {users} users");
}
