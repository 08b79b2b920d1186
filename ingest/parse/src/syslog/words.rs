//! Words that devices write between the time and the tag of a header, and the form of a host.

use weir_schema::Value;

use crate::draft::Draft;

/// Longest level with its facility.
const WORD_BYTES_MAX: usize = 40;

/// Levels as daemons and devices write them, with the severity they mean.
const LEVELS: [(&str, &str); 17] = [
    ("emerg", "emerg"),
    ("emergency", "emerg"),
    ("panic", "emerg"),
    ("alert", "alert"),
    ("crit", "crit"),
    ("critical", "crit"),
    ("err", "err"),
    ("error", "err"),
    ("warn", "warning"),
    ("warning", "warning"),
    ("notice", "notice"),
    ("info", "info"),
    ("informational", "info"),
    ("information", "info"),
    ("debug", "debug"),
    ("trace", "debug"),
    ("verbose", "debug"),
];

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "security", "syslog", "lpr", "news", "uucp", "cron",
    "authpriv", "ftp", "ntp", "audit", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// A word between time and tag that is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderWord<'a> {
    /// `info`, or `auth.info`, as BusyBox, F5 and AIX write them.
    Level {
        facility: Option<&'a str>,
        severity: &'static str,
    },
    /// `aabbccddeeff,U7-Pro-8.6.11`, as UniFi writes it: the device's address and model.
    Device { mac: &'a str, model: &'a str },
}

impl<'a> HeaderWord<'a> {
    /// Reads a word between two spaces.
    pub fn read(word: &'a str) -> Option<Self> {
        // Most words are a host or end a tag. A level is short, and a device has a comma.
        let bytes = word.as_bytes();
        if bytes.len() > WORD_BYTES_MAX || bytes.contains(&b',') {
            return device(word.trim_matches(['(', ')', '"', ':']));
        }
        if bytes.ends_with(b":") {
            return None;
        }
        let (facility, level) = match word.rsplit_once(['.', ':']) {
            Some((facility, level)) => (Some(facility), level),
            None => (None, word),
        };
        let severity = severity(level)?;
        // AIX writes two names of one facility: `auth|security:info`.
        let facility = facility.map(|name| name.split('|').next().unwrap_or(name));
        let is_known = facility.is_none_or(|name| {
            let is_facility = |known: &&str| known.eq_ignore_ascii_case(name);
            FACILITIES.iter().any(is_facility)
        });
        is_known.then_some(Self::Level { facility, severity })
    }

    /// Adds what the word says, unless the priority said it.
    pub fn add(self, draft: &mut Draft<'a>) {
        match self {
            Self::Level { facility, severity } => {
                if let Some(facility) = facility {
                    draft.add_text("facility", facility);
                }
                draft.add("severity", Value::Text(severity.into()));
            }
            Self::Device { mac, model } => {
                draft.add_text("device_mac", mac);
                draft.add_text("device_model", model);
            }
        }
    }
}

fn severity(word: &str) -> Option<&'static str> {
    let found = LEVELS
        .iter()
        .find(|(level, _)| level.eq_ignore_ascii_case(word));
    found.map(|(_, severity)| *severity)
}

/// Reads `aabbccddeeff,MODEL` or `MODEL,aabbccddeeff,VERSION`.
fn device(word: &str) -> Option<HeaderWord<'_>> {
    let (first, rest) = word.split_once(',')?;
    let is_mac = |part: &str| part.len() == 12 && part.bytes().all(|b| b.is_ascii_hexdigit());
    if is_mac(first) {
        return Some(HeaderWord::Device {
            mac: first,
            model: rest,
        });
    }
    let (mac, _version) = rest.split_once(',')?;
    is_mac(mac).then_some(HeaderWord::Device { mac, model: first })
}

/// Returns whether a word is a version, as `1.5.0` in `syslogd 1.5.0: restart`.
pub(super) fn is_version(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.contains('.')
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && word.parse::<std::net::IpAddr>().is_err()
}
