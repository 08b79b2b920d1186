//! Encodes alerts as Detection Findings (class 2004) of the Open Cybersecurity Schema Framework.

use std::net::IpAddr;

use serde_json::{Map, Value, json};
use weir_schema::{AlertRecord, Change, ChangeKind, EventTime, EvidenceItem, Level};

use crate::format::{cause_text, rfc3339};

/// Version of the schema.
pub const VERSION: &str = "1.3.0";
const CATEGORY: u32 = 2;
const CLASS: u32 = 2004;
/// Tags of a rule that are searched for techniques and tactics.
const TAGS_MAX: usize = 64;
/// Longest tag that is one of them.
const TAG_BYTES_MAX: usize = 64;

/// Encodes a change as a finding. `tags` are those of its rule, such as `attack.t1110.001`.
#[must_use]
pub fn finding(change: &Change, kind: ChangeKind, tags: &[String]) -> Value {
    let why = cause_text(&change.record.cause);
    let uid = format!("{}_{}", change.record.alert, change.record.revision);
    let mut finding = finding_of(&change.record, kind, uid, tags, &why);
    let supersedes: Vec<String> = change.supersedes.iter().map(ToString::to_string).collect();
    finding["unmapped"]["supersedes"] = supersedes.into();
    finding
}

/// Encodes the finding that closes `record`, which the change `by` supersedes.
#[must_use]
pub fn superseded(record: &AlertRecord, by: &Change, tags: &[String]) -> Value {
    let why = format!("became one with {}", by.record.alert);
    let uid = superseded_uid(record, by);
    finding_of(record, ChangeKind::Retracted, uid, tags, &why)
}

/// Id of the message that closes a superseded alert.
#[must_use]
pub fn superseded_uid(record: &AlertRecord, by: &Change) -> String {
    format!(
        "{}_{}_{}",
        by.record.alert, by.record.revision, record.alert
    )
}

fn finding_of(
    record: &AlertRecord,
    kind: ChangeKind,
    uid: String,
    tags: &[String],
    why: &str,
) -> Value {
    let (activity, activity_name) = match kind {
        ChangeKind::Raised => (1, "Create"),
        ChangeKind::Revised => (2, "Update"),
        ChangeKind::Retracted => (3, "Close"),
    };
    let (status, status_name) = match kind {
        ChangeKind::Raised | ChangeKind::Revised => (1, "New"),
        ChangeKind::Retracted => (4, "Resolved"),
    };
    let (severity, severity_name) = severity(record.level);
    let evidence = record.evidence.head.iter().chain(&record.evidence.tail);
    json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + activity,
        "type_name": format!("Detection Finding: {activity_name}"),
        "time": milliseconds(record.last),
        "start_time": milliseconds(record.first),
        "end_time": milliseconds(record.last),
        "count": record.count,
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "status_detail": why,
        "is_alert": kind != ChangeKind::Retracted,
        "message": record.title,
        "metadata": {
            "version": VERSION,
            "uid": uid,
            "tenant_uid": record.tenant,
            "product": {
                "name": "Weir",
                "vendor_name": "Weir",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "finding_info": finding_info(record, tags),
        "evidences": evidence.map(evidence_json).collect::<Vec<_>>(),
        "observables": observables(record),
        "unmapped": unmapped(record),
    })
}

fn finding_info(record: &AlertRecord, tags: &[String]) -> Value {
    json!({
        "uid": record.alert.to_string(),
        "title": record.title,
        "first_seen_time": milliseconds(record.first),
        "last_seen_time": milliseconds(record.last),
        "attacks": attacks(tags),
        "analytic": {
            "uid": &*record.rule,
            "name": record.title,
            "type_id": 1,
            "type": "Rule",
            "version": record.version.to_string(),
        },
    })
}

fn severity(level: Level) -> (u32, &'static str) {
    match level {
        Level::Informational => (1, "Informational"),
        Level::Low => (2, "Low"),
        Level::Medium => (3, "Medium"),
        Level::High => (4, "High"),
        Level::Critical => (5, "Critical"),
    }
}

fn evidence_json(item: &EvidenceItem) -> Value {
    json!({
        "uid": item.event.to_string(),
        "data": { "event": item.event.to_string(), "time": milliseconds(item.time) },
    })
}

/// The values that an alert is grouped by, as observables to pivot on.
fn observables(record: &AlertRecord) -> Vec<Value> {
    let observable = |field: &weir_schema::GroupField| {
        let (kind, name) = observable_type(&field.name, &field.value);
        json!({
            "name": format!("unmapped.group.{}", field.name),
            "type_id": kind,
            "type": name,
            "value": field.value,
        })
    };
    record.group.iter().map(observable).collect()
}

/// Type of an observable: from its value if that is an address, else from the last word of its
/// field's name.
fn observable_type(name: &str, value: &str) -> (u32, &'static str) {
    if value.parse::<IpAddr>().is_ok() {
        return (2, "IP Address");
    }
    let last = name.rsplit(['.', '_']).next().unwrap_or(name);
    match last.to_ascii_lowercase().as_str() {
        "host" | "hostname" | "computer" => (1, "Hostname"),
        "user" | "username" | "targetusername" | "subjectusername" => (4, "User Name"),
        "image" | "process" | "comm" => (9, "Process Name"),
        _ => (99, "Other"), // Rules choose the names of fields.
    }
}

fn unmapped(record: &AlertRecord) -> Value {
    let group = record.group.iter();
    let group: Map<String, Value> = group
        .map(|field| (field.name.clone(), field.value.clone().into()))
        .collect();
    let mut unmapped = json!({
        "revision": record.revision,
        "state": record.state.name(),
        "cause": record.cause.name(),
        "limited": record.limited,
        "group": group,
    });
    if let (Some(marked), Value::Object(fields)) = (&record.marked, &mut unmapped) {
        fields.insert("time_mark".into(), marked.mark.name().into());
        let stated = marked.stated.map(|stated| rfc3339(stated.0));
        fields.insert("stated_time".into(), stated.into());
        let received = rfc3339(marked.received.0);
        fields.insert("received_time".into(), received.into());
    }
    unmapped
}

/// Techniques and tactics that the rule's tags name.
fn attacks(tags: &[String]) -> Vec<Value> {
    let words = tags
        .iter()
        .take(TAGS_MAX)
        .filter(|tag| tag.len() <= TAG_BYTES_MAX)
        .filter_map(|tag| tag.strip_prefix("attack."));
    let attack = |word: &str| {
        let id = word.to_ascii_uppercase();
        let digits = id
            .strip_prefix('T')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        Some(match (digits, id.split_once('.')) {
            (Some(_), Some((technique, _))) => json!({
                "technique": { "uid": technique }, "sub_technique": { "uid": id },
            }),
            (Some(_), None) => json!({ "technique": { "uid": id } }),
            // Groups and software are neither techniques nor tactics.
            (None, _) if word.chars().any(|c| c.is_ascii_digit()) => return None,
            (None, _) => json!({ "tactic": { "name": word } }),
        })
    };
    words.filter_map(attack).collect()
}

fn milliseconds(time: EventTime) -> i64 {
    time.0.div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_alerts::{change, record};

    /// Attributes that class 2004 requires in version 1.3.0 of the schema, as listed at
    /// schema.ocsf.io/1.3.0/classes/detection_finding; a dot leads to an attribute of an object.
    const REQUIRED: [&str; 12] = [
        "activity_id",
        "category_uid",
        "class_uid",
        "finding_info",
        "finding_info.title",
        "finding_info.uid",
        "metadata",
        "metadata.product.vendor_name",
        "metadata.version",
        "severity_id",
        "time",
        "type_uid",
    ];

    fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
        path.split('.').fold(value, |value, key| &value[key])
    }

    #[test]
    fn findings_have_the_attributes_that_the_schema_requires() {
        let tags = [
            "attack.t1110.001",
            "attack.credential-access",
            "attack.g0016",
            "cve.2021-1",
        ];
        let tags = tags.map(str::to_owned);
        let kinds = [
            (ChangeKind::Raised, 1, 1),
            (ChangeKind::Revised, 2, 1),
            (ChangeKind::Retracted, 3, 4),
        ];
        for (kind, activity, status) in kinds {
            let finding = finding(&change(kind, record(7, 3)), kind, &tags);
            for path in REQUIRED {
                assert!(!at(&finding, path).is_null(), "{path}: {finding}");
            }
            assert_eq!(finding["class_uid"], 2004);
            assert_eq!(finding["activity_id"], activity);
            assert_eq!(finding["type_uid"], 200_400 + activity);
            assert_eq!(finding["status_id"], status);
            assert_eq!(
                finding["finding_info"]["uid"],
                record(7, 3).alert.to_string()
            );
            assert_eq!(
                finding["finding_info"]["attacks"].as_array().map(Vec::len),
                Some(2)
            );
            // The schema requires at least one attribute of each evidence and observable.
            assert!(finding["evidences"][0]["data"].is_object());
            for observable in finding["observables"].as_array().into_iter().flatten() {
                assert!(observable["name"].is_string() && observable["type_id"].is_u64());
            }
            assert_eq!(finding["observables"][0]["type_id"], 2);
        }
    }
}
