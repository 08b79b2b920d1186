//! Encodes alerts in ArcSight's Common Event Format, inside an RFC 5424 message.

use std::fmt::Write;

use weir_schema::{AlertRecord, ChangeKind, Level, ReceiveTime, escaped_char, is_hidden_char};

use crate::format::{rfc3339, truncated};

/// Bytes of one value: the limit that the description of the format gives for texts.
const VALUE_BYTES_MAX: usize = 1_023;
/// Group fields in the message, as `cs1` to `cs6`.
const CUSTOM_MAX: usize = 6;

/// Encodes one change as one message: `<PRI>1 TIME - weir - KIND - CEF:0|…`.
#[must_use]
pub fn message(record: &AlertRecord, kind: ChangeKind, why: &str, now: ReceiveTime) -> String {
    let time = rfc3339(now.0);
    let priority = FACILITY * 8 + syslog_severity(record.level, kind);
    let mut text = format!("<{priority}>1 {time} - weir - {} - ", kind.name());
    let version = env!("CARGO_PKG_VERSION");
    let (rule, title) = (header(&record.rule), header(&record.title));
    let severity = severity(record.level);
    // Writing to a string cannot fail.
    let _ = write!(text, "CEF:0|Weir|Weir|{version}|{rule}|{title}|{severity}|");
    let mut extension = Extension {
        text: &mut text,
        is_empty: true,
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
    for (place, field) in (1..).zip(record.group.iter().take(CUSTOM_MAX)) {
        extension.add(&format!("cs{place}Label"), &field.name);
        extension.add(&format!("cs{place}"), &field.value);
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
}

impl Extension<'_> {
    fn add(&mut self, name: &str, value: &str) {
        if !self.is_empty {
            self.text.push(' ');
        }
        self.is_empty = false;
        self.text.push_str(name);
        self.text.push('=');
        for c in truncated(value, VALUE_BYTES_MAX).chars() {
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
fn header(value: &str) -> String {
    let mut text = String::new();
    for c in truncated(value, VALUE_BYTES_MAX).chars() {
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
    fn values_are_cut_between_characters() {
        let text = "ü".repeat(1_000);
        assert_eq!(truncated(&text, VALUE_BYTES_MAX).len(), 1_022);
    }
}
