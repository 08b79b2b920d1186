//! From one edit to its corrections: a late event, or a changed threshold, through the running graph
//! with its threads, to the commit that says what changed. Journal and ledger are in memory.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use weir_benchmarks::logins::{Asks, Login, LoginStream, Rule, START, Shape};
use weir_dataflow::{
    EmitOptions, EpochReport, EpochSource, Frames, Host, HostOptions, Ledger, Observer, PortFault,
};
use weir_schema::{
    AlertId, AlertRecord, Batch, BatchSeq, Commit, Control, Epoch, EventTime, ReceiveTime,
    SealedEpoch, TimeBounds,
};

use crate::ours;

const SEED: u64 = 17;
/// Rows that an edit changes.
const ROWS: u32 = 1_000;
/// Edits of a kind.
const EDITS: usize = 200;
/// The fewest logins that a rule about crowds asks for, and what it is edited to.
const LEAST: [usize; 2] = [5, 6];
/// Events that the graph holds before the first edit.
const EVENTS: usize = 500_000;

type Kept = Arc<Mutex<HashMap<BatchSeq, Arc<Batch>>>>;

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

struct Batches(Kept);

impl Frames for Batches {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let message = || format!("there is no batch {}", seq.0);
        let missing = || PortFault { message: message() };
        kept.get(&seq).cloned().ok_or_else(missing)
    }
}

struct Alerts {
    applied: Epoch,
    records: HashMap<AlertId, AlertRecord>,
}

impl Ledger for Alerts {
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

/// Tells of each epoch how many alerts were raised, revised or retracted in it.
struct Ear(SyncSender<(Epoch, usize)>);

impl Observer for Ear {
    fn epoch(&mut self, report: &EpochReport<'_>) {
        let changes = report.commit.map_or(0, |commit| commit.records.len());
        // Nobody listens any more once the benchmark ends.
        let _ = self.0.send((report.epoch, changes));
    }

    fn fault(&mut self, fault: &PortFault) {
        eprintln!("{fault}");
    }
}

/// One epoch is given at a time, and its commit awaited; a what-if's tick may come between.
const EPOCHS_WAITING: usize = 64;

/// The running graph, and what it was given.
struct Graph {
    host: Host,
    journal: SyncSender<SealedEpoch>,
    said: Receiver<(Epoch, usize)>,
    kept: Kept,
    epoch: u64,
    batches: u64,
}

impl Graph {
    fn start() -> Result<Self> {
        let (journal, epochs) = sync_channel(EPOCHS_WAITING);
        let (ear, said) = sync_channel(EPOCHS_WAITING);
        let kept = Kept::default();
        let options = HostOptions {
            workers: 1,
            emit: EmitOptions::default(),
        };
        let host = Host::start(
            options,
            Box::new(Journal(epochs)),
            Arc::new(Batches(Arc::clone(&kept))),
            Box::new(Alerts {
                applied: Epoch(0),
                records: HashMap::new(),
            }),
            Box::new(Ear(ear)),
        )?;
        Ok(Self {
            host,
            journal,
            said,
            kept,
            epoch: 0,
            batches: 0,
        })
    }

    /// One epoch, through to its commit: how long it took, and how many alerts it changed.
    fn say(&mut self, controls: Vec<Control>, batch: Option<Arc<Batch>>) -> Result<(f64, usize)> {
        self.epoch += 1;
        let mut batches = Vec::new();
        if let Some(batch) = batch {
            self.batches += 1;
            let seq = BatchSeq::of(0, self.batches);
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert(seq, Arc::clone(&batch));
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
                .said
                .recv_timeout(wait)
                .context("the graph is silent")?;
            if done == epoch {
                return Ok((began.elapsed().as_secs_f64() * 1e3, changes));
            }
        }
    }
}

fn put(text: String) -> Control {
    Control::RulePut {
        text,
        origin: "benchmark".to_owned(),
        since: EventTime::MIN,
    }
}

/// A rule over the logins of the users whose names begin with `prefix`, and a correlation of it.
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

/// A login of one of the few users that the edits are about.
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
    let busy = Rule {
        asks: Asks::Count(50),
        seconds: 60,
    };
    controls.extend(busy.texts().into_iter().map(put));
    controls.extend(rule(0, "crowd", LEAST[0]).map(put));
    // One selection, and a thousand correlations of it.
    let [watched, _] = rule(1, "watched", 5);
    controls.push(put(watched));
    for id in 1..=ROWS {
        let [_, correlation] = rule(id, "watched", 5);
        controls.push(put(
            correlation.replace(&format!("watched_{id}\n"), "watched_1\n")
        ));
    }
    graph.say(controls, None)?;
    fill(&mut graph)?;
    println!("\n| edit | alerts changed | p50 | p99 | most |");
    println!("|---|---|---|---|---|");
    let rows = vec![
        measure(&mut graph, "a late event, one rule", |graph, at| {
            let frame = login("crowd", at, 100, 9_000_000 + at);
            graph.say(Vec::new(), Some(ours::batch_of([frame])))
        })?,
        measure(&mut graph, "a late event, a thousand rules", |graph, at| {
            let frame = login("watched", at, 100, 9_100_000 + at);
            graph.say(Vec::new(), Some(ours::batch_of([frame])))
        })?,
        measure(&mut graph, "a threshold, a thousand groups", |graph, at| {
            let [_, correlation] = rule(0, "crowd", LEAST[(at + 1) % 2]);
            graph.say(vec![put(correlation)], None)
        })?,
    ];
    graph.host.stop()?;
    Ok(json!({"seed": SEED, "events_before": EVENTS, "rows": rows}))
}

/// A busy stream, and in it users who lack one login, or have just enough of them.
fn fill(graph: &mut Graph) -> Result<()> {
    let shape = Shape {
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
        graph.say(Vec::new(), Some(ours::batch_of(batch)))?;
    }
    Ok(())
}

/// Makes the edits one by one; a quiet epoch comes before each, as ticks do.
fn measure(
    graph: &mut Graph,
    name: &str,
    edit: impl Fn(&mut Graph, usize) -> Result<(f64, usize)>,
) -> Result<Json> {
    let (mut took, mut changed) = (Vec::new(), Vec::new());
    for at in 0..EDITS {
        let received = ReceiveTime(START.0);
        graph.say(vec![Control::Tick { received }], None)?;
        let (milliseconds, changes) = edit(graph, at)?;
        took.push(milliseconds);
        changed.push(changes);
    }
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100).max(1) - 1];
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
        "ms": took,
    }))
}
