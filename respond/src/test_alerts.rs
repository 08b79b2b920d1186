//! Alerts for the tests of this crate.

use weir_schema::{
    AlertId, AlertRecord, AlertState, BatchSeq, Cause, Change, ChangeKind, Epoch, EventId,
    EventTime, Evidence, EvidenceItem, GroupField, Level, Position, RuleVersion,
};

pub(crate) fn record(alert: u64, revision: u64) -> AlertRecord {
    let item = EvidenceItem {
        time: EventTime(1_000_000_000),
        event: EventId([1, 2]),
        position: Position::new(BatchSeq(0), 0),
    };
    let field = |name: &str, value: &str| GroupField {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    AlertRecord {
        alert: AlertId([0, alert]),
        key: AlertId([0, alert]),
        revision,
        standing: true,
        raised: Epoch(1),
        rule: "rule-1".into(),
        version: RuleVersion(5),
        title: "A title".to_owned(),
        level: Level::High,
        tenant: "default".to_owned(),
        group: vec![field("src.ip", "10.0.0.1"), field("user", "alice")],
        state: AlertState::Confirmed,
        first: EventTime(1_000_000_000),
        last: EventTime(2_000_000_000),
        count: 5,
        limited: false,
        supersedes: Vec::new(),
        evidence: Evidence {
            head: vec![item],
            tail: Vec::new(),
        },
        cause: Cause::LateEvent(item),
        marked: None,
    }
}

pub(crate) fn change(kind: ChangeKind, record: AlertRecord) -> Change {
    Change {
        kind,
        epoch: Epoch(record.revision),
        ordinal: 0,
        supersedes: Vec::new(),
        record,
    }
}

/// A row as the API encodes it, in its parts that can be long.
pub(crate) fn change_json(change: &Change, kind: ChangeKind) -> serde_json::Value {
    let record = &change.record;
    let evidence = record.evidence.head.iter().chain(&record.evidence.tail);
    let event = |item: &EvidenceItem| {
        serde_json::json!({
            "event": item.event.to_string(),
            "time": "2026-08-01T12:00:00.123456789Z",
            "position": "18446744073709551615-65535",
        })
    };
    let group = record.group.iter();
    let group: serde_json::Map<_, _> = group
        .map(|field| (field.name.clone(), field.value.clone().into()))
        .collect();
    let supersedes = change.supersedes.iter().map(ToString::to_string);
    serde_json::json!({
        "change": kind.name(),
        "alert": record.alert.to_string(),
        "title": record.title,
        "group": group,
        "evidence": evidence.map(event).collect::<Vec<_>>(),
        "supersedes": supersedes.collect::<Vec<_>>(),
    })
}
