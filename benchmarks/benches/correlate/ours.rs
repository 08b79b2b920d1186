//! Weir from bytes to alerts on one thread: the operators of the graph, in the order of the graph,
//! on one timely worker, without journal and ledger.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::core::{Concat, Inspect, Map, Probe};
use timely::dataflow::operators::vec::Input;
use weir_benchmarks::logins::{LOGSOURCE, Login, START, Standing};
use weir_benchmarks::machine;
use weir_operators::{Directive, EmitOptions, ClockUpdate, Note, Work, alerts, clocks, correlate, decode};
use weir_schema::{
    AlertId, AlertRow, Batch, BatchSeq, Control, EventTime, Format, ReceiveTime, Span, TimeBounds,
    Transport,
};

/// What a run came to.
pub struct Outcome {
    rows: Vec<Arc<AlertRow>>,
    batch: usize,
    pub events: usize,
    /// CPU time of this thread and time by the clock on the wall, of the batches that count.
    pub cpu_s: f64,
    pub wall_s: f64,
}

impl Outcome {
    /// The alerts that stand, sorted, in the words of the generator.
    pub fn standing(&self, logins: &[Login]) -> Vec<Standing> {
        let seconds = |time: EventTime| (time.0 - START.0) / Span::SECOND.0;
        let row = |row: &Arc<AlertRow>| {
            // An alert has at least one event.
            let position = row.evidence.head[0].position;
            let batch = position.batch().local() as usize - 1;
            Standing {
                user: logins[batch * self.batch + usize::from(position.frame())].user,
                first: seconds(row.first),
                last: seconds(row.last),
                count: row.count,
            }
        };
        let mut standing: Vec<Standing> = self.rows.iter().map(row).collect();
        standing.sort_unstable();
        standing
    }

    /// How many groups have an alert, each of its rule.
    pub fn groups(&self) -> usize {
        let groups = self.rows.iter().map(|row| (row.plan, row.group));
        groups.collect::<std::collections::BTreeSet<_>>().len()
    }
}

/// Batches of `size` lines each: an epoch each.
pub fn batches(logins: &[Login], size: usize) -> Vec<Arc<Batch>> {
    let batch = |logins: &[Login]| batch_of(logins.iter().map(Login::line));
    logins.chunks(size).map(batch).collect()
}

/// The batch with nine lines in ten of another kind, as long as they were.
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
        // A day after the first event, so that no time is of the future.
        received: ReceiveTime(START.plus(Span::seconds(86_400)).0),
        delivery: None,
        frames: frames.into_iter().collect(),
    })
}

/// Runs rules over batches; every batch is an epoch, and input ends after the last.
pub fn run(rules: &[String], batches: &[Arc<Batch>]) -> Result<Outcome> {
    run_after(rules, batches, 0)
}

/// As [`run`]; the time of the first `warm` batches is not counted.
pub fn run_after(rules: &[String], batches: &[Arc<Batch>], warm: usize) -> Result<Outcome> {
    let batch = batches.first().map_or(1, |batch| batch.frames.len());
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
    // Neither threads nor channels: the worker is this thread.
    let (batches, counted) = (batches.to_vec(), warm);
    let outcome = timely::execute_directly(move |worker| {
        let standing: Rc<RefCell<HashMap<AlertId, Arc<AlertRow>>>> = Rc::default();
        let refused: Rc<RefCell<Vec<String>>> = Rc::default();
        let (out, said) = (Rc::clone(&standing), Rc::clone(&refused));
        let probe = ProbeHandle::new();
        let mut input = worker.dataflow::<u64, _, _>(|scope| {
            let (input, work) = scope.new_input::<Work>();
            let decoded = decode(work, true, EmitOptions::default());
            let clocks = clocks(decoded.observations);
            let moves = clocks.map(|moved| match moved {
                ClockUpdate::Clock(clock) => Directive::Clock(clock),
                ClockUpdate::Heard(source, time) => Directive::Heard(source, time),
            });
            let directives = decoded.directives.concat(moves);
            let correlated = correlate(decoded.facts, decoded.above, decoded.links, directives);
            let alerts = alerts(correlated.rows, decoded.rules);
            let take = move |((row, _), _, diff): &((Arc<AlertRow>, _), u64, isize)| {
                take(&mut out.borrow_mut(), row, *diff);
            };
            alerts.inner.inspect(take).probe_with(&probe);
            let tell = move |note: &Note| {
                if let Note::Diagnostic(text) = note {
                    said.borrow_mut().push(text.clone());
                }
            };
            decoded.notes.inspect(tell).probe_with(&probe);
            input
        });
        let mut epoch = 1;
        let mut step = |work: Vec<Work>| {
            input.advance_to(epoch);
            work.into_iter().for_each(|work| input.send(work));
            epoch += 1;
            input.advance_to(epoch);
            while probe.less_than(&epoch) {
                worker.step();
            }
        };
        step(
            controls
                .into_iter()
                .map(|one| Work::Control(Arc::new(one)))
                .collect(),
        );
        let (mut began, mut cpu) = (Instant::now(), machine::thread_cpu_seconds());
        let mut events = 0;
        for (place, batch) in batches.into_iter().enumerate() {
            if place == counted {
                (began, cpu) = (Instant::now(), machine::thread_cpu_seconds());
                events = 0;
            }
            events += batch.frames.len();
            step(vec![Work::Batch(BatchSeq::of(0, place as u64 + 1), batch)]);
        }
        let (wall_s, cpu_s) = (
            began.elapsed().as_secs_f64(),
            machine::thread_cpu_seconds() - cpu,
        );
        step(vec![Work::Control(Arc::new(Control::Finish))]);
        let rows = standing.borrow_mut().drain().map(|(_, row)| row).collect();
        let refused = refused.take();
        (
            refused,
            Outcome {
                rows,
                batch,
                events,
                cpu_s,
                wall_s,
            },
        )
    });
    ensure!(outcome.0.is_empty(), "rules were refused: {:?}", outcome.0);
    Ok(outcome.1)
}

/// Adds a row or takes it away, whichever of the two comes first in an epoch.
fn take(standing: &mut HashMap<AlertId, Arc<AlertRow>>, row: &Arc<AlertRow>, diff: isize) {
    if diff > 0 {
        standing.insert(row.alert, Arc::clone(row));
    } else if standing.get(&row.alert).is_some_and(|known| known == row) {
        standing.remove(&row.alert);
    }
}
