//! The JSON form of alerts, for the API, the streams, the sinks and `weir replay`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use weir_schema::{
    AlertId, AlertRecord, AlertState, Cause, Change, ChangeKind, EventTime, EvidenceItem, Weight,
};

use crate::ports::{AlertExplanation, Cursor, ExplainedEvent, MatchedClause};
use crate::time::rfc3339;

/// Bytes of a raw frame that an explanation shows at most: 101 events then fit in 16 MiB.
const RAW_BYTES_MAX: usize = 64 << 10;

/// A stored change, as the stream emits it.
#[must_use]
pub fn change_json(change: &Change) -> Value {
    change_json_as(change, change.kind)
}

/// A change as another of the three kinds.
///
/// A client whose filter withheld earlier changes needs it: for it, a revision may be the first row.
#[must_use]
pub fn change_json_as(change: &Change, kind: ChangeKind) -> Value {
    let mut object = Map::new();
    object.insert("id".into(), Cursor::of(change).to_string().into());
    object.insert("change".into(), kind.name().into());
    object.extend(record_fields(&change.record));
    object.insert("supersedes".into(), ids(&change.supersedes));
    Value::Object(object)
}

fn ids(alerts: &[AlertId]) -> Value {
    alerts.iter().map(ToString::to_string).collect()
}

/// The current state of an alert.
#[must_use]
pub fn record_json(record: &AlertRecord) -> Value {
    let mut object = record_fields(record);
    object.insert("supersedes".into(), ids(&record.supersedes));
    object.insert("standing".into(), record.standing.into());
    object.insert("raised_epoch".into(), record.raised.0.into());
    Value::Object(object)
}

fn record_fields(record: &AlertRecord) -> Map<String, Value> {
    let group: Map<String, Value> = record
        .group
        .iter()
        .map(|field| (field.name.clone(), field.value.clone().into()))
        .collect();
    let superseded_by = match record.state {
        AlertState::SupersededBy(alert) => Some(alert.to_string()),
        AlertState::Confirmed | AlertState::Provisional | AlertState::Blind => None,
    };
    let mut object = Map::new();
    object.insert("alert".into(), record.alert.to_string().into());
    object.insert("key".into(), record.key.to_string().into());
    object.insert("revision".into(), record.revision.into());
    object.insert("rule".into(), (*record.rule).into());
    object.insert("version".into(), record.version.to_string().into());
    object.insert("title".into(), record.title.clone().into());
    object.insert("level".into(), record.level.name().into());
    object.insert("tenant".into(), record.tenant.clone().into());
    object.insert("group".into(), group.into());
    object.insert("state".into(), record.state.name().into());
    if let Some(alert) = superseded_by {
        object.insert("superseded_by".into(), alert.into());
    }
    object.insert("first".into(), rfc3339(record.first).into());
    object.insert("last".into(), rfc3339(record.last).into());
    object.insert("count".into(), record.count.into());
    object.insert("limited".into(), record.limited.into());
    if let Some(marked) = &record.marked {
        object.insert("time_mark".into(), marked.mark.name().into());
        let stated = marked.stated.map(rfc3339);
        object.insert("stated_time".into(), stated.into());
        let received = rfc3339(EventTime(marked.received.0));
        object.insert("received_time".into(), received.into());
    }
    object.insert("cause".into(), cause_json(&record.cause));
    object.insert("evidence".into(), evidence_json(record));
    object
}

fn cause_json(cause: &Cause) -> Value {
    let kind = cause.name();
    match cause {
        Cause::Event(item) | Cause::LateEvent(item) => json!({
            "kind": kind, "event": item.event.to_string(), "time": rfc3339(item.time),
        }),
        Cause::Watermark(time) => json!({ "kind": kind, "time": rfc3339(*time) }),
        Cause::Rule(version) => json!({ "kind": kind, "version": version.to_string() }),
        Cause::RuleRemoved | Cause::Upgrade | Cause::ClockRepair => json!({ "kind": kind }),
        Cause::Clock(time) | Cause::Condition(time) => {
            json!({ "kind": kind, "time": rfc3339(EventTime(time.0)) })
        }
    }
}

fn evidence_json(record: &AlertRecord) -> Value {
    let ids = |items: &[EvidenceItem]| -> Vec<String> {
        items.iter().map(|item| item.event.to_string()).collect()
    };
    json!({
        "count": record.count,
        "head": ids(&record.evidence.head),
        "tail": ids(&record.evidence.tail),
    })
}

/// An explanation, with the raw bytes of its events.
pub(crate) fn explanation_json(explanation: &AlertExplanation) -> Value {
    json!({
        "alert": record_json(&explanation.record),
        "condition": explanation.condition,
        "rule_text": explanation.rule_text,
        "events": explanation.events.iter().map(event_json).collect::<Vec<_>>(),
        "cause_event": explanation.cause.as_ref().map(event_json),
    })
}

fn event_json(event: &ExplainedEvent) -> Value {
    let mut object = json!({
        "event": event.item.event.to_string(),
        "time": rfc3339(event.item.time),
        "received": rfc3339(EventTime(event.received.0)),
        "source": event.source,
        "peer": event.peer,
        "clauses": event.clauses.iter().map(clause_json).collect::<Vec<_>>(),
    });
    if event.weight > Weight::ONE {
        object["weight"] = event.weight.get().into();
    }
    if let (Some(raw), Value::Object(fields)) = (&event.raw, &mut object) {
        let shown = &raw[..raw.len().min(RAW_BYTES_MAX)];
        fields.insert("raw".into(), STANDARD.encode(shown).into());
        fields.insert("raw_bytes".into(), raw.len().into());
        if shown.len() < raw.len() {
            fields.insert("raw_cut".into(), true.into());
        } else if let Ok(text) = std::str::from_utf8(shown) {
            fields.insert("text".into(), text.into());
        }
    }
    object
}

fn clause_json(clause: &MatchedClause) -> Value {
    json!({
        "rule": &*clause.rule,
        "clause": clause.clause,
        "field": clause.field,
        "value": clause.value,
    })
}
