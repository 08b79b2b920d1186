//! The carriers of the matrix: each is one row, a function from a line to what arrives.

use serde_json::{Value, json};

use super::lines::Kind;

/// A frame, or the reason why the carrier cannot have the line.
pub type Carried = Result<String, &'static str>;

pub const CARRIERS: [(&str, fn(Kind) -> Carried); 43] = [
    ("plain", |kind| Ok(kind.plain())),
    ("rfc 3164 without priority", |kind| {
        Ok(without_priority(&kind.plain()))
    }),
    ("rfc 3164 with year", |kind| {
        header(kind, "<38>Mar  1 2026 10:00:00 web1")
    }),
    ("rfc 3164 with fraction", |kind| {
        header(kind, "<38>Mar  1 10:00:00.000 web1")
    }),
    ("rfc 3164, host twice", |kind| {
        header(kind, "<38>Mar  1 10:00:00 web1 web1")
    }),
    ("iso header", |kind| {
        header(kind, "<38>2026-03-01T10:00:00.000Z web1")
    }),
    ("iso header without offset", |kind| {
        header(kind, "2026-03-01T10:00:00.000000 web1")
    }),
    ("busybox", |kind| {
        header(kind, "<38>Mar  1 10:00:00 web1 auth.info")
    }),
    ("busybox file", |kind| {
        header(kind, "Mar  1 10:00:00 web1 auth.info")
    }),
    ("f5", |kind| header(kind, "<38>Mar  1 10:00:00 web1 notice")),
    ("rfc 5424", |kind| {
        rfc5424(kind, "2026-03-01T10:00:00Z", "- - ")
    }),
    ("rfc 5424 with data", |kind| {
        rfc5424(kind, "2026-03-01T10:00:00.0Z", "- [a@1 b=\"c\"] ")
    }),
    ("rfc 5424 without data", |kind| {
        rfc5424(kind, "2026-03-01T10:00:00Z", "- ")
    }),
    ("rfc 5424, offset without colon", |kind| {
        rfc5424(kind, "2026-03-01T11:00:00+0100", "- - ")
    }),
    ("rfc 5424 without offset", |kind| {
        rfc5424(kind, "2026-03-01T10:00:00", "- - ")
    }),
    ("one relay", |kind| {
        Ok(format!("<13>Mar  1 10:00:05 relay1 {}", kind.plain()))
    }),
    ("one relay, rfc 5424", |kind| {
        Ok(format!(
            "<13>1 2026-03-01T10:00:05Z relay1 - - - - {}",
            kind.plain()
        ))
    }),
    ("two relays", |kind| {
        Ok(format!(
            "<13>Mar  1 10:00:09 relay2 <13>Mar  1 10:00:05 relay1 {}",
            kind.plain()
        ))
    }),
    ("cri", |kind| {
        Ok(format!("2026-03-01T10:00:05.5Z stdout F {}", kind.plain()))
    }),
    ("docker", |kind| {
        line_in(
            kind,
            |line| json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-03-01T10:00:05.5Z"}),
        )
    }),
    ("filebeat file", |kind| {
        line_in(
            kind,
            |line| json!({"@timestamp": "2026-03-01T10:00:05.112Z", "message": line, "log": {"file": {"path": "/var/log/auth.log"}, "offset": 27533}, "input": {"type": "filestream"}, "agent": {"type": "filebeat", "version": "8.19.0"}, "ecs": {"version": "8.0.0"}}),
        )
    }),
    ("filebeat journald", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"@timestamp": "2026-03-01T10:00:00.000Z", "message": text, "host": {"name": "web1"}, "process": {"pid": pid}, "syslog": {"identifier": program, "facility": 4}, "agent": {"type": "filebeat"}}),
        )
    }),
    ("filebeat syslog", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"@timestamp": "2026-03-01T10:00:00.000Z", "message": text, "log": {"syslog": {"appname": program, "hostname": "web1", "procid": pid}}, "host": {"name": "collector1"}, "agent": {"type": "filebeat"}}),
        )
    }),
    ("vector file", |kind| {
        line_in(
            kind,
            |line| json!({"file": "/var/log/auth.log", "message": line, "source_type": "file", "timestamp": "2026-03-01T10:00:05.112Z"}),
        )
    }),
    ("vector syslog", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"appname": program, "facility": "auth", "host": "web1", "hostname": "web1", "message": text, "procid": pid, "severity": "info", "source_ip": "198.51.100.5", "source_type": "syslog", "timestamp": "2026-03-01T10:00:00Z"}),
        )
    }),
    ("vector journald", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"SYSLOG_IDENTIFIER": program, "_PID": pid, "__REALTIME_TIMESTAMP": "1772359200000000", "host": "web1", "message": text, "source_type": "journald", "timestamp": "2026-03-01T10:00:00.000000Z"}),
        )
    }),
    ("fluent bit tail", |kind| {
        line_in(
            kind,
            |line| json!({"@timestamp": "2026-03-01T10:00:05.112Z", "log": line}),
        )
    }),
    ("fluent bit systemd", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"@timestamp": "2026-03-01T10:00:00.000Z", "_HOSTNAME": "web1", "SYSLOG_IDENTIFIER": program, "_PID": pid, "MESSAGE": text}),
        )
    }),
    ("fluent bit syslog", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"@timestamp": "2026-03-01T10:00:00.000Z", "pri": "38", "host": "web1", "ident": program, "pid": pid, "message": text}),
        )
    }),
    ("logstash", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"@timestamp": "2026-03-01T10:00:00.000Z", "@version": "1", "host": "198.51.100.5", "logsource": "web1", "program": program, "pid": pid, "message": text, "timestamp": "Mar  1 10:00:00"}),
        )
    }),
    ("logstash ecs", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"@timestamp": "2026-03-01T10:00:00.000Z", "host": {"hostname": "web1"}, "process": {"name": program, "pid": pid}, "message": text, "event": {"original": kind.plain()}}),
        )
    }),
    ("rsyslog json", |kind| {
        parts_in(kind, |program, pid, text| {
            let tag = pid.map_or(format!("{program}:"), |pid| format!("{program}[{pid}]:"));
            json!({"@timestamp": "2026-03-01T10:00:00+00:00", "host": "web1", "severity": "info", "facility": "auth", "syslogtag": tag, "message": format!(" {text}")})
        })
    }),
    ("syslog-ng json", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"PROGRAM": program, "PRIORITY": "info", "PID": pid, "MESSAGE": text, "ISODATE": "2026-03-01T10:00:00+00:00", "HOST_FROM": "198.51.100.5", "HOST": "web1", "FACILITY": "auth"}),
        )
    }),
    ("graylog", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"version": "1.1", "host": "web1", "short_message": text, "timestamp": 1_772_359_200.0, "_application_name": program, "_process_id": pid}),
        )
    }),
    ("@cee", |kind| {
        object_behind(kind, "<13>Mar  1 10:00:05 relay1 collector: @cee: ")
    }),
    ("json behind a header", |kind| {
        object_behind(kind, "<13>Mar  1 10:00:05 relay1 collector[5]: ")
    }),
    ("json behind rfc 5424", |kind| {
        object_behind(kind, "<13>1 2026-03-01T10:00:05Z relay1 collector 5 - - ")
    }),
    ("journald json", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"__REALTIME_TIMESTAMP": "1772359200000000", "_HOSTNAME": "web1", "SYSLOG_IDENTIFIER": program, "_PID": pid, "PRIORITY": "6", "MESSAGE": text}),
        )
    }),
    ("journald json, bytes", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"__REALTIME_TIMESTAMP": "1772359200000000", "_HOSTNAME": "web1", "SYSLOG_IDENTIFIER": program, "_PID": pid, "MESSAGE": text.as_bytes()}),
        )
    }),
    ("hec event", |kind| match kind {
        Kind::Object(line) => Ok(format!(
            "{{\"time\":1772359205.5,\"sourcetype\":\"_json\",\"event\":{line}}}"
        )),
        _ => line_in(
            kind,
            |line| json!({"time": 1_772_359_205.5, "sourcetype": "syslog", "event": line}),
        ),
    }),
    ("otlp filelog", |kind| {
        line_in(
            kind,
            |line| json!({"time": "2026-03-01T10:00:05.5Z", "observed_time": "2026-03-01T10:00:05.5Z", "message": line, "attributes": {"log.file.name": "auth.log"}}),
        )
    }),
    ("otlp syslog receiver", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"time": "2026-03-01T10:00:00Z", "level": "INFO", "severity_number": 9, "message": kind.plain(), "attributes": {"appname": program, "hostname": "web1", "proc_id": pid, "message": text, "facility": 4}}),
        )
    }),
    ("otlp journald receiver", |kind| {
        parts_in(
            kind,
            |program, pid, text| json!({"time": "2026-03-01T10:00:00Z", "body": {"SYSLOG_IDENTIFIER": program, "_HOSTNAME": "web1", "_PID": pid, "MESSAGE": text}}),
        )
    }),
];

/// Carriers that are not rows, and why.
pub const OUTSIDE: [(&str, &str); 1] = [(
    "transports",
    "tests/transports.rs runs TCP, RELP, agents, HTTP and files through the code that receives them",
)];

const NO_PROGRAM: &str = "the line names no program outside its own header";

fn without_priority(line: &str) -> String {
    match line.split_once('>') {
        Some((start, rest)) if start.starts_with('<') => rest.to_owned(),
        _ => line.to_owned(),
    }
}

fn header(kind: Kind, header: &str) -> Carried {
    Ok(format!("{header} {}", kind.tagged().ok_or(NO_PROGRAM)?))
}

fn rfc5424(kind: Kind, time: &str, rest: &str) -> Carried {
    let Kind::Message { program, pid, text } = kind else {
        return Err(NO_PROGRAM);
    };
    let pid = pid.unwrap_or("-");
    Ok(format!("<38>1 {time} web1 {program} {pid} {rest}{text}"))
}

fn line_in(kind: Kind, object: impl Fn(&str) -> Value) -> Carried {
    Ok(object(&kind.plain()).to_string())
}

fn parts_in(kind: Kind, object: impl Fn(&str, Option<&str>, &str) -> Value) -> Carried {
    let Kind::Message { program, pid, text } = kind else {
        return Err(NO_PROGRAM);
    };
    Ok(object(program, pid, text).to_string())
}

fn object_behind(kind: Kind, header: &str) -> Carried {
    match kind {
        Kind::Object(line) => Ok(format!("{header}{line}")),
        _ => Err("the line is no JSON"),
    }
}
