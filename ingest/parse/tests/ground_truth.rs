//! What lines from the field must read as: the header vectors, who came from where in OpenSSH
//! lines, and the share of each service's lines that give what public corpora say of them.

#[path = "ground_truth/services.rs"]
mod services;

use std::path::PathBuf;

use serde_json::Value as Json;
use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::{Event, Format, Problem, ReceiveTime, Span, Value};

/// 2026-03-02T00:00:00Z
const RECEIVED: ReceiveTime = ReceiveTime(1_772_409_600_000_000_000);

fn context() -> Context<'static> {
    Context {
        format: Format::Auto,
        received: RECEIVED,
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

fn folder() -> PathBuf {
    match std::env::var_os("WEIR_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    }
}

fn rows(test: &str, file: &str) -> Option<Vec<Json>> {
    let path = folder().join("syslog").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        // Straight to standard error, since libtest hides what a test that passes prints.
        let absent = format!("SKIPPED: {test}: no {file} in the data folder (WEIR_DATA)\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), absent.as_bytes());
        return None;
    };
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    Some(rows.collect())
}

fn text_of(event: &Event<'_>, name: &str) -> Option<String> {
    event.get(name)?.as_text().map(|text| text.into_owned())
}

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clockd", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

/// What a header vector expects of the event, as (what, expected, got).
fn differences(expect: &Json, event: &Event<'_>, line: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let format = expect["format"].as_str().unwrap();
    for (key, expected) in expect.as_object().unwrap() {
        let got = |name: &str| text_of(event, name);
        let same = match key.as_str() {
            "format" => match format {
                "raw" | "invalid" => {
                    event.message == line && event.problems.contains(&Problem::Unparsed)
                }
                // The escape of the raw line and its BOM aside, the frame is kept by the journal.
                _ => !event.message.is_empty() || expect["msg"].as_str().is_none_or(str::is_empty),
            },
            "pri" => match expected.as_u64() {
                None => got("facility").is_none(),
                Some(pri) => {
                    let at = usize::try_from(pri).unwrap();
                    got("facility").as_deref() == Some(FACILITIES[at / 8])
                        && got("severity").as_deref() == Some(SEVERITIES[at % 8])
                }
            },
            "facility" => {
                let at = usize::try_from(expected.as_u64().unwrap()).unwrap();
                got("facility").as_deref() == Some(FACILITIES[at])
            }
            "severity" => {
                let at = usize::try_from(expected.as_u64().unwrap()).unwrap();
                got("severity").as_deref() == Some(SEVERITIES[at])
            }
            // The version is not an event's business; 1 and others read alike.
            "version" => true,
            "timestamp" => match expected.as_str() {
                None => event.problems.contains(&Problem::TimeMissing),
                Some(time) => time_is(event, time),
            },
            "month" => written(event)[5..7].parse::<u64>().unwrap() == expected.as_u64().unwrap(),
            "day" => written(event)[8..10].parse::<u64>().unwrap() == expected.as_u64().unwrap(),
            "time" => written(event)[11..].starts_with(expected.as_str().unwrap()),
            "hostname" => got("host").as_deref() == expected.as_str(),
            "appname" => got("program").as_deref() == expected.as_str(),
            "procid" => got("pid").as_deref() == expected.as_str(),
            "msgid" => got("msgid").as_deref() == expected.as_str(),
            "seq" => got("seq") == Some(expected.to_string()),
            "msg" => event.message == expected.as_str().unwrap_or(""),
            "sd" => expected.as_object().unwrap().iter().all(|(id, params)| {
                let mut params = params.as_object().unwrap().iter();
                params.all(|(name, value)| field_is(event, &format!("{id}.{name}"), value))
            }),
            "kv" => all_are(event, expected, |name| name.to_owned()),
            "flags" => field_is(event, "flags", expected),
            "cef" | "leef" => vendor(event, expected),
            "audit" => audit(event, expected),
            "http" => http(event, expected),
            other => panic!("a key that this test does not know: {other}"),
        };
        if !same {
            wrong.push(format!("{key}: expected {expected}"));
        }
    }
    wrong
}

fn written(event: &Event<'_>) -> String {
    let json: Json = serde_json::from_str(&event_json(event)).unwrap();
    assert!(!event.problems.contains(&Problem::TimeMissing), "{json}");
    json["time"].as_str().unwrap().to_owned()
}

fn time_is(event: &Event<'_>, time: &str) -> bool {
    let expected = chrono::DateTime::parse_from_rfc3339(time).unwrap();
    expected.timestamp_nanos_opt() == Some(event.time.0)
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

fn all_are(event: &Event<'_>, expected: &Json, rename: impl Fn(&str) -> String) -> bool {
    let mut pairs = expected.as_object().unwrap().iter();
    pairs.all(|(name, value)| field_is(event, &rename(name), value))
}

fn vendor(event: &Event<'_>, expected: &Json) -> bool {
    expected
        .as_object()
        .unwrap()
        .iter()
        .all(|(name, value)| match name.as_str() {
            "ext" | "attrs" => all_are(event, value, str::to_owned),
            "version" if value.is_string() => field_is(event, "leef_version", value),
            "version" => field_is(event, "cef_version", value),
            "severity" => field_is(event, "cef_severity", value),
            _ => field_is(event, name, value),
        })
}

fn audit(event: &Event<'_>, expected: &Json) -> bool {
    expected
        .as_object()
        .unwrap()
        .iter()
        .all(|(name, value)| match name.as_str() {
            "epoch_ms" => Some(event.time.0) == value.as_i64().map(|ms| ms * 1_000_000),
            "argv" => {
                let mut args = value.as_array().unwrap().iter().enumerate();
                args.all(|(n, arg)| field_is(event, &format!("a{n}"), arg))
            }
            _ => field_is(event, name, value),
        })
}

fn http(event: &Event<'_>, expected: &Json) -> bool {
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
            other => panic!("a key that this test does not know: {other}"),
        };
        field_is(event, sigma, value)
    })
}

#[test]
fn header_vectors_hold() {
    let Some(rows) = rows("header_vectors_hold", "header_vectors.jsonl") else {
        return;
    };
    let mut failures = Vec::new();
    for row in &rows {
        let line = row["line"].as_str().unwrap();
        let event = decode(line.as_bytes(), &context());
        let wrong = differences(&row["expect"], &event, line);
        if !wrong.is_empty() {
            failures.push(format!(
                "{line}\n  {}\n  {}",
                wrong.join("\n  "),
                event_json(&event)
            ));
        }
    }
    println!("checked {} header vectors", rows.len());
    assert!(rows.len() >= 37);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn openssh_lines_give_their_host_and_user() {
    let Some(rows) = rows(
        "openssh_lines_give_their_host_and_user",
        "fail2ban_cases.jsonl",
    ) else {
        return;
    };
    let (mut hosts, mut users, mut elsewhere) = (0, 0, 0);
    let mut failures = Vec::new();
    for row in &rows {
        let service = row["service"].as_str().unwrap();
        let line = row["line"].as_str().unwrap();
        let ours = service.starts_with("sshd") || line.contains("sudo");
        if !ours || row["expect_match"] != Json::Bool(true) {
            continue;
        }
        let event = decode(line.as_bytes(), &context());
        let source = text_of(&event, "src_ip").or_else(|| text_of(&event, "src_host"));
        let mut wrong = event.logsource.service.as_deref() != Some("sshd");
        if let Some(host) = row["expect_host"].as_str() {
            // Some lines name no host: fail2ban carries it over from an earlier line of the
            // session.
            if line.contains(host) {
                hosts += 1;
                wrong |= source.as_deref() != Some(host);
            } else {
                elsewhere += 1;
                wrong |= source.is_some();
            }
        }
        if let Some(user) = row["expect_user"].as_str() {
            users += 1;
            wrong |= text_of(&event, "user").as_deref() != Some(user);
        }
        if wrong {
            failures.push(format!("{row}\n  {}", event_json(&event)));
        }
    }
    println!("checked {hosts} hosts and {users} users; {elsewhere} lines name no host");
    assert!(
        failures.is_empty(),
        "{} wrong:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(hosts >= 130 && users >= 10, "{hosts} hosts, {users} users");
}
