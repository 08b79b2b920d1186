//! A ledger of another reading: its rows are replaced once, and exactly the differences are told.

#[path = "support/graph.rs"]
mod graph;

use std::collections::BTreeMap;

use graph::{START, TestGraph};
use rand::SeedableRng;
use rand::rngs::StdRng;
use weir_schema::{
    AlertId, AlertRecord, Cause, Change, ChangeKind, Commit, Control, Epoch, Evidence,
    READING_NUMBER,
};
use weir_store::ledger::Ledger;

/// The ids of alerts that another reading told otherwise.
struct OtherReading {
    /// It stands, and this reading does not raise it.
    surplus: AlertId,
    /// It does not stand, and this reading raises it.
    lacking: AlertId,
    /// It has another count.
    counted: AlertId,
    /// An alert of another key, with the events of an alert of this reading.
    members: AlertId,
    /// An alert of another id, with the key of an alert of this reading.
    key: AlertId,
    /// The alerts of this reading that continue those two.
    continued: [AlertRecord; 2],
}

fn recorded() -> Control {
    Control::Reading {
        number: READING_NUMBER,
    }
}

/// A graph that has seen some epochs of events.
fn graph_with_events(workers: usize) -> (TestGraph, StdRng) {
    let mut graph = TestGraph::new(workers);
    let mut rng = StdRng::seed_from_u64(7);
    for step in 0..8 {
        graph.events(&mut rng, START + step * 10);
    }
    // An epoch that the ledger has not applied, since it changes nothing.
    graph.control(vec![Control::Reading { number: 0 }]);
    (graph, rng)
}

fn other_id(n: u64) -> AlertId {
    AlertId::of(&[b"another reading", &n.to_le_bytes()])
}

/// A commit that revises the standing records and replaces the others.
fn revisions(epoch: Epoch, mut records: Vec<AlertRecord>) -> Commit {
    let standing = records.iter_mut().filter(|record| record.standing);
    let changes = (0..).zip(standing).map(|(ordinal, record)| {
        record.revision += 1;
        Change {
            kind: ChangeKind::Revised,
            epoch,
            ordinal,
            supersedes: Vec::new(),
            record: record.clone(),
        }
    });
    let changes = changes.collect();
    Commit {
        epoch,
        changes,
        records,
    }
}

/// Rewrites the standing rows of the ledger as another reading might have told them.
fn rewrite(graph: &TestGraph, standing: &BTreeMap<AlertId, AlertRecord>) -> OtherReading {
    let ledger = Ledger::open(&graph.folder.path().join("ledger")).expect("it is closed");
    let epoch = Epoch(ledger.applied().0 + 1);
    assert!(epoch <= graph.written);
    let rows: Vec<&AlertRecord> = standing.values().collect();
    let [lacking, counted, members, key] = [0, 1, 2, 3].map(|at| rows[at].clone());
    let mut surplus = counted.clone();
    (surplus.alert, surplus.key) = (other_id(0), other_id(0));
    surplus.evidence = Evidence::default();
    let mut with_members = members.clone();
    (with_members.alert, with_members.key) = (other_id(1), other_id(1));
    let mut with_key = key.clone();
    with_key.alert = other_id(2);
    let ended = |record: &AlertRecord| AlertRecord {
        standing: false,
        ..record.clone()
    };
    let mut records = vec![
        ended(&lacking),
        ended(&members),
        ended(&key),
        AlertRecord {
            count: counted.count + 100,
            ..counted.clone()
        },
        surplus,
        with_members,
        with_key,
    ];
    records.sort_by_key(|record| record.alert);
    let commit = revisions(epoch, records);
    let number = READING_NUMBER - 1;
    let changed = ledger.change_reading(number, &commit, &BTreeMap::new());
    changed.expect("the ledger takes it");
    OtherReading {
        surplus: other_id(0),
        lacking: lacking.alert,
        counted: counted.alert,
        members: other_id(1),
        key: other_id(2),
        continued: [members, key],
    }
}

/// Kind and alert of changes.
fn kinds(changes: &[Change]) -> Vec<(ChangeKind, AlertId)> {
    let mut kinds: Vec<_> = changes
        .iter()
        .map(|change| (change.kind, change.record.alert))
        .collect();
    kinds.sort_by_key(|(_, alert)| *alert);
    kinds
}

/// The standing alerts without ids, revisions and causes.
fn stated(graph: &TestGraph) -> Vec<String> {
    let mut all: Vec<String> = graph
        .standing()
        .into_values()
        .map(|record| {
            let record = AlertRecord {
                alert: record.key,
                revision: 0,
                raised: Epoch(0),
                cause: Cause::Upgrade,
                ..record
            };
            format!("{record:?}")
        })
        .collect();
    all.sort();
    all
}

#[test]
fn differences_are_told_once_and_ids_are_kept() {
    for workers in [1, 2] {
        let (mut graph, mut rng) = graph_with_events(workers);
        let (before, standing) = (stated(&graph), graph.standing());
        graph.close();
        let other = rewrite(&graph, &standing);
        let earlier = graph.changes().len();

        // The replay changes nothing: it may break off and begin anew.
        graph.open();
        graph.settle();
        let unread = graph.digest();
        graph.restart();
        assert_eq!(graph.digest(), unread);
        assert_eq!(graph.changes().len(), earlier);

        graph.control(vec![recorded()]);
        let changes = graph.changes()[earlier..].to_vec();
        let mut expected = vec![
            (ChangeKind::Retracted, other.surplus),
            (ChangeKind::Raised, other.lacking),
            (ChangeKind::Revised, other.counted),
            (ChangeKind::Revised, other.members),
        ];
        expected.sort_by_key(|(_, alert)| *alert);
        assert_eq!(kinds(&changes), expected);
        assert!(
            changes
                .iter()
                .all(|change| change.record.cause == Cause::Upgrade)
        );
        assert_eq!(stated(&graph), before);
        // The alert of an equal key keeps its id, and nothing is said.
        let standing = graph.standing();
        let [members, key] = &other.continued;
        assert!(standing.contains_key(&other.key) && !standing.contains_key(&key.alert));
        assert_eq!(standing[&other.members].key, members.key);

        // Another start tells nothing, and later changes meet the ids that were kept.
        graph.restart();
        graph.control(vec![recorded()]);
        assert_eq!(graph.changes().len(), earlier + changes.len());
        for step in 8..30 {
            graph.events(&mut rng, START + step * 10);
        }
        let (mut untouched, mut rng) = graph_with_events(workers);
        for step in 8..30 {
            untouched.events(&mut rng, START + step * 10);
        }
        assert_eq!(stated(&graph), stated(&untouched));
        let later = graph.changes();
        let renamed = |change: &Change| {
            change.record.alert == key.alert || change.record.alert == members.alert
        };
        assert!(!later[earlier..].iter().any(renamed));
        let digest = graph.digest();
        graph.restart();
        assert_eq!(graph.digest(), digest);
    }
}

#[test]
fn a_ledger_of_another_reading_takes_no_other_commit() {
    let (mut graph, _) = graph_with_events(1);
    let standing = graph.standing();
    graph.close();
    rewrite(&graph, &standing);
    let ledger = Ledger::open(&graph.folder.path().join("ledger")).expect("it is closed");
    let commit = Commit {
        epoch: Epoch(u64::MAX),
        changes: Vec::new(),
        records: Vec::new(),
    };
    let refused = ledger
        .commit(&commit)
        .expect_err("it is of another reading");
    assert!(refused.to_string().contains("reading number"), "{refused}");
    assert_eq!(ledger.reading().number, READING_NUMBER - 1);
}
