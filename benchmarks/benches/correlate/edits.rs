//! Measures the time from an edit to the commit of its corrections, through the running graph.
//!
//! An edit is a late event or a changed threshold. Journal and ledger are in memory.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use weir_benchmarks::logins::{Login, LoginCondition, LoginRule, LoginStream, START, StreamShape};
use weir_dataflow::{
    AlertLedger, BatchReader, EmitOptions, EpochReport, EpochSource, Host, HostOptions, Observer,
    PortFault,
};
use weir_schema::{
    AlertId, AlertRecord, Batch, BatchSeq, Commit, Control, Epoch, EventTime, ReceiveTime,
    SealedEpoch, TimeBounds,
};

use crate::weir;

const SEED: u64 = 17;
/// Alerts that an edit changes.
const ROWS: u32 = 1_000;
/// Edits of each kind.
const EDITS: usize = 200;
/// Threshold of the rule about crowds, before and after an edit.
const LEAST: [usize; 2] = [5, 6];
/// Events before the first edit.
const EVENTS: usize = 500_000;

type BatchStore = Arc<Mutex<HashMap<BatchSeq, Arc<Batch>>>>;

/// A journal in memory.
struct Journal(Receiver<SealedEpoch>);

impl EpochSource for Journal {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        match self.0.recv_timeout(wait) {
            Ok(epoch) => Ok(Some(epoch)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(wait);
                Ok(None)
            }
        }
    }
}

struct Batches(BatchStore);

impl BatchReader for Batches {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        let batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let message = || format!("there is no batch {}", seq.0);
        let missing = || PortFault::permanent(message());
        batches.get(&seq).cloned().ok_or_else(missing)
    }
}

struct Alerts {
    applied: Epoch,
    records: HashMap<AlertId, AlertRecord>,
}

impl AlertLedger for Alerts {
    fn applied(&self) -> Epoch {
        self.applied
    }

    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, PortFault> {
        Ok(self.records.get(&alert).cloned())
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), PortFault> {
        self.applied = commit.epoch;
        let records = commit.records.iter().map(|one| (one.alert, one.clone()));
        self.records.extend(records);
        Ok(())
    }
}

/// Sends the number of changed alerts of each epoch.
struct ChangeCounter(SyncSender<(Epoch, usize)>);

impl Observer for ChangeCounter {
    fn on_epoch(&mut self, report: &EpochReport<'_>) {
        let changes = report.commit.map_or(0, |commit| commit.records.len());
        // The receiver is gone once the benchmark ends.
        let _ = self.0.send((report.epoch, changes));
    }

    fn on_commit_failed(&mut self, fault: &PortFault) {
        eprintln!("{fault}");
    }
}

/// Capacity of the channels: one epoch at a time is in the graph, and ticks may come between.
const EPOCHS_WAITING: usize = 64;

/// Duration of one epoch, and the number of alerts it changed.
struct EpochTiming {
    milliseconds: f64,
    changes: usize,
}

/// The running graph with its inputs.
struct Graph {
    host: Host,
    journal: SyncSender<SealedEpoch>,
    changes: Receiver<(Epoch, usize)>,
    store: BatchStore,
    epoch: u64,
    batches: u64,
}

impl Graph {
    fn start() -> Result<Self> {
        let (journal, epochs) = sync_channel(EPOCHS_WAITING);
        let (sender, changes) = sync_channel(EPOCHS_WAITING);
        let store = BatchStore::default();
        let options = HostOptions {
            workers: 1,
            emit: EmitOptions::default(),
        };
        let host = Host::start(
            options,
            Box::new(Journal(epochs)),
            Arc::new(Batches(Arc::clone(&store))),
            Box::new(Alerts {
                applied: Epoch(0),
                records: HashMap::new(),
            }),
            Box::new(ChangeCounter(sender)),
        )?;
        Ok(Self {
            host,
            journal,
            changes,
            store,
            epoch: 0,
            batches: 0,
        })
    }

    /// Runs one epoch and waits for its commit.
    fn run_epoch(
        &mut self,
        controls: Vec<Control>,
        batch: Option<Arc<Batch>>,
    ) -> Result<EpochTiming> {
        self.epoch += 1;
        let mut batches = Vec::new();
        if let Some(batch) = batch {
            self.batches += 1;
            let seq = BatchSeq::of(0, self.batches);
            let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            store.insert(seq, Arc::clone(&batch));
            batches.push((seq, batch));
        }
        let epoch = Epoch(self.epoch);
        let began = Instant::now();
        self.journal.send(SealedEpoch {
            epoch,
            controls,
            follower_controls: Vec::new(),
            batches,
        })?;
        loop {
            let wait = Duration::from_secs(60);
            let (done, changes) = self
                .changes
                .recv_timeout(wait)
                .context("the graph committed nothing for 60 s")?;
            if done == epoch {
                return Ok(EpochTiming {
                    milliseconds: began.elapsed().as_secs_f64() * 1e3,
                    changes,
                });
            }
        }
    }
}

fn add_rule(text: String) -> Control {
    Control::RulePut {
        text,
        origin: "benchmark".to_owned(),
        since: EventTime::MIN,
    }
}

/// A rule for the logins of users whose names begin with `prefix`, and a correlation of it.
fn rule(id: u32, prefix: &str, least: usize) -> [String; 2] {
    [
        format!(
            "title: {prefix}\nid: 3e000000-0000-4000-8000-{id:012}\nname: {prefix}_{id}\nlogsource:\n    \
             product: bench\n    service: login\ndetection:\n    selection:\n        user|startswith: {prefix}\n    \
             condition: selection\nlevel: informational\n"
        ),
        format!(
            "title: {prefix} often\nid: 3e000000-0000-4000-9000-{id:012}\ncorrelation:\n    type: event_count\n    \
             rules:\n        - {prefix}_{id}\n    group-by:\n        - user\n    timespan: 60s\n    condition:\n        \
             gte: {least}\nlevel: medium\n"
        ),
    ]
}

/// A login of one of the users that the edits affect.
fn login(prefix: &str, user: usize, second: i64, session: usize) -> String {
    let login = Login {
        user: user as u32,
        second,
        failed: true,
        source: 1,
        bytes: 1,
        session: session as u64,
    };
    login.line().replace("user-", &format!("{prefix}-"))
}

pub fn run() -> Result<Json> {
    let mut graph = Graph::start()?;
    let mut controls = vec![Control::Start {
        version: String::new(),
        bounds: TimeBounds::default(),
        received: ReceiveTime(START.0),
    }];
    let busy = LoginRule {
        condition: LoginCondition::Count(50),
        seconds: 60,
    };
    controls.extend(busy.texts().into_iter().map(add_rule));
    controls.extend(rule(0, "crowd", LEAST[0]).map(add_rule));
    // One selection, and a thousand correlations of it.
    let [watched, _] = rule(1, "watched", 5);
    controls.push(add_rule(watched));
    for id in 1..=ROWS {
        let [_, correlation] = rule(id, "watched", 5);
        controls.push(add_rule(
            correlation.replace(&format!("watched_{id}\n"), "watched_1\n"),
        ));
    }
    graph.run_epoch(controls, None)?;
    fill(&mut graph)?;
    println!("\n| edit | alerts changed | p50 | p99 | most |");
    println!("|---|---|---|---|---|");
    let rows = vec![
        measure(&mut graph, "a late event, one rule", |graph, at| {
            let frame = login("crowd", at, 100, 9_000_000 + at);
            graph.run_epoch(Vec::new(), Some(weir::batch_of([frame])))
        })?,
        measure(&mut graph, "a late event, a thousand rules", |graph, at| {
            let frame = login("watched", at, 100, 9_100_000 + at);
            graph.run_epoch(Vec::new(), Some(weir::batch_of([frame])))
        })?,
        measure(&mut graph, "a threshold, a thousand groups", |graph, at| {
            let [_, correlation] = rule(0, "crowd", LEAST[(at + 1) % 2]);
            graph.run_epoch(vec![add_rule(correlation)], None)
        })?,
    ];
    graph.host.stop()?;
    Ok(json!({"seed": SEED, "events_before": EVENTS, "rows": rows}))
}

/// Sends a busy stream, with users who lack one login, or have just enough.
fn fill(graph: &mut Graph) -> Result<()> {
    let shape = StreamShape {
        users: 50_000,
        is_skewed: true,
        per_second: 1_000,
        sources: 1_000,
        is_late: true,
    };
    let mut frames: Vec<String> = Vec::new();
    for at in 0..ROWS as usize {
        let known = LEAST[0];
        frames.extend((0..known).map(|n| login("crowd", 1_000 + at, 90 + n as i64, at * 8 + n)));
    }
    for at in 0..EDITS {
        frames.extend((0..4).map(|n| login("watched", at, 90 + n, at * 8 + n as usize)));
        frames.extend((0..4).map(|n| login("crowd", at, 90 + n, at * 8 + n as usize)));
    }
    let busy = LoginStream::new(SEED, shape).take(EVENTS);
    frames.extend(busy.map(|login| login.line()));
    for batch in frames.chunks(1_000) {
        graph.run_epoch(Vec::new(), Some(weir::batch_of(batch)))?;
    }
    Ok(())
}

/// Makes the edits one by one, with an empty epoch before each, as from ticks.
fn measure(
    graph: &mut Graph,
    name: &str,
    edit: impl Fn(&mut Graph, usize) -> Result<EpochTiming>,
) -> Result<Json> {
    let (mut times, mut changed) = (Vec::new(), Vec::new());
    for at in 0..EDITS {
        let received = ReceiveTime(START.0);
        graph.run_epoch(vec![Control::Tick { received }], None)?;
        let EpochTiming {
            milliseconds,
            changes,
        } = edit(graph, at)?;
        times.push(milliseconds);
        changed.push(changes);
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    let (least, most) = (changed.iter().min(), changed.iter().max());
    let (least, most) = (least.copied().unwrap_or(0), most.copied().unwrap_or(0));
    ensure!(least > 0, "{name}: an edit changed nothing");
    println!(
        "| {name} | {least} to {most} | {:.1} ms | {:.1} ms | {:.1} ms |",
        at(50),
        at(99),
        at(100),
    );
    Ok(json!({
        "edit": name,
        "edits": EDITS,
        "changed": {"min": least, "max": most},
        "p50_ms": at(50),
        "p99_ms": at(99),
        "max_ms": at(100),
        "ms": times,
    }))
}
