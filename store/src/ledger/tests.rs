//! The ledger under honest use, refused commits, and flipped bits in its files.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use weir_schema::{
    AlertId, AlertRecord, AlertState, Cause, Change, ChangeKind, Commit, Epoch, EventId, EventTime,
    Evidence, EvidenceItem, GroupField, Level, Position, RuleVersion,
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

/// Epoch `epoch` raises or revises `alerts`, each at revision `epoch`.
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

fn export(ledger: &Ledger) -> String {
    let mut out = Vec::new();
    ledger.export(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn what_is_committed_is_read_back_after_a_restart() {
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
    for (revision, kept, before) in [
        (1, Some(0), None),
        (5, Some(1), Some(0)),
        (9, None, Some(1)),
    ] {
        let of = |place: Option<usize>| place.map(|place| history[place].clone());
        assert_eq!(
            ledger.change(id(4), revision).unwrap(),
            of(kept),
            "{revision}"
        );
        assert_eq!(
            ledger.previous(id(4), revision).unwrap(),
            of(before),
            "{revision}"
        );
    }
    assert_eq!(ledger.previous(id(99), u64::MAX).unwrap(), None);

    let owed = ledger.outbox(None, 100).unwrap();
    let expected = [commit(1, 0..10).changes, commit(5, 3..6).changes].concat();
    assert_eq!(owed, expected);
    assert_eq!(
        ledger.outbox(Some((Epoch(1), 8)), 2).unwrap(),
        expected[9..11]
    );
    assert_eq!(ledger.outbox(Some((Epoch(5), 2)), 2).unwrap(), []);
    let newest: Vec<_> = expected.iter().rev().take(4).cloned().collect();
    assert_eq!(ledger.newest(4).unwrap(), newest);

    let all = ledger.records(None, 100).unwrap();
    assert_eq!(all.len(), 10);
    assert!(all.is_sorted_by_key(|record| record.alert));
    assert_eq!(ledger.records(Some(all[3].alert), 2).unwrap(), all[4..6]);
    assert!(ledger.size_bytes().unwrap() > 0);
}

/// A refused commit leaves the ledger as it was.
fn check_refused(commit: &Commit, is_right: impl Fn(&LedgerError) -> bool) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.commit(&self::commit(3, 0..4)).unwrap();
    let before = export(&ledger);
    let error = ledger.commit(commit).unwrap_err();
    assert!(is_right(&error), "{error:?}");
    assert_eq!(export(&ledger), before);
    ledger.commit(&self::commit(4, 2..6)).unwrap();
    drop(ledger);
    Ledger::open(dir.path()).unwrap();
}

#[test]
fn a_commit_that_breaks_a_law_is_refused_whole() {
    let not_new = |error: &LedgerError| matches!(error, LedgerError::EpochNotNew { .. });
    check_refused(&commit(3, 0..4), not_new);
    check_refused(&commit(2, 7..9), not_new);

    let taken = |error: &LedgerError| matches!(error, LedgerError::RevisionTaken { .. });
    let mut again = commit(4, 7..9);
    again.changes.push(change(4, 2, 1, 3)); // Revision 3 of alert 1 was said in epoch 3.
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
fn two_ledgers_fed_alike_export_alike_however_they_were_restarted() {
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
fn a_value_under_another_key_does_not_pass() {
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
    assert!(matches!(opened, Err(OpenLedger::Damaged { .. })));
}

#[test]
fn a_key_that_is_gone_or_of_another_time_is_noticed() {
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
        assert!(matches!(opened, Err(OpenLedger::Damaged { .. })), "{stale}");
    }
}

#[test]
fn the_outbox_keeps_the_newest_rows_and_alerts_stay() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open_keeping(dir.path(), 3).unwrap();
    for epoch in 1..=4 {
        ledger
            .commit(&commit(epoch, [epoch * 10, epoch * 10 + 1]))
            .unwrap();
        assert_eq!(
            ledger.outbox(None, 10).unwrap().len(),
            (epoch as usize * 2).min(3)
        );
    }
    let places = |ledger: &Ledger| -> Vec<(u64, u32)> {
        let rows = ledger.outbox(None, 10).unwrap();
        rows.iter().map(|row| (row.epoch.0, row.ordinal)).collect()
    };
    assert_eq!(places(&ledger), [(3, 1), (4, 0), (4, 1)]);
    assert_eq!(
        (
            ledger.history(id(10)).unwrap().len(),
            ledger.records(None, 99).unwrap().len()
        ),
        (1, 8)
    );
    for (after, is_gap) in [
        ((Epoch(0), 0), true),
        ((Epoch(2), 1), true),
        ((Epoch(3), 1), false),
    ] {
        let read = ledger.outbox_rows(after, 10).unwrap();
        assert_eq!(
            (read.has_gap, read.changes.is_empty()),
            (is_gap, false),
            "{after:?}"
        );
    }
    // It holds after a restart, and goes on as before.
    ledger.sync().unwrap();
    drop(ledger);
    let ledger = Ledger::open_keeping(dir.path(), 3).unwrap();
    ledger.commit(&commit(5, [50])).unwrap();
    assert_eq!(places(&ledger), [(4, 0), (4, 1), (5, 0)]);
    // An epoch with more than fit is kept whole: what is new is owed.
    ledger.commit(&commit(6, 60..65)).unwrap();
    assert_eq!(ledger.outbox(None, 10).unwrap().len(), 5);
    ledger.commit(&commit(7, [70])).unwrap();
    assert_eq!(ledger.outbox(None, 10).unwrap().len(), 3);
}

#[test]
fn a_ledger_in_use_is_not_taken_for_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Ledger::open(dir.path()).unwrap();
    let second = Ledger::open(dir.path());
    assert!(
        matches!(second, Err(OpenLedger::InUse { .. })),
        "{second:?}"
    );
}

#[test]
fn a_ledger_is_set_aside_under_a_name_of_its_own() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("ledger");
    for expected in ["ledger-epoch-7", "ledger-epoch-7-1"] {
        drop(Ledger::open(&dir).unwrap());
        let moved = set_aside(&dir, "epoch/7").unwrap();
        assert_eq!(moved, parent.path().join("quarantine").join(expected));
        assert!(moved.exists() && !dir.exists());
    }
    assert_eq!(check(&dir).unwrap().keys, 0);
}

const CHILD_FOLDER: &str = "WEIR_TEST_CHECK_LEDGER";

/// Not a test by itself: the process that checks a ledger for the test below, since sled may take
/// it down.
#[test]
fn child_that_checks_a_ledger() {
    if let Some(dir) = env::var_os(CHILD_FOLDER) {
        check(Path::new(&dir)).unwrap();
    }
}

fn checked_in_child(dir: &Path, limit_s: u64) -> Result<(), String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "ledger::tests::child_that_checks_a_ledger"])
        .env(CHILD_FOLDER, dir);
    check_in_child(command, Duration::from_secs(limit_s)).unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy_folder(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}

/// Flips one bit of some file of the store, half the time in a byte that is not zero.
fn flip(dir: &Path, seed: u64) -> String {
    let random = |salt: u64, below: u64| {
        let hash = EventId::of(&[&seed.to_le_bytes(), &salt.to_le_bytes()]);
        hash.0[0] % below
    };
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.is_file()).collect();
    files.sort();
    // One time in five any file, else the one that holds the data.
    let path = match random(0, 5) {
        0 => &files[random(1, files.len() as u64) as usize],
        _ => files.iter().find(|path| path.ends_with("db")).unwrap(),
    };
    let mut bytes = fs::read(path).unwrap();
    let candidates: Vec<_> = match seed % 2 {
        0 => (0..bytes.len()).filter(|at| bytes[*at] != 0).collect(),
        _ => (0..bytes.len()).collect(),
    };
    let Some(at) = candidates.get(random(2, candidates.len().max(1) as u64) as usize) else {
        return format!("seed {seed}: nothing to flip in {}", path.display());
    };
    bytes[*at] ^= 1 << random(3, 8);
    fs::write(path, &bytes).unwrap();
    format!("seed {seed}: byte {at} of {}", path.display())
}

#[test]
fn flipped_bits_are_detected_or_leave_a_ledger_that_some_epoch_had() {
    const TRIES: u64 = 100;
    let source = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(source.path()).unwrap();
    let mut at_epoch = vec![export(&ledger)];
    for epoch in 1..=30 {
        ledger
            .commit(&commit(epoch, epoch % 11..epoch % 11 + 12))
            .unwrap();
        at_epoch.push(export(&ledger));
    }
    ledger.sync().unwrap();
    drop(ledger);
    checked_in_child(source.path(), 60).unwrap();

    let mut detected = 0;
    for seed in 0..TRIES {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("ledger");
        copy_folder(source.path(), &dir);
        let what = flip(&dir, seed);
        if checked_in_child(&dir, 10).is_err() {
            detected += 1;
            set_aside(&dir, "flipped").unwrap();
            continue;
        }
        let ledger = Ledger::open(&dir).unwrap();
        let epoch = ledger.applied().0 as usize;
        assert_eq!(Some(&export(&ledger)), at_epoch.get(epoch), "{what}");
    }
    // How much of sled's files is in use depends on when its own threads write. What must hold is
    // above; this only shows that flips do hit what is in use.
    assert!(
        detected >= TRIES / 20,
        "only {detected} flips touched anything"
    );
}

const FEED_FOLDER: &str = "WEIR_TEST_FEED_LEDGER";

/// What the process that is killed commits at `epoch`.
fn fed(epoch: u64) -> Commit {
    commit(epoch, epoch % 11..epoch % 11 + 12)
}

/// Not a test by itself: the process that the test below kills.
#[test]
fn child_that_feeds_a_ledger_until_it_is_killed() {
    let Some(dir) = env::var_os(FEED_FOLDER) else {
        return;
    };
    let ledger = Ledger::open(Path::new(&dir)).unwrap();
    for epoch in ledger.applied().0 + 1.. {
        ledger.commit(&fed(epoch)).unwrap();
        if epoch % 5 == 0 {
            ledger.sync().unwrap();
        }
        println!("applied {epoch}");
    }
}

#[test]
fn a_ledger_whose_process_is_killed_holds_whole_epochs() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, twin) = (parent.path().join("ledger"), parent.path().join("twin"));
    let twin = Ledger::open(&twin).unwrap();
    let mut before = 0;
    for (round, lines) in [1, 7, 23, 4, 60, 2, 31, 12, 90, 5].into_iter().enumerate() {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "ledger::tests::child_that_feeds_a_ledger_until_it_is_killed",
            ])
            .arg("--nocapture")
            .env(FEED_FOLDER, &dir)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let applied = said
            .map(Result::unwrap)
            .filter(|line| line.contains("applied"));
        assert_eq!(applied.take(lines).count(), lines, "round {round}");
        child.kill().unwrap();
        child.wait().unwrap();

        checked_in_child(&dir, 60).unwrap();
        let ledger = Ledger::open(&dir).unwrap();
        let now = ledger.applied().0;
        // What was synced is there: all but the last five epochs that the child told of.
        assert!(
            now + 5 >= before + lines as u64,
            "round {round}: {before} to {now}"
        );
        for epoch in twin.applied().0 + 1..=now {
            twin.commit(&fed(epoch)).unwrap();
        }
        assert_eq!(export(&ledger), export(&twin), "round {round}");
        before = now;
    }
}
