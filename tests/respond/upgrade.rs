//! A real server on a ledger of another reading: stream and sink receive the differences, once.

use std::collections::BTreeMap;
use std::path::Path;

use weir_schema::{AlertId, AlertRecord, Change, ChangeKind, Commit, Epoch, READING_NUMBER};
use weir_store::ledger::Ledger;

use super::consumer::Consumer;
use super::support::command::{finish, weir as run_weir};
use super::support::http::{Request, next_message};
use super::support::{Weir, config, until};
use super::{ago, raise, sink, types};

/// Makes another reading of the ledger: it told `surplus`, and did not tell the alert of `lacking`.
/// Returns the cursor of its last row.
fn rewrite(data: &Path, lacking: &str) -> String {
    let ledger = Ledger::open(&data.join("ledger")).expect("it is closed");
    let records = ledger.records(None, 100).expect("it can be read");
    let of_user = |record: &&AlertRecord| record.group.iter().any(|field| field.value == lacking);
    let lacking = records.iter().find(of_user).expect("it stands").clone();
    let mut surplus = lacking.clone();
    surplus.alert = AlertId::of(&[b"surplus"]);
    (surplus.key, surplus.revision) = (surplus.alert, 1);
    surplus.group[0].value = "surplus".to_owned();
    surplus.evidence.head.clear();
    let ended = AlertRecord {
        standing: false,
        revision: lacking.revision + 1,
        ..lacking
    };
    let epoch = Epoch(ledger.applied().0 + 1);
    let changes = [
        (ChangeKind::Raised, surplus),
        (ChangeKind::Retracted, ended),
    ];
    let changes: Vec<Change> = (0..)
        .zip(changes)
        .map(|(ordinal, (kind, record))| Change {
            kind,
            epoch,
            ordinal,
            supersedes: Vec::new(),
            record,
        })
        .collect();
    let mut records: Vec<_> = changes.iter().map(|change| change.record.clone()).collect();
    records.sort_by_key(|record| record.alert);
    let commit = Commit {
        epoch,
        changes,
        records,
    };
    let changed = ledger.change_reading(READING_NUMBER - 1, &commit, &BTreeMap::new());
    changed.expect("the ledger takes it");
    ledger.sync().expect("it is durable");
    format!("{}-1", epoch.0)
}

/// The next two changes of the stream after a cursor, by user: both are of the upgrade.
fn upgrade_changes(weir: &Weir, after: &str) -> BTreeMap<String, String> {
    let request = Request::new("GET", "/api/v1/stream/alerts").token(&weir.token);
    let opened = request.header("Last-Event-ID", after).open(weir.http);
    let (_, mut stream) = opened.expect("a reply");
    let next = |_| {
        let message = next_message(&mut stream).expect("the stream goes on");
        assert_eq!(message.data["cause"]["kind"], "upgrade", "{message:?}");
        let user = message.data["group"]["user"].as_str().unwrap_or_default();
        (user.to_owned(), message.event)
    };
    (0..2).map(next).collect()
}

#[test]
fn a_ledger_of_another_reading_tells_its_differences_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let consumer = Consumer::start(&[]);
    let config = config(&sink("soar", "webhook", &consumer.url(), ""));
    let received = |count: usize| {
        until("the sink receives", || {
            let types = types(&consumer.received());
            (types.len() >= count).then_some(types)
        })
    };
    let pair = |kind: &str, user: &str| (format!("alert.{kind}"), user.to_owned());
    let weir = Weir::start(&data, &config);
    raise(&weir, ago(60), "alice");
    raise(&weir, ago(50), "bob");
    let mut before = received(2);
    before.sort();
    assert_eq!(before, [pair("raised", "alice"), pair("raised", "bob")]);
    weir.stop();
    // A start seals an epoch that changes no row, so the journal has one for the rewritten rows.
    Weir::start(&data, &config).stop();
    let cursor = rewrite(&data, "bob");

    // The rows that the other reading told last are delivered, then the differences. A kill at any
    // time repeats deliveries at most.
    let weir = Weir::start(&data, &config);
    let expected = [("bob", "raised"), ("surplus", "retracted")];
    let expected = expected.map(|(user, kind)| (user.to_owned(), kind.to_owned()));
    assert_eq!(upgrade_changes(&weir, &cursor), BTreeMap::from(expected));
    let after = received(6)[2..].to_vec();
    let count = |kind: &str, user: &str| {
        let wanted = pair(kind, user);
        after.iter().filter(|found| **found == wanted).count()
    };
    assert_eq!(
        (count("raised", "surplus"), count("retracted", "surplus")),
        (1, 1)
    );
    assert_eq!((count("retracted", "bob"), count("raised", "bob")), (1, 1));
    weir.stop();

    // Nothing is told again; what comes next is the next thing that happens.
    let weir = Weir::start(&data, &config);
    raise(&weir, ago(20), "carol");
    assert_eq!(received(7)[6..], [pair("raised", "carol")]);
    weir.stop();
    let verified = finish(run_weir(["verify", "--ledger", "--data-dir"]).arg(&data));
    verified.assert_success();
    assert!(
        verified.out.contains("standing alerts equal"),
        "{}",
        verified.out
    );
}
