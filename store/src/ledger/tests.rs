//! Tests of the ledger: commits, refusals, the outbox, and damaged pairs.

mod crash;

use weir_schema::outbox::Cursor;
use weir_schema::{
    AlertId, AlertRecord, AlertState, Cause, Change, ChangeKind, Commit, Epoch, EventId, EventTime,
    Evidence, EvidenceItem, GroupField, Level, MarkedTimes, Position, ReceiveTime, RuleVersion,
    TimeMark,
};

use super::*;

fn id(n: u64) -> AlertId {
    AlertId::of(&[&n.to_le_bytes()])
}

fn record(alert: u64, revision: u64) -> AlertRecord {
    let item = |n: u64| EvidenceItem {
        time: EventTime(n as i64),
        event: EventId::of(&[&n.to_le_bytes(), &alert.to_le_bytes()]),
        position: Position(n),
    };
    AlertRecord {
        alert: id(alert),
        key: id(alert),
        revision,
        standing: true,
        raised: Epoch(1),
        rule: "a-rule".into(),
        version: RuleVersion(9),
        title: "Too many failed logins".into(),
        level: Level::High,
        tenant: "default".into(),
        group: vec![GroupField {
            name: "host".into(),
            value: format!("host-{alert}"),
        }],
        state: AlertState::Confirmed,
        first: EventTime(1),
        last: EventTime(2),
        count: revision,
        limited: false,
        supersedes: vec![],
        evidence: Evidence {
            head: (0..20).map(item).collect(),
            tail: vec![],
        },
        cause: Cause::Event(item(revision)),
        marked: None,
    }
}

fn change(epoch: u64, ordinal: u32, alert: u64, revision: u64) -> Change {
    Change {
        kind: ChangeKind::Revised,
        epoch: Epoch(epoch),
        ordinal,
        supersedes: vec![],
        record: record(alert, revision),
    }
}

/// A commit in which `epoch` revises `alerts`, each to revision `epoch`.
fn commit(epoch: u64, alerts: impl IntoIterator<Item = u64>) -> Commit {
    let changes: Vec<_> = alerts
        .into_iter()
        .enumerate()
        .map(|(ordinal, alert)| change(epoch, ordinal as u32, alert, epoch))
        .collect();
    Commit {
        epoch: Epoch(epoch),
        records: changes.iter().map(|change| change.record.clone()).collect(),
        changes,
    }
}

fn row(epoch: u64, ordinal: u32) -> Cursor {
    Cursor {
        epoch: Epoch(epoch),
        ordinal,
    }
}

fn export(ledger: &Ledger) -> String {
    let mut out = Vec::new();
    ledger.export(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn read_commits_after_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    assert_eq!((ledger.applied(), ledger.is_empty()), (Epoch(0), true));
    ledger.commit(&commit(1, 0..10)).unwrap();
    ledger.commit(&commit(5, 3..6)).unwrap();
    ledger.commit(&commit(6, [])).unwrap();
    ledger.sync().unwrap();
    let before = (export(&ledger), ledger.digest().unwrap(), ledger.len());
    drop(ledger);

    let ledger = Ledger::open(dir.path()).unwrap();
    let after = (export(&ledger), ledger.digest().unwrap(), ledger.len());
    assert_eq!(before, after);
    assert_eq!(ledger.applied(), Epoch(6));
    assert_eq!(ledger.record(id(4)).unwrap(), Some(record(4, 5)));
    assert_eq!(ledger.record(id(99)).unwrap(), None);
    let history = ledger.history(id(4)).unwrap();
    assert_eq!(history, [change(1, 4, 4, 1), change(5, 1, 4, 5)]);
    for (revision, stored, previous) in [
        (1, Some(0), None),
        (5, Some(1), Some(0)),
        (9, None, Some(1)),
    ] {
        let change = |index: Option<usize>| index.map(|index| history[index].clone());
        assert_eq!(
            ledger.change(id(4), revision).unwrap(),
            change(stored),
            "{revision}"
        );
        assert_eq!(
            ledger.previous_revision(id(4), revision).unwrap(),
            change(previous),
            "{revision}"
        );
    }
    assert_eq!(ledger.previous_revision(id(99), u64::MAX).unwrap(), None);

    let rows = ledger.outbox(None, 100).unwrap();
    let expected = [commit(1, 0..10).changes, commit(5, 3..6).changes].concat();
    assert_eq!(rows, expected);
    let after = |epoch, ordinal| ledger.outbox(Some(row(epoch, ordinal)), 2).unwrap();
    assert_eq!(after(1, 8), expected[9..11]);
    assert_eq!(after(5, 2), []);
    let newest: Vec<_> = expected.iter().rev().take(4).cloned().collect();
    assert_eq!(ledger.newest_changes(4).unwrap(), newest);

    let all = ledger.records(None, 100).unwrap();
    assert_eq!(all.len(), 10);
    assert!(all.is_sorted_by_key(|record| record.alert));
    assert_eq!(ledger.records(Some(all[3].alert), 2).unwrap(), all[4..6]);
    assert!(ledger.size_bytes().unwrap() > 0);
}

/// Checks that the ledger refuses a commit and does not change.
fn check_refused(commit: &Commit, is_expected: impl Fn(&LedgerError) -> bool) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.commit(&self::commit(3, 0..4)).unwrap();
    let before = export(&ledger);
    let error = ledger.commit(commit).unwrap_err();
    assert!(is_expected(&error), "{error:?}");
    assert_eq!(export(&ledger), before);
    ledger.commit(&self::commit(4, 2..6)).unwrap();
    drop(ledger);
    Ledger::open(dir.path()).unwrap();
}

#[test]
fn refuse_invalid_commits() {
    let not_new = |error: &LedgerError| matches!(error, LedgerError::EpochNotNew { .. });
    check_refused(&commit(3, 0..4), not_new);
    check_refused(&commit(2, 7..9), not_new);

    let taken = |error: &LedgerError| matches!(error, LedgerError::RevisionTaken { .. });
    let mut again = commit(4, 7..9);
    again.changes.push(change(4, 2, 1, 3)); // Epoch 3 committed revision 3 of alert 1.
    check_refused(&again, taken);
    let mut twice = commit(4, 7..9);
    twice.changes.push(change(4, 2, 7, 4));
    check_refused(&twice, taken);

    let order = |error: &LedgerError| matches!(error, LedgerError::OutOfOrder { .. });
    let mut other_epoch = commit(4, 7..9);
    other_epoch.changes[1].epoch = Epoch(5);
    check_refused(&other_epoch, order);
    let mut same_ordinal = commit(4, 7..9);
    same_ordinal.changes[1].ordinal = 0;
    check_refused(&same_ordinal, order);
    let mut record_twice = commit(4, 7..9);
    record_twice.records.push(record(7, 5));
    check_refused(&record_twice, order);
}

#[test]
fn export_does_not_depend_on_restarts() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Ledger::open(one.path()).unwrap();
    for epoch in 1..40 {
        let commit = commit(epoch, epoch % 7..epoch % 7 + 5);
        first.commit(&commit).unwrap();
        let second = Ledger::open(two.path()).unwrap();
        second.commit(&commit).unwrap();
        if epoch % 10 == 0 {
            assert_eq!(export(&first), export(&second));
            assert_eq!(first.digest().unwrap(), second.digest().unwrap());
        }
    }
}

#[test]
fn detect_value_under_wrong_key() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.commit(&commit(1, 0..2)).unwrap();
    let (one, two) = (codec::record_key(id(0)), codec::record_key(id(1)));
    let value = ledger.db.get(&one).unwrap().unwrap();
    ledger.db.insert(&two, value).unwrap();
    assert!(matches!(
        ledger.record(id(1)),
        Err(LedgerError::Damaged { .. })
    ));
    drop(ledger);
    let opened = Ledger::open(dir.path());
    assert!(matches!(opened, Err(OpenLedgerError::Damaged { .. })));
}

#[test]
fn detect_missing_and_stale_pairs() {
    for stale in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger.commit(&commit(1, 0..2)).unwrap();
        let key = codec::record_key(id(1));
        let old = ledger.db.get(&key).unwrap().unwrap();
        ledger.commit(&commit(2, 0..2)).unwrap();
        if stale {
            ledger.db.insert(&key, old).unwrap();
        } else {
            ledger.db.remove(&key).unwrap();
        }
        drop(ledger);
        let opened = Ledger::open(dir.path());
        assert!(
            matches!(opened, Err(OpenLedgerError::Damaged { .. })),
            "{stale}"
        );
    }
}

#[test]
fn outbox_drops_oldest_rows_only() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open_with_outbox(dir.path(), 3).unwrap();
    for epoch in 1..=4 {
        ledger
            .commit(&commit(epoch, [epoch * 10, epoch * 10 + 1]))
            .unwrap();
        assert_eq!(
            ledger.outbox(None, 10).unwrap().len(),
            (epoch as usize * 2).min(3)
        );
    }
    let rows = |ledger: &Ledger| -> Vec<(u64, u32)> {
        let rows = ledger.outbox(None, 10).unwrap();
        rows.iter().map(|row| (row.epoch.0, row.ordinal)).collect()
    };
    assert_eq!(rows(&ledger), [(3, 1), (4, 0), (4, 1)]);
    assert_eq!(
        (
            ledger.history(id(10)).unwrap().len(),
            ledger.records(None, 99).unwrap().len()
        ),
        (1, 8)
    );
    for (after, is_gap) in [(row(0, 0), true), (row(2, 1), true), (row(3, 1), false)] {
        let read = ledger.outbox_rows(after, 10).unwrap();
        assert_eq!(
            (read.has_gap, read.changes.is_empty()),
            (is_gap, false),
            "{after}"
        );
    }
    // The limit also holds after a restart.
    ledger.sync().unwrap();
    drop(ledger);
    let ledger = Ledger::open_with_outbox(dir.path(), 3).unwrap();
    ledger.commit(&commit(5, [50])).unwrap();
    assert_eq!(rows(&ledger), [(4, 0), (4, 1), (5, 0)]);
    // An epoch over the limit keeps all its rows: they are not delivered yet.
    ledger.commit(&commit(6, 60..65)).unwrap();
    assert_eq!(ledger.outbox(None, 10).unwrap().len(), 5);
    ledger.commit(&commit(7, [70])).unwrap();
    assert_eq!(ledger.outbox(None, 10).unwrap().len(), 3);
}

#[test]
fn open_ledger_in_use_is_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Ledger::open(dir.path()).unwrap();
    let second = Ledger::open(dir.path());
    assert!(
        matches!(second, Err(OpenLedgerError::InUse { .. })),
        "{second:?}"
    );
}

#[test]
fn quarantine_under_unique_names() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("ledger");
    for expected in ["ledger-epoch-7", "ledger-epoch-7-1"] {
        drop(Ledger::open(&dir).unwrap());
        let moved = quarantine(&dir, "epoch/7").unwrap();
        assert_eq!(moved, parent.path().join("quarantine").join(expected));
        assert!(moved.exists() && !dir.exists());
    }
    assert_eq!(check(&dir).unwrap().keys, 0);
}

/// Ledgers of versions before marks have rows without that field; rows without a mark still have none.
#[test]
fn rows_without_a_mark_are_those_of_versions_that_knew_none() {
    let plain = record(1, 1);
    let marked = AlertRecord {
        marked: Some(MarkedTimes {
            mark: TimeMark::NotCredible,
            stated: Some(EventTime(4_294_967_295_000_000_000)),
            received: ReceiveTime(7),
        }),
        ..plain.clone()
    };
    let key = codec::record_key(plain.alert);
    let encode = |record: &AlertRecord| codec::encode(&key, Epoch(1), record).unwrap();
    let (before, after) = (encode(&plain), encode(&marked));
    let body = |value: &[u8]| codec::body(&key, value).unwrap().to_vec();
    // Nothing is added where there is no mark, and the mark comes after all else.
    assert!(body(&after).starts_with(&body(&before)));
    assert!(body(&after).len() > body(&before).len());
    assert_eq!(codec::decode::<AlertRecord>(&key, &before), Some(plain));
    assert_eq!(codec::decode::<AlertRecord>(&key, &after), Some(marked));
}
