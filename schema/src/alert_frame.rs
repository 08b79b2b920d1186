//! Binary frames of alert streams: changes of alerts as FlatBuffers.
//!
//! Run `schema/generate.sh` after an edit of `schema/alert.fbs`.

use flatbuffers::{FlatBufferBuilder, InvalidFlatbuffer};

use crate::alert::{AlertState, Cause, Change, ChangeKind, EvidenceItem};
use crate::outbox::Cursor;
use crate::rule;

#[allow(
    unsafe_code,
    unused,
    deprecated,
    mismatched_lifetime_syntaxes,
    unsafe_op_in_unsafe_fn,
    clippy::all
)]
#[rustfmt::skip]
#[path = "generated/alert.rs"]
mod generated;

pub use generated::weir::alerts::*;

/// The content type of a stream or body of these frames.
pub const MEDIA_TYPE: &str = "application/vnd.weir.alerts+flatbuffers";

/// Longest frame without its length prefix. Texts of an event have at most 64 KiB.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// Encodes a change with its length prefix. `kind` is the kind as which the change is emitted.
#[must_use]
pub fn encode(change: &Change, kind: ChangeKind) -> Vec<u8> {
    let record = &change.record;
    let mut builder = FlatBufferBuilder::new();
    let group: Vec<_> = record
        .group
        .iter()
        .map(|field| {
            let name = Some(builder.create_string(&field.name));
            let value = Some(builder.create_string(&field.value));
            GroupField::create(&mut builder, &GroupFieldArgs { name, value })
        })
        .collect();
    let superseded_by = match record.state {
        AlertState::SupersededBy(alert) => Some(id(alert.0)),
        AlertState::Confirmed | AlertState::Provisional | AlertState::Blind => None,
    };
    let (cause, cause_event, cause_time_ns, cause_version) = cause(&record.cause);
    let supersedes: Vec<Id> = change.supersedes.iter().map(|alert| id(alert.0)).collect();
    let items = |items: &[EvidenceItem]| -> Vec<Item> {
        let item = |item: &EvidenceItem| Item::new(&id(item.event.0), item.time.0);
        items.iter().map(item).collect()
    };
    let (head, tail) = (items(&record.evidence.head), items(&record.evidence.tail));
    let args = AlertChangeArgs {
        epoch: change.epoch.0,
        ordinal: change.ordinal,
        kind: frame_kind(kind),
        alert: Some(&id(record.alert.0)),
        revision: record.revision,
        rule: Some(builder.create_string(&record.rule)),
        version: record.version.0,
        title: Some(builder.create_string(&record.title)),
        level: level(record.level),
        tenant: Some(builder.create_string(&record.tenant)),
        group: Some(builder.create_vector(&group)),
        state: state(record.state),
        superseded_by: superseded_by.as_ref(),
        first_ns: record.first.0,
        last_ns: record.last.0,
        count: record.count,
        limited: record.limited,
        cause,
        cause_event: cause_event.as_ref(),
        cause_time_ns,
        cause_version,
        supersedes: Some(builder.create_vector(&supersedes)),
        head: Some(builder.create_vector(&head)),
        tail: Some(builder.create_vector(&tail)),
        ..AlertChangeArgs::default()
    };
    let change = AlertChange::create(&mut builder, &args);
    builder.finish_size_prefixed(change, None);
    builder.finished_data().to_vec()
}

/// Encodes a gap: rows after `from` and before `to` are gone, and the consumer has not received
/// them.
#[must_use]
pub fn encode_gap(from: Cursor, to: Cursor) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let args = AlertChangeArgs {
        epoch: to.epoch.0,
        ordinal: to.ordinal,
        kind: Kind::Gap,
        alert: Some(&id([0; 2])),
        rule: Some(builder.create_string("")),
        gap_epoch: from.epoch.0,
        gap_ordinal: from.ordinal,
        ..AlertChangeArgs::default()
    };
    let gap = AlertChange::create(&mut builder, &args);
    builder.finish_size_prefixed(gap, None);
    builder.finished_data().to_vec()
}

/// Verifies and decodes a frame with its length prefix.
pub fn decode(frame: &[u8]) -> Result<AlertChange<'_>, InvalidFlatbuffer> {
    flatbuffers::size_prefixed_root::<AlertChange<'_>>(frame)
}

fn id(words: [u64; 2]) -> Id {
    Id::new(words[0], words[1])
}

fn frame_kind(kind: ChangeKind) -> Kind {
    match kind {
        ChangeKind::Raised => Kind::Raised,
        ChangeKind::Revised => Kind::Revised,
        ChangeKind::Retracted => Kind::Retracted,
    }
}

fn level(level: rule::Level) -> Level {
    match level {
        rule::Level::Informational => Level::Informational,
        rule::Level::Low => Level::Low,
        rule::Level::Medium => Level::Medium,
        rule::Level::High => Level::High,
        rule::Level::Critical => Level::Critical,
    }
}

fn state(state: AlertState) -> State {
    match state {
        AlertState::Confirmed => State::Confirmed,
        AlertState::Provisional => State::Provisional,
        AlertState::SupersededBy(_) => State::Superseded,
        AlertState::Blind => State::Blind,
    }
}

fn cause(cause: &Cause) -> (CauseKind, Option<Id>, i64, u64) {
    match cause {
        Cause::Event(item) => (CauseKind::Event, Some(id(item.event.0)), item.time.0, 0),
        Cause::LateEvent(item) => {
            let event = Some(id(item.event.0));
            (CauseKind::LateEvent, event, item.time.0, 0)
        }
        Cause::Watermark(time) => (CauseKind::Watermark, None, time.0, 0),
        Cause::Rule(version) => (CauseKind::Rule, None, 0, version.0),
        Cause::RuleRemoved => (CauseKind::RuleRemoved, None, 0, 0),
        Cause::Clock(time) => (CauseKind::Clock, None, time.0, 0),
        Cause::Condition(time) => (CauseKind::Condition, None, time.0, 0),
        Cause::Upgrade => (CauseKind::Upgrade, None, 0, 0),
        Cause::ClockRepair => (CauseKind::ClockRepair, None, 0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{AlertRecord, Evidence};
    use crate::id::{AlertId, BatchSeq, Epoch, EventId, Position, RuleVersion};
    use crate::time::EventTime;

    fn change() -> Change {
        let item = EvidenceItem {
            time: EventTime(11),
            event: EventId([1, 2]),
            position: Position::new(BatchSeq(0), 0),
        };
        let field = |name: &str, value: &str| crate::GroupField {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        Change {
            kind: ChangeKind::Revised,
            epoch: Epoch(7),
            ordinal: 3,
            supersedes: vec![AlertId([5, 6])],
            record: AlertRecord {
                alert: AlertId([3, 4]),
                key: AlertId([3, 4]),
                revision: 2,
                standing: true,
                raised: Epoch(1),
                rule: "r".into(),
                version: RuleVersion(9),
                title: "Titel: größer".to_owned(),
                level: rule::Level::High,
                tenant: "default".to_owned(),
                group: vec![field("user", "alice"), field("empty", "")],
                state: AlertState::Confirmed,
                first: EventTime(-5),
                last: EventTime(11),
                count: 5,
                limited: true,
                supersedes: Vec::new(),
                evidence: Evidence {
                    head: vec![item; 2],
                    tail: vec![item],
                },
                cause: Cause::LateEvent(item),
                marked: None,
            },
        }
    }

    #[test]
    fn change_round_trips() {
        let frame = encode(&change(), ChangeKind::Retracted);
        let length = u32::from_le_bytes(*frame.first_chunk().unwrap());
        assert_eq!(length as usize, frame.len() - 4);
        let read = decode(&frame).unwrap();
        assert_eq!((read.epoch(), read.ordinal(), read.revision()), (7, 3, 2));
        assert_eq!((read.kind(), read.level()), (Kind::Retracted, Level::High));
        assert_eq!((read.alert().high(), read.alert().low()), (3, 4));
        assert_eq!((read.rule(), read.title()), ("r", Some("Titel: größer")));
        assert_eq!((read.first_ns(), read.last_ns(), read.count()), (-5, 11, 5));
        assert!(read.limited() && read.superseded_by().is_none());
        assert_eq!(read.cause(), CauseKind::LateEvent);
        assert_eq!(
            (read.cause_event().unwrap().low(), read.cause_time_ns()),
            (2, 11)
        );
        let group: Vec<_> = read
            .group()
            .unwrap()
            .iter()
            .map(|f| (f.name(), f.value()))
            .collect();
        assert_eq!(group, [("user", "alice"), ("empty", "")]);
        assert_eq!(read.supersedes().unwrap().get(0).high(), 5);
        assert_eq!(
            (read.head().unwrap().len(), read.tail().unwrap().len()),
            (2, 1)
        );
    }

    #[test]
    fn gap_round_trips() {
        let cursor = |epoch, ordinal| Cursor {
            epoch: Epoch(epoch),
            ordinal,
        };
        let frame = encode_gap(cursor(3, 7), cursor(9, 1));
        let read = decode(&frame).unwrap();
        assert_eq!((read.kind(), read.rule()), (Kind::Gap, ""));
        assert_eq!((read.gap_epoch(), read.gap_ordinal()), (3, 7));
        assert_eq!((read.epoch(), read.ordinal()), (9, 1));
    }

    /// Reads frames of an older writer, which knows only the first fields, and of a newer one.
    #[test]
    fn decode_other_schema_versions() {
        const FIRST_NEW_SLOT: u16 = AlertChange::VT_GAP_ORDINAL + 2;
        for later in [false, true] {
            let mut builder = FlatBufferBuilder::new();
            let text = builder.create_string("text");
            let table = builder.start_table();
            builder.push_slot::<u64>(AlertChange::VT_EPOCH, 7, 0);
            builder.push_slot_always(AlertChange::VT_ALERT, Id::new(3, 4));
            builder.push_slot_always(AlertChange::VT_RULE, text);
            if later {
                builder.push_slot_always(AlertChange::VT_KIND, 200_u8);
                builder.push_slot_always(FIRST_NEW_SLOT, text);
                builder.push_slot_always(FIRST_NEW_SLOT + 2, 5_u64);
            }
            let table = builder.end_table(table);
            let root = flatbuffers::WIPOffset::<AlertChange<'_>>::new(table.value());
            builder.finish_size_prefixed(root, None);
            let read = decode(builder.finished_data()).unwrap();
            assert_eq!(
                (read.epoch(), read.alert().low(), read.rule()),
                (7, 4, "text")
            );
            assert_eq!(
                (read.count(), read.title(), read.level()),
                (0, None, Level::Unknown)
            );
            assert_eq!(read.kind().variant_name().is_none(), later);
        }
    }

    #[test]
    fn decode_damaged_frames() {
        let frame = encode(&change(), ChangeKind::Raised);
        for end in 0..frame.len() {
            assert!(
                decode(&frame[..end]).is_err() || end + 8 > frame.len(),
                "{end}"
            );
        }
        for at in 4..frame.len() {
            let mut other = frame.clone();
            other[at] ^= 0x55;
            // The content does not matter, but reading it must not panic.
            if let Ok(read) = decode(&other) {
                let _ = (
                    read.rule(),
                    read.group().map(|group| group.len()),
                    read.alert(),
                );
            }
        }
    }
}
