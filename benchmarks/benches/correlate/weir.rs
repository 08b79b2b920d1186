//! Runs Weir from bytes to alerts on one thread, without journal and ledger.
//!
//! The operators are those of the graph, in the same order, on one timely worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::core::{Concat, Inspect, Map, Probe};
use timely::dataflow::operators::vec::Input;
use timely::dataflow::operators::vec::input::Handle;
use timely::worker::Worker;
use weir_benchmarks::logins::{LOGSOURCE, Login, LoginAlert, START};
use weir_benchmarks::machine;
use weir_operators::{
    ClockUpdate, Directive, EmitOptions, Note, Work, alerts, clocks, correlate, decode,
};
use weir_schema::{
    AlertId, AlertRow, Batch, BatchSeq, Control, EventTime, Format, ReceiveTime, Span, TimeBounds,
    Transport,
};

/// Result of a run.
pub struct Outcome {
    rows: Vec<Arc<AlertRow>>,
    batch: usize,
    pub events: usize,
    /// CPU time of this thread, and wall-clock time, of the batches that count.
    pub cpu_s: f64,
    pub wall_s: f64,
}

impl Outcome {
    /// The standing alerts, sorted, as the generator describes them.
    pub fn standing(&self, logins: &[Login]) -> Vec<LoginAlert> {
        let seconds = |time: EventTime| (time.0 - START.0) / Span::SECOND.0;
        let row = |row: &Arc<AlertRow>| {
            // An alert has at least one event.
            let position = row.evidence.head[0].position;
            let batch = position.batch().local() as usize - 1;
            LoginAlert {
                user: logins[batch * self.batch + usize::from(position.frame())].user,
                first: seconds(row.first),
                last: seconds(row.last),
                count: row.count,
            }
        };
        let mut standing: Vec<LoginAlert> = self.rows.iter().map(row).collect();
        standing.sort_unstable();
        standing
    }

    /// Number of groups of a rule with an alert.
    pub fn groups(&self) -> usize {
        let groups = self.rows.iter().map(|row| (row.plan, row.group));
        groups.collect::<std::collections::BTreeSet<_>>().len()
    }
}

/// Makes batches of `size` lines; each batch is an epoch.
pub fn batches(logins: &[Login], size: usize) -> Vec<Arc<Batch>> {
    let batch = |logins: &[Login]| batch_of(logins.iter().map(Login::line));
    logins.chunks(size).map(batch).collect()
}

/// Replaces nine lines in ten by lines of another kind and the same length.
pub fn mostly_others(batch: &Arc<Batch>) -> Arc<Batch> {
    let lines = batch.frames.iter().enumerate().map(|(place, frame)| {
        let line = String::from_utf8_lossy(frame);
        if place % 10 == 0 {
            return line.into_owned();
        }
        line.replace("\"sshd\"", "\"cron\"")
            .replace("\"outcome\"", "\"command\"")
    });
    batch_of(lines)
}

pub fn batch_of<F: AsRef<[u8]>>(frames: impl IntoIterator<Item = F>) -> Arc<Batch> {
    Arc::new(Batch {
        tenant: "default".to_owned(),
        source: "bench".to_owned(),
        transport: Transport::File,
        format: Format::Json,
        peer: None,
        zone: None,
        logsource: Some(LOGSOURCE.to_owned()),
        // A day after the first event, so that no time is in the future.
        received: ReceiveTime(START.plus(Span::seconds(86_400)).0),
        delivery: None,
        frames: frames.into_iter().collect(),
    })
}

/// Runs rules over batches. Every batch is an epoch, and input ends after the last.
pub fn run(rules: &[String], batches: &[Arc<Batch>]) -> Result<Outcome> {
    run_after(rules, batches, 0)
}

/// Runs as [`run`]; the first `warm` batches do not count.
pub fn run_after(rules: &[String], batches: &[Arc<Batch>], warm: usize) -> Result<Outcome> {
    let (controls, batches) = (controls(rules), batches.to_vec());
    // The worker is this thread: there are no other threads and no channels.
    let (outcome, refused) = timely::execute_directly(move |worker| {
        let mut graph = Graph::new(worker);
        graph.step(worker, controls);
        let outcome = graph.time_batches(worker, batches, warm);
        (outcome, graph.diagnostics.take())
    });
    ensure!(refused.is_empty(), "rules were refused: {refused:?}");
    Ok(outcome)
}

/// The start of a journal, and the rules.
fn controls(rules: &[String]) -> Vec<Work> {
    let mut controls = vec![Control::Start {
        version: String::new(),
        bounds: TimeBounds::default(),
        received: ReceiveTime(START.0),
    }];
    controls.extend(rules.iter().map(|text| Control::RulePut {
        text: text.clone(),
        origin: "benchmark".to_owned(),
        since: EventTime::MIN,
    }));
    let controls = controls.into_iter();
    controls
        .map(|control| Work::Control(Arc::new(control)))
        .collect()
}

/// The operators on one worker, with their output.
struct Graph {
    input: Handle<u64, Work>,
    probe: ProbeHandle<u64>,
    standing: Rc<RefCell<HashMap<AlertId, Arc<AlertRow>>>>,
    diagnostics: Rc<RefCell<Vec<String>>>,
    epoch: u64,
}

impl Graph {
    fn new(worker: &mut Worker) -> Self {
        let standing: Rc<RefCell<HashMap<AlertId, Arc<AlertRow>>>> = Rc::default();
        let diagnostics: Rc<RefCell<Vec<String>>> = Rc::default();
        let (rows, texts) = (Rc::clone(&standing), Rc::clone(&diagnostics));
        let probe = ProbeHandle::new();
        let input = worker.dataflow::<u64, _, _>(|scope| {
            let (input, work) = scope.new_input::<Work>();
            let decoded = decode(work, true, EmitOptions::default());
            let clocks = clocks(decoded.observations);
            let moves = clocks.map(|moved| match moved {
                ClockUpdate::Clock(clock) => Directive::Clock(clock),
                ClockUpdate::SourceTime(source, time) => Directive::SourceTime(source, time),
            });
            let directives = decoded.directives.concat(moves);
            let correlated = correlate(
                decoded.facts,
                decoded.chain_facts,
                decoded.links,
                directives,
                None,
            );
            let alerts = alerts(correlated.rows, decoded.rules);
            let apply = move |((row, _), _, diff): &((Arc<AlertRow>, _), u64, isize)| {
                apply(&mut rows.borrow_mut(), row, *diff);
            };
            alerts.inner.inspect(apply).probe_with(&probe);
            let collect = move |note: &Note| {
                if let Note::Diagnostic(text) = note {
                    texts.borrow_mut().push(text.clone());
                }
            };
            decoded.notes.inspect(collect).probe_with(&probe);
            input
        });
        Self {
            input,
            probe,
            standing,
            diagnostics,
            epoch: 1,
        }
    }

    /// Runs one epoch, and waits until it is complete.
    fn step(&mut self, worker: &mut Worker, work: Vec<Work>) {
        self.input.advance_to(self.epoch);
        work.into_iter().for_each(|work| self.input.send(work));
        self.epoch += 1;
        self.input.advance_to(self.epoch);
        while self.probe.less_than(&self.epoch) {
            worker.step();
        }
    }

    /// Measures the batches after the first `warm`, then ends the input.
    fn time_batches(
        &mut self,
        worker: &mut Worker,
        batches: Vec<Arc<Batch>>,
        warm: usize,
    ) -> Outcome {
        let batch = batches.first().map_or(1, |batch| batch.frames.len());
        let (mut began, mut cpu) = (Instant::now(), machine::thread_cpu_seconds());
        let mut events = 0;
        for (place, batch) in batches.into_iter().enumerate() {
            if place == warm {
                (began, cpu) = (Instant::now(), machine::thread_cpu_seconds());
                events = 0;
            }
            events += batch.frames.len();
            let seq = BatchSeq::of(0, place as u64 + 1);
            self.step(worker, vec![Work::Batch(seq, batch)]);
        }
        let (wall_s, cpu_s) = (
            began.elapsed().as_secs_f64(),
            machine::thread_cpu_seconds() - cpu,
        );
        self.step(worker, vec![Work::Control(Arc::new(Control::Finish))]);
        let mut standing = self.standing.borrow_mut();
        Outcome {
            rows: standing.drain().map(|(_, row)| row).collect(),
            batch,
            events,
            cpu_s,
            wall_s,
        }
    }
}

/// Adds or removes a row. In an epoch the two may come in any order.
fn apply(standing: &mut HashMap<AlertId, Arc<AlertRow>>, row: &Arc<AlertRow>, diff: isize) {
    if diff > 0 {
        standing.insert(row.alert, Arc::clone(row));
    } else if standing.get(&row.alert).is_some_and(|known| known == row) {
        standing.remove(&row.alert);
    }
}
