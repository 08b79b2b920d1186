//! Alerts in ArcSight's Common Event Format, inside a message of RFC 5424.

use std::fmt::Write;

use weir_schema::{AlertRecord, ChangeKind, Level, ReceiveTime};

use crate::rfc3339;

/// Bytes of one value: what the format's description gives its texts.
const VALUE_BYTES_MAX: usize = 1_023;
/// Group fields that have a place of their own, `cs1` to `cs6`.
const CUSTOM_MAX: usize = 6;

/// One message for one change: `<PRI>1 TIME - weir - KIND - CEF:0|…`.
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
    let mut extension = Extension(&mut text, false);
    extension.put("act", kind.name());
    extension.put("externalId", &record.alert.to_string());
    extension.put("cn1Label", "revision");
    extension.put("cn1", &record.revision.to_string());
    extension.put("cnt", &record.count.to_string());
    extension.put("start", &(record.first.0.div_euclid(1_000_000)).to_string());
    extension.put("end", &(record.last.0.div_euclid(1_000_000)).to_string());
    extension.put("cat", &record.tenant);
    extension.put("reason", why);
    for (place, field) in (1..).zip(record.group.iter().take(CUSTOM_MAX)) {
        extension.put(&format!("cs{place}Label"), &field.name);
        extension.put(&format!("cs{place}"), &field.value);
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

struct Extension<'t>(&'t mut String, bool);

impl Extension<'_> {
    fn put(&mut self, name: &str, value: &str) {
        if self.1 {
            self.0.push(' ');
        }
        self.1 = true;
        self.0.push_str(name);
        self.0.push('=');
        for c in cut(value).chars() {
            match c {
                '\\' | '=' => self.0.extend(['\\', c]),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }
}

/// A field of the header: no line breaks, and its separator escaped.
fn header(value: &str) -> String {
    let mut text = String::new();
    for c in cut(value).chars() {
        match c {
            '\\' | '|' => text.extend(['\\', c]),
            c if c.is_control() => text.push(' '),
            c => text.push(c),
        }
    }
    text
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(VALUE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::record;

    #[test]
    fn separators_are_escaped_and_one_message_stays_one_line() {
        let mut record = record(7, 3);
        record.title = "pipe | back\\slash = equals\nline".to_owned();
        record.group[0].value = "a=b|c\\d\ne\u{1b}[2J".to_owned();
        let text = message(&record, ChangeKind::Raised, "an event", ReceiveTime(0));
        let (head, extension) = text.split_once("|8|").expect("a severity");
        assert_eq!(
            head,
            "<35>1 1970-01-01T00:00:00.000000Z - weir - raised - \
             CEF:0|Weir|Weir|0.1.0|rule-1|pipe \\| back\\\\slash = equals line"
        );
        assert!(
            extension.contains("cs1=a\\=b|c\\\\d\\ne\u{fffd}[2J"),
            "{extension}"
        );
        assert!(extension.starts_with("act=raised externalId=") && !text.contains('\n'));
    }

    #[test]
    fn a_value_is_cut_between_characters() {
        assert_eq!(cut(&"ü".repeat(1_000)).len(), 1_022);
    }
}
