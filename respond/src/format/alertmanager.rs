//! Encodes alerts for version 2 of the API of Prometheus' Alertmanager.

use serde_json::{Map, Value, json};
use weir_schema::{AlertRecord, ReceiveTime, Span};

use crate::format::{cause_text, rfc3339, truncated};

/// Bytes of a label's name, and of its value; longer ones are cut.
const NAME_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 512;
/// Labels that come from the alert's group.
const GROUP_LABELS_MAX: usize = 16;
/// Alertmanager ends an alert by itself if it is not sent again for this many intervals.
const INTERVALS_TO_END: i64 = 4;

/// Labels of an alert. Alertmanager treats alerts with the same labels as one.
pub(crate) type Labels = Vec<(String, String)>;

/// Makes the labels of an alert. Of these, only `severity` may change with a revision.
pub(crate) fn labels(record: &AlertRecord) -> Labels {
    let mut labels = vec![
        (
            "alertname".to_owned(),
            truncated(&record.title, VALUE_BYTES_MAX).to_owned(),
        ),
        ("severity".to_owned(), record.level.name().to_owned()),
        (
            "tenant".to_owned(),
            truncated(&record.tenant, VALUE_BYTES_MAX).to_owned(),
        ),
        (
            "rule".to_owned(),
            truncated(&record.rule, VALUE_BYTES_MAX).to_owned(),
        ),
        // Two episodes of one group may stand at once.
        ("alert".to_owned(), record.alert.to_string()),
    ];
    for field in record.group.iter().take(GROUP_LABELS_MAX) {
        let name = unused_name(&labels, label_name(&field.name));
        labels.push((name, truncated(&field.value, VALUE_BYTES_MAX).to_owned()));
    }
    // Alertmanager treats an empty label as missing.
    labels.retain(|(_, value)| !value.is_empty());
    labels
}

/// Makes a label name of a field name: other characters become underscores.
fn label_name(field: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = field.chars().take(NAME_BYTES_MAX).map(fits).collect();
    match name.chars().next() {
        Some(first) if first.is_ascii_digit() => format!("_{name}"),
        // Prometheus reserves names that begin with two underscores.
        Some('_') => format!("field{name}"),
        Some(_) => name,
        None => "field".to_owned(),
    }
}

/// `name`, or a variant of it that no label has.
fn unused_name(labels: &Labels, name: String) -> String {
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

/// Encodes a standing alert. It ends by itself unless it is sent again.
pub(crate) fn firing(record: &AlertRecord, now: ReceiveTime, resend: Span) -> Value {
    let end = now.plus(Span(resend.0.saturating_mul(INTERVALS_TO_END)));
    alert(record, labels(record), now, end)
}

/// Encodes an alert that no longer stands.
pub(crate) fn resolved(record: &AlertRecord, now: ReceiveTime) -> Value {
    resolved_with(record, labels(record), now)
}

/// Encodes an alert that no longer stands, under the labels it had.
pub(crate) fn resolved_with(record: &AlertRecord, labels: Labels, now: ReceiveTime) -> Value {
    alert(record, labels, now, now)
}

fn alert(record: &AlertRecord, labels: Labels, now: ReceiveTime, end: ReceiveTime) -> Value {
    let labels: Map<String, Value> = labels
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    let events = if record.count == 1 { "event" } else { "events" };
    let (first, last) = (rfc3339(record.first.0), rfc3339(record.last.0));
    // An alert must not start after it ends.
    let begin = record.first.0.min(end.0).min(now.0);
    let mut annotations = json!({
        "summary": truncated(&record.title, VALUE_BYTES_MAX),
        "description": format!("{} {events}, {first} to {last}", record.count),
        "cause": cause_text(&record.cause),
        "state": record.state.name(),
        "revision": record.revision.to_string(),
    });
    let fields = record.group.iter().take(GROUP_LABELS_MAX);
    let cut: Vec<&str> = fields
        .filter(|field| field.value.len() > VALUE_BYTES_MAX)
        .map(|field| truncated(&field.name, NAME_BYTES_MAX))
        .collect();
    if !cut.is_empty() {
        annotations["cut"] = cut.join(", ").into();
    }
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": rfc3339(begin),
        "endsAt": rfc3339(end.0),
    })
}

#[cfg(test)]
mod tests {
    use weir_schema::GroupField;

    use super::*;
    use crate::test_alerts::record;

    #[test]
    fn label_names_are_valid_and_unique_and_values_bounded() {
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
        let found: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
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
        assert_eq!(found, [&fixed[..], &group[..]].concat());
        let valid = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        assert!(
            labels
                .iter()
                .all(|(name, value)| valid(name) && value.len() <= VALUE_BYTES_MAX)
        );
    }

    #[test]
    fn alerts_end_by_themselves_and_never_before_they_start() {
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
