//! Failures of a worker or a port: which of them stop the graph, and which are retried.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use weir_operators::EmitOptions;
use weir_schema::{
    AlertId, AlertRecord, Batch, BatchSeq, Commit, Control, Epoch, EventTime, Format, ReceiveTime,
    SealedEpoch, Transport,
};

use super::{Host, HostOptions};
use crate::error::HostError;
use crate::outage::PortCall;
use crate::port::{AlertLedger, BatchReader, EpochReport, EpochSource, Observer, PortFault};

/// A broken journal, whose epochs run backwards.
struct DescendingEpochs(u64);

impl EpochSource for DescendingEpochs {
    fn next(&mut self, _wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        self.0 = self.0.saturating_sub(1).max(1);
        let received = ReceiveTime(0);
        Ok(Some(SealedEpoch {
            epoch: Epoch(self.0),
            controls: vec![Control::Tick { received }],
            follower_controls: Vec::new(),
            batches: Vec::new(),
        }))
    }
}

struct EmptyStore;

impl BatchReader for EmptyStore {
    fn batch(&self, _seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        Err(PortFault::permanent("the store is empty"))
    }
}

impl AlertLedger for EmptyStore {
    fn applied(&self) -> Epoch {
        Epoch(0)
    }
    fn record(&self, _alert: AlertId) -> Result<Option<AlertRecord>, PortFault> {
        Ok(None)
    }
    fn commit(&mut self, _commit: &Commit) -> Result<(), PortFault> {
        Ok(())
    }
}

impl Observer for EmptyStore {
    fn on_epoch(&mut self, _report: &EpochReport<'_>) {}
    fn on_commit_failed(&mut self, _fault: &PortFault) {}
}

#[test]
fn a_panicking_worker_fails_the_graph_and_stops_the_other_workers() {
    let options = HostOptions {
        workers: 2,
        emit: EmitOptions::default(),
    };
    let (source, frames) = (Box::new(DescendingEpochs(3)), Arc::new(EmptyStore));
    let host = Host::start(
        options,
        source,
        frames,
        Box::new(EmptyStore),
        Box::new(EmptyStore),
    );
    let host = host.expect("two workers start");
    host.status()
        .wait_for(Epoch(u64::MAX), Duration::from_secs(20));
    assert!(host.status().failed());
    let stopped = host.stop();
    assert!(
        matches!(stopped, Err(HostError::Panicked(_))),
        "{stopped:?}"
    );
}

/// A journal in memory, whose reads fail as scripted.
#[derive(Clone)]
struct FaultyJournal {
    epochs: Arc<Mutex<VecDeque<SealedEpoch>>>,
    batches: Vec<Arc<Batch>>,
    /// Failures left, of each kind of call; `None` fails for ever.
    failures: Option<u32>,
    epoch_failures: Arc<Mutex<u32>>,
    batch_failures: Arc<Mutex<u32>>,
}

impl FaultyJournal {
    /// Ten epochs of two failed logins each. The sixth adds a rule, which reads all events before.
    fn new(failures: Option<u32>) -> Self {
        let line = |n: usize| {
            let time = format!("2026-03-01T10:00:{n:02}Z");
            format!("<38>1 {time} h sshd 1 - - Failed password for root from 192.0.2.9 port 7 ssh2")
        };
        let batch = |n: usize| {
            Arc::new(Batch {
                tenant: "default".into(),
                source: "s".into(),
                transport: Transport::Tcp,
                format: Format::Syslog,
                peer: None,
                zone: None,
                logsource: None,
                received: ReceiveTime(1_772_359_200_000_000_000 + n as i64 * 1_000_000_000),
                delivery: None,
                frames: [line(2 * n), line(2 * n + 1)].iter().collect(),
            })
        };
        let batches: Vec<_> = (0..10).map(batch).collect();
        let rule = "title: Logins\nid: logins\nlogsource: {product: linux}\n\
                    detection: {a: ['Failed password'], condition: a}\nlevel: low\n";
        let epoch = |n: usize| SealedEpoch {
            epoch: Epoch(n as u64 + 1),
            controls: match n {
                0 => vec![Control::Start {
                    version: "test".to_owned(),
                    bounds: weir_schema::TimeBounds::default(),
                    received: batches[0].received,
                }],
                5 => vec![Control::RulePut {
                    text: rule.to_owned(),
                    origin: "test.yml".to_owned(),
                    since: EventTime::MIN,
                }],
                _ => Vec::new(),
            },
            follower_controls: Vec::new(),
            batches: vec![(BatchSeq(n as u64), Arc::clone(&batches[n]))],
        };
        Self {
            epochs: Arc::new(Mutex::new((0..10).map(epoch).collect())),
            batches: batches.clone(),
            failures,
            epoch_failures: Arc::default(),
            batch_failures: Arc::default(),
        }
    }

    /// Fails the first calls, then succeeds once and fails as often again.
    fn fail(&self, count: &Mutex<u32>) -> Result<(), PortFault> {
        let Some(failures) = self.failures else {
            return Err(PortFault::transient("input/output error"));
        };
        let mut count = count.lock().unwrap();
        if *count < failures {
            *count += 1;
            return Err(PortFault::transient("too many open files"));
        }
        *count = failures.saturating_sub(1);
        Ok(())
    }
}

impl EpochSource for FaultyJournal {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        let mut epochs = self.epochs.lock().unwrap();
        if epochs.is_empty() {
            std::thread::park_timeout(wait);
            return Ok(None);
        }
        self.fail(&self.epoch_failures)?;
        Ok(epochs.pop_front())
    }
}

impl BatchReader for FaultyJournal {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        self.fail(&self.batch_failures)?;
        Ok(Arc::clone(&self.batches[seq.0 as usize]))
    }
}

/// Stores all commits.
#[derive(Clone, Default)]
struct CommitLog(Arc<Mutex<Vec<Commit>>>);

impl AlertLedger for CommitLog {
    fn applied(&self) -> Epoch {
        Epoch(0)
    }
    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, PortFault> {
        let commits = self.0.lock().unwrap();
        let mut records = commits.iter().rev().flat_map(|commit| &commit.records);
        Ok(records.find(|record| record.alert == alert).cloned())
    }
    fn commit(&mut self, commit: &Commit) -> Result<(), PortFault> {
        self.0.lock().unwrap().push(commit.clone());
        Ok(())
    }
}

fn start(journal: &FaultyJournal, commits: &CommitLog) -> Host {
    let options = HostOptions {
        workers: 2,
        emit: EmitOptions::default(),
    };
    let (source, frames) = (Box::new(journal.clone()), Arc::new(journal.clone()));
    let ledger = Box::new(commits.clone());
    Host::start(options, source, frames, ledger, Box::new(EmptyStore)).expect("two workers start")
}

#[test]
fn reads_that_fail_and_then_work_give_the_same_commits() {
    let run = |failures| {
        let commits = CommitLog::default();
        let host = start(&FaultyJournal::new(Some(failures)), &commits);
        let done = host.status().wait_for(Epoch(10), Duration::from_secs(60));
        assert!(done, "{:?}", host.status().failure());
        assert!(host.status().outage().is_none());
        host.stop().expect("it stops");
        let commits = commits.0.lock().unwrap();
        format!("{commits:?}")
    };
    let expected = run(0);
    assert!(
        expected.contains("192.0.2.9") || expected.contains("Logins"),
        "{expected}"
    );
    for failures in [1, 3] {
        assert_eq!(run(failures), expected, "{failures} failures");
    }
}

#[test]
fn reads_that_fail_for_ever_are_an_outage_and_no_end() {
    let before = Instant::now();
    let host = start(&FaultyJournal::new(None), &CommitLog::default());
    let status = host.status();
    let outage = loop {
        match status.outage() {
            Some(outage) => break outage,
            None => std::thread::yield_now(),
        }
    };
    assert_eq!(outage.call, PortCall::ReadEpoch);
    assert_eq!(outage.message, "input/output error");
    assert!(outage.since >= before);
    assert!(!status.failed());
    host.stop().expect("a stop ends the retries");
}

#[test]
fn a_ledger_that_takes_no_more_ends_the_graph() {
    struct Closed;
    impl AlertLedger for Closed {
        fn applied(&self) -> Epoch {
            Epoch(0)
        }
        fn record(&self, _alert: AlertId) -> Result<Option<AlertRecord>, PortFault> {
            Ok(None)
        }
        fn commit(&mut self, _commit: &Commit) -> Result<(), PortFault> {
            Err(PortFault::needs_restart("a commit failed half-way"))
        }
    }
    let options = HostOptions {
        workers: 1,
        emit: EmitOptions::default(),
    };
    let journal = FaultyJournal::new(Some(0));
    let (source, frames) = (Box::new(journal.clone()), Arc::new(journal));
    let (ledger, observer) = (Box::new(Closed), Box::new(EmptyStore));
    let host = Host::start(options, source, frames, ledger, observer).expect("a worker starts");
    host.status().wait_for(Epoch(10), Duration::from_secs(60));
    let failure = host.status().failure().expect("it failed");
    assert!(failure.contains("a commit failed half-way"), "{failure}");
    assert!(matches!(host.stop(), Err(HostError::WriteLedger(_))));
}

#[test]
fn damage_ends_the_graph_with_its_reason() {
    struct Damaged;
    impl EpochSource for Damaged {
        fn next(&mut self, _wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
            Err(PortFault::permanent("the segment is damaged"))
        }
    }
    let options = HostOptions {
        workers: 1,
        emit: EmitOptions::default(),
    };
    let (frames, store) = (Arc::new(EmptyStore), Box::new(EmptyStore));
    let host = Host::start(
        options,
        Box::new(Damaged),
        frames,
        store,
        Box::new(EmptyStore),
    );
    let host = host.expect("a worker starts");
    let status = host.status();
    status.wait_for(Epoch(1), Duration::from_secs(20));
    let failure = status.failure().expect("it failed");
    assert!(failure.contains("the segment is damaged"), "{failure}");
    assert!(matches!(host.stop(), Err(HostError::ReadJournal(_))));
}
