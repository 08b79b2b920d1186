//! Alerts for Prometheus' Alertmanager, by version 2 of its API: labels, texts, and when they end.

use serde_json::{Map, Value, json};
use weir_schema::{AlertRecord, ReceiveTime, Span};

use crate::{ocsf, rfc3339};

/// Bytes of one label's name, and of its value; more is cut.
const NAME_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 512;
/// Labels that come from the alert's group.
const GROUP_LABELS_MAX: usize = 16;
/// Alerts of one request.
pub(crate) const POST_MAX: usize = 128;
/// Alerts that are sent again while they stand. Beyond, those whose last event is the oldest are
/// let go.
pub(crate) const OPEN_MAX: usize = 10_000;
/// An alert that is not sent again for so many intervals ends by itself.
const INTERVALS_TO_END: i64 = 4;

/// What tells an alert from others: Alertmanager takes those of the same labels for one.
pub(crate) type Labels = Vec<(String, String)>;

/// The labels of an alert. They do not change with its revisions, but for `severity`.
pub(crate) fn labels(record: &AlertRecord) -> Labels {
    let mut labels = vec![
        ("alertname".to_owned(), cut(&record.title, VALUE_BYTES_MAX)),
        ("severity".to_owned(), record.level.name().to_owned()),
        ("tenant".to_owned(), cut(&record.tenant, VALUE_BYTES_MAX)),
        ("rule".to_owned(), cut(&record.rule, VALUE_BYTES_MAX)),
        // Two episodes of one group may stand at a time.
        ("alert".to_owned(), record.alert.to_string()),
    ];
    for field in record.group.iter().take(GROUP_LABELS_MAX) {
        let name = free(&labels, label_name(&field.name));
        labels.push((name, cut(&field.value, VALUE_BYTES_MAX)));
    }
    // An empty label is none.
    labels.retain(|(_, value)| !value.is_empty());
    labels
}

/// A field's name in the characters that a label's may have.
fn label_name(field: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = field.chars().take(NAME_BYTES_MAX).map(fits).collect();
    match name.chars().next() {
        Some(first) if first.is_ascii_digit() => format!("_{name}"),
        // Names with two of these in front are Prometheus' own.
        Some('_') => format!("field{name}"),
        Some(_) => name,
        None => "field".to_owned(),
    }
}

fn free(labels: &Labels, name: String) -> String {
    let is_taken = |name: &str| labels.iter().any(|(other, _)| other == name);
    if !is_taken(&name) {
        return name;
    }
    // There are fewer labels than numbers.
    let mut numbered = (1..=labels.len() + 1).map(|n| format!("group_{name}_{n}"));
    let first = format!("group_{name}");
    if !is_taken(&first) {
        return first;
    }
    numbered.find(|name| !is_taken(name)).unwrap_or(name)
}

/// An alert that stands, for a while: it is sent again, or ends.
pub(crate) fn firing(record: &AlertRecord, now: ReceiveTime, resend: Span) -> Value {
    let end = now.plus(Span(resend.0.saturating_mul(INTERVALS_TO_END)));
    alert(record, labels(record), now, end)
}

/// An alert that does not stand any more.
pub(crate) fn resolved(record: &AlertRecord, now: ReceiveTime) -> Value {
    resolved_as(record, labels(record), now)
}

/// As it was called before.
pub(crate) fn resolved_as(record: &AlertRecord, labels: Labels, now: ReceiveTime) -> Value {
    alert(record, labels, now, now)
}

fn alert(record: &AlertRecord, labels: Labels, now: ReceiveTime, end: ReceiveTime) -> Value {
    let labels: Map<String, Value> = labels
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    let events = if record.count == 1 { "event" } else { "events" };
    let (first, last) = (rfc3339(record.first.0), rfc3339(record.last.0));
    // It must not begin after it ends.
    let begin = record.first.0.min(end.0).min(now.0);
    json!({
        "labels": labels,
        "annotations": {
            "summary": record.title,
            "description": format!("{} {events}, {first} to {last}", record.count),
            "cause": ocsf::cause(&record.cause),
            "state": record.state.name(),
            "revision": record.revision.to_string(),
        },
        "startsAt": rfc3339(begin),
        "endsAt": rfc3339(end.0),
    })
}

fn cut(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use weir_schema::GroupField;

    use super::*;
    use crate::sample::record;

    #[test]
    fn labels_have_valid_names_that_do_not_clash_and_bounded_values() {
        let mut record = record(7, 3);
        let long = "ü".repeat(1_000);
        let names = [
            "host.name",
            "host-name",
            "alertname",
            "9lives",
            "",
            "_x",
            "__name__",
            "größe",
        ];
        let field = |name: &&str| GroupField {
            name: (*name).to_owned(),
            value: long.clone(),
        };
        record.group = names.iter().map(field).collect();
        let labels = labels(&record);
        let told: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
        let fixed = ["alertname", "severity", "tenant", "rule", "alert"];
        let group = [
            "host_name",
            "group_host_name",
            "group_alertname",
            "_9lives",
            "field",
            "field_x",
            "field__name__",
            "gr__e",
        ];
        assert_eq!(told, [&fixed[..], &group[..]].concat());
        let valid = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        assert!(
            labels
                .iter()
                .all(|(name, value)| valid(name) && value.len() <= VALUE_BYTES_MAX)
        );
    }

    #[test]
    fn an_alert_ends_by_itself_and_never_before_it_begins() {
        let mut record = record(7, 3);
        let now = ReceiveTime(100_000_000_000);
        let firing = firing(&record, now, Span::seconds(60));
        assert_eq!(firing["startsAt"], "1970-01-01T00:00:01.000000Z");
        assert_eq!(firing["endsAt"], "1970-01-01T00:05:40.000000Z");
        record.first.0 = 200_000_000_000;
        let resolved = resolved(&record, now);
        assert_eq!(
            (&resolved["startsAt"], &resolved["endsAt"]),
            (&resolved["endsAt"], &"1970-01-01T00:01:40.000000Z".into())
        );
    }
}
