//! Names under which shippers write the parts of a syslog line: one table for all of them.

use std::borrow::Cow;

use weir_schema::Value;

use crate::host::is_host;

/// A part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinePart {
    /// The message, or the whole line.
    Message,
    /// The whole line beside its parts.
    Original,
    Program,
    Pid,
    Host,
    /// The machine that passed the line on.
    Relay,
    Time,
}

const PARTS: usize = LinePart::Time as usize + 1;

use LinePart::{Host, Message, Original, Pid, Program, Relay, Time};

/// Names, sorted by length; the part; and the rank: among several names of one part the least wins.
const NAMES: [(&str, LinePart, u8); 98] = [
    ("log", Message, 3),
    ("msg", Message, 2),
    ("pid", Pid, 1),
    ("PID", Pid, 1),
    ("raw", Original, 3),
    ("tag", Program, 12),
    ("TAG", Program, 12),
    ("HOST", Host, 2),
    ("_PID", Pid, 3),
    ("_raw", Message, 5),
    ("body", Message, 4),
    ("host", Host, 3),
    ("line", Message, 4),
    ("_COMM", Program, 5),
    ("ident", Program, 2),
    ("procid", Pid, 2),
    ("rawmsg", Original, 2),
    ("ISODATE", Time, 1),
    ("MESSAGE", Message, 1),
    ("Message", Message, 1),
    ("PROGRAM", Program, 1),
    ("appname", Program, 2),
    ("message", Message, 1),
    ("proc_id", Pid, 2),
    ("program", Program, 1),
    ("raw_log", Original, 3),
    ("rawdata", Original, 4),
    ("HostName", Host, 4),
    ("Hostname", Host, 4),
    ("app_name", Program, 2),
    ("app-name", Program, 2),
    ("fromhost", Relay, 2),
    ("hostname", Host, 4),
    ("APP-NAME", Program, 2),
    ("HOST_FROM", Relay, 1),
    ("R_ISODATE", Time, 2),
    ("S_ISODATE", Time, 2),
    ("ProcessID", Pid, 4),
    ("_HOSTNAME", Host, 1),
    ("body._PID", Pid, 4),
    ("host.name", Host, 5),
    ("logsource", Host, 1),
    ("syslogtag", Program, 3),
    ("processid", Pid, 3),
    ("SYSLOG_PID", Pid, 4),
    ("process_id", Pid, 3),
    ("syslog.pid", Pid, 3),
    ("syslog_pid", Pid, 2),
    ("syslog_tag", Program, 3),
    ("_process_id", Pid, 3),
    ("process.pid", Pid, 3),
    ("ProcessName", Program, 4),
    ("programname", Program, 1),
    ("raw_message", Original, 3),
    ("fromhost-ip", Relay, 3),
    ("body.MESSAGE", Message, 3),
    ("full_message", Original, 4),
    ("journald.pid", Pid, 4),
    ("process.name", Program, 11),
    ("timereported", Time, 2),
    ("body.message", Message, 3),
    ("SyslogMessage", Message, 1),
    ("beat.hostname", Host, 6),
    ("body.hostname", Host, 2),
    ("host.hostname", Host, 4),
    ("short_message", Message, 2),
    ("agent.hostname", Host, 6),
    ("body._HOSTNAME", Host, 1),
    ("event.original", Original, 1),
    ("syslog_message", Message, 1),
    ("syslog_program", Program, 1),
    ("syslog_appname", Program, 1),
    ("syslog5424_app", Program, 1),
    ("syslog5424_msg", Message, 1),
    ("syslog5424_host", Host, 1),
    ("syslog5424_proc", Pid, 1),
    ("syslog_hostname", Host, 1),
    ("syslog_timestamp", Time, 3),
    ("application_name", Program, 2),
    ("_application_name", Program, 2),
    ("attributes.procid", Pid, 2),
    ("SYSLOG_IDENTIFIER", Program, 2),
    ("syslog_identifier", Program, 2),
    ("syslog.identifier", Program, 2),
    ("log.syslog.procid", Pid, 2),
    ("attributes.proc_id", Pid, 2),
    ("attributes.appname", Program, 2),
    ("attributes.message", Message, 0),
    ("resource.host.name", Host, 5),
    ("log.syslog.appname", Program, 2),
    ("attributes.hostname", Host, 2),
    ("log.syslog.hostname", Host, 1),
    ("attributes.host.name", Host, 4),
    ("system.syslog.program", Program, 2),
    ("attributes.process.pid", Pid, 4),
    ("body.SYSLOG_IDENTIFIER", Program, 2),
    ("attributes.service.name", Program, 13),
    ("attributes.SYSLOG_IDENTIFIER", Program, 2),
];

const LENGTH_MAX: usize = 28;

/// Position in [`NAMES`] of the first name of each length.
const STARTS: [usize; LENGTH_MAX + 2] = starts();

const fn starts() -> [usize; LENGTH_MAX + 2] {
    let mut starts = [0; LENGTH_MAX + 2];
    let mut length = 0;
    while length < starts.len() {
        let mut at = 0;
        while at < NAMES.len() && NAMES[at].0.len() < length {
            at += 1;
        }
        starts[length] = at;
        length += 1;
    }
    starts
}

/// The positions of the parts of a line among the fields of an object.
pub(super) struct LineParts([Option<(u8, usize)>; PARTS]);

impl LineParts {
    pub fn of(fields: &[(Cow<'_, str>, Value<'_>)]) -> Self {
        let mut parts = [None; PARTS];
        for (at, (name, value)) in fields.iter().enumerate() {
            if let Some((part, rank)) = part(name)
                && is_usable(part, value)
                && let Some(slot) = parts.get_mut(part as usize)
                && slot.is_none_or(|(best, _)| rank < best)
            {
                *slot = Some((rank, at));
            }
        }
        Self(parts)
    }

    /// Returns the position of the best field for the part.
    pub fn at(&self, part: LinePart) -> Option<usize> {
        self.0.get(part as usize)?.map(|(_, at)| at)
    }

    /// Returns the rank of the name that was found for the part.
    pub fn rank(&self, part: LinePart) -> Option<u8> {
        self.0.get(part as usize)?.map(|(rank, _)| rank)
    }
}

/// Returns whether the value can be that part of a line. `logsource` is a host in Logstash's
/// records and a log source in those of other senders, so a host must have its form.
fn is_usable(part: LinePart, value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => part != Host || is_host(text),
        Value::Int(_) | Value::List(_) => true,
        _ => false,
    }
}

fn part(name: &str) -> Option<(LinePart, u8)> {
    let (from, to) = (STARTS.get(name.len())?, STARTS.get(name.len() + 1)?);
    let first = name.as_bytes().first();
    let mut candidates = NAMES.get(*from..*to)?.iter();
    let found =
        candidates.find(|(known, ..)| known.as_bytes().first() == first && *known == name)?;
    Some((found.1, found.2))
}

/// First parts of the names that shippers add themselves. They say how a line travelled, not what
/// happened.
const SHIPPER: [&str; 46] = [
    "@metadata",
    "@timestamp",
    "@version",
    "agent",
    "attributes",
    "beat",
    "cloud",
    "container",
    "container_id",
    "container_name",
    "date",
    "docker",
    "ecs",
    "event",
    "facility",
    "fields",
    "file",
    "filename",
    "flags",
    "fluentbit",
    "host",
    "hostname",
    "index",
    "input",
    "input_type",
    "job",
    "journald",
    "kubernetes",
    "labels",
    "log",
    "message",
    "node",
    "observed_time",
    "offset",
    "path",
    "pri",
    "priority",
    "process",
    "prospector",
    "resource",
    "scope",
    "severity",
    "severity_number",
    "source",
    "source_ip",
    "source_type",
];

/// Returns whether a shipper writes fields of this name.
pub(super) fn is_of_shipper(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    SHIPPER.binary_search(&first).is_ok() || first.starts_with('_') || part(name).is_some()
}

#[cfg(test)]
mod tests {
    use weir_schema::Value;

    use super::{LinePart, LineParts, NAMES, SHIPPER, part};

    #[test]
    fn a_host_has_the_form_of_one() {
        let host = |logsource: &'static str| {
            let fields = [
                ("logsource".into(), Value::Text(logsource.into())),
                ("host".into(), Value::Text("app-1".into())),
            ];
            LineParts::of(&fields).at(LinePart::Host)
        };
        assert_eq!(host("web1"), Some(0));
        assert_eq!(host("product=linux,category=process_creation"), Some(1));
        assert_eq!(host(""), Some(1));
    }

    #[test]
    fn every_name_is_found() {
        for (name, expected, _) in NAMES {
            assert_eq!(part(name).map(|(part, _)| part), Some(expected), "{name}");
        }
        assert!(SHIPPER.is_sorted());
    }
}
