//! Encodes alerts in ArcSight's Common Event Format, inside an RFC 5424 message.

use std::fmt::Write;

use weir_schema::{AlertRecord, ChangeKind, Level, ReceiveTime, escaped_char, is_hidden_char};

use crate::format::{rfc3339, truncated};

/// Bytes of one value: the limit that the description of the format gives for texts.
const VALUE_BYTES_MAX: usize = 1_023;
/// Bytes of an alert's id, which is never cut.
const ID_BYTES: usize = 32;
/// Group fields in the message, as `cs1` to `cs6`.
const CUSTOM_MAX: usize = 6;

/// Bytes of one message. Many syslog servers cut longer ones, also inside of a value.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Limits of a value that are tried until a message fits.
const VALUE_STEPS: [usize; 5] = [VALUE_BYTES_MAX, 512, 256, 64, ID_BYTES];
/// Bytes of a rule's id, which stays whole where other values are cut.
const RULE_BYTES_MAX: usize = 128;

/// Encodes one change as one message: `<PRI>1 TIME - weir - KIND - CEF:0|…`.
///
/// The message has at most 8 KiB: long values are cut, and `flexString1` names them.
#[must_use]
pub fn message(record: &AlertRecord, kind: ChangeKind, why: &str, now: ReceiveTime) -> String {
    let mut text = String::new();
    for bytes_max in VALUE_STEPS {
        text = message_with(record, kind, why, now, bytes_max);
        if text.len() <= MESSAGE_BYTES_MAX {
            break;
        }
    }
    text
}

fn message_with(
    record: &AlertRecord,
    kind: ChangeKind,
    why: &str,
    now: ReceiveTime,
    bytes_max: usize,
) -> String {
    let time = rfc3339(now.0);
    let priority = FACILITY * 8 + syslog_severity(record.level, kind);
    let mut text = format!("<{priority}>1 {time} - weir - {} - ", kind.name());
    let version = env!("CARGO_PKG_VERSION");
    let rule = header(&record.rule, bytes_max.max(RULE_BYTES_MAX));
    let title = header(&record.title, bytes_max);
    let severity = severity(record.level);
    // Writing to a string cannot fail.
    let _ = write!(text, "CEF:0|Weir|Weir|{version}|{rule}|{title}|{severity}|");
    let mut extension = Extension {
        text: &mut text,
        is_empty: true,
        bytes_max,
    };
    extension.add("act", kind.name());
    extension.add("externalId", &record.alert.to_string());
    extension.add("cn1Label", "revision");
    extension.add("cn1", &record.revision.to_string());
    extension.add("cnt", &record.count.to_string());
    extension.add("start", &(record.first.0.div_euclid(1_000_000)).to_string());
    extension.add("end", &(record.last.0.div_euclid(1_000_000)).to_string());
    extension.add("cat", &record.tenant);
    extension.add("reason", why);
    let mut cut = Vec::new();
    for (place, field) in (1..).zip(record.group.iter().take(CUSTOM_MAX)) {
        extension.add(&format!("cs{place}Label"), &field.name);
        extension.add(&format!("cs{place}"), &field.value);
        if field.value.len() > bytes_max {
            cut.push(format!("cs{place}"));
        }
    }
    if !cut.is_empty() {
        extension.add("flexString1Label", "cut");
        extension.add("flexString1", &cut.join(" "));
    }
    text
}

/// `security/authorization messages`.
const FACILITY: u32 = 4;

const fn syslog_severity(level: Level, kind: ChangeKind) -> u32 {
    match (kind, level) {
        (ChangeKind::Retracted, _) => 5,
        (_, Level::Informational) => 6,
        (_, Level::Low) => 5,
        (_, Level::Medium) => 4,
        (_, Level::High) => 3,
        (_, Level::Critical) => 2,
    }
}

const fn severity(level: Level) -> u32 {
    match level {
        Level::Informational => 1,
        Level::Low => 3,
        Level::Medium => 5,
        Level::High => 8,
        Level::Critical => 10,
    }
}

/// The `name=value` pairs at the end of a message.
struct Extension<'t> {
    text: &'t mut String,
    is_empty: bool,
    /// Bytes of a value; ids and numbers are shorter.
    bytes_max: usize,
}

impl Extension<'_> {
    fn add(&mut self, name: &str, value: &str) {
        if !self.is_empty {
            self.text.push(' ');
        }
        self.is_empty = false;
        self.text.push_str(name);
        self.text.push('=');
        for c in truncated(value, self.bytes_max.max(ID_BYTES)).chars() {
            match c {
                '\\' | '=' => self.text.extend(['\\', c]),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                c if is_hidden_char(c) => {
                    // The backslash of the escape is escaped too, as CEF asks.
                    self.text.push('\\');
                    self.text.extend(escaped_char(c));
                }
                c => self.text.push(c),
            }
        }
    }
}

/// Encodes a header field: control characters become spaces, separators are escaped.
fn header(value: &str, bytes_max: usize) -> String {
    let mut text = String::new();
    for c in truncated(value, bytes_max).chars() {
        match c {
            '\\' | '|' => text.extend(['\\', c]),
            c if c.is_control() => text.push(' '),
            c if is_hidden_char(c) => {
                text.push('\\');
                text.extend(escaped_char(c));
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_alerts::record;

    #[test]
    fn separators_are_escaped_and_a_message_is_one_line() {
        let mut record = record(7, 3);
        record.title = "pipe | back\\slash = equals\nline\u{2066}".to_owned();
        record.group[0].value = "a=b|c\\d\ne\u{1b}[2J\u{202e}f".to_owned();
        let text = message(&record, ChangeKind::Raised, "an event", ReceiveTime(0));
        let (head, extension) = text.split_once("|8|").expect("a severity");
        assert_eq!(
            head,
            "<35>1 1970-01-01T00:00:00.000000Z - weir - raised - \
             CEF:0|Weir|Weir|0.1.0|rule-1|pipe \\| back\\\\slash = equals line\\\\u{2066}"
        );
        assert!(
            extension.contains("cs1=a\\=b|c\\\\d\\ne\\\\u{1b}[2J\\\\u{202e}f"),
            "{extension}"
        );
        assert!(extension.starts_with("act=raised externalId=") && !text.contains('\n'));
    }

    #[test]
    fn a_message_has_at_most_8_kib_and_names_what_is_cut() {
        let mut record = record(7, 3);
        for letter in ["x", "ü", "=", "\u{1b}", "\u{202e}"] {
            let long = letter.repeat(30_000);
            (record.title, record.tenant) = (long.clone(), long.clone());
            record.group[0].value = long;
            record.group = vec![record.group[0].clone(); 16];
            let text = message(&record, ChangeKind::Raised, &record.title, ReceiveTime(0));
            assert!(
                text.len() <= MESSAGE_BYTES_MAX,
                "{letter:?}: {}",
                text.len()
            );
            let id = format!("externalId={} ", record.alert);
            assert!(text.contains(&id), "{text}");
            assert!(
                text.ends_with("flexString1=cs1 cs2 cs3 cs4 cs5 cs6"),
                "{text}"
            );
        }
    }

    #[test]
    fn values_are_cut_between_characters() {
        let text = "ü".repeat(1_000);
        assert_eq!(truncated(&text, VALUE_BYTES_MAX).len(), 1_022);
    }
}
