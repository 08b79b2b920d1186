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
