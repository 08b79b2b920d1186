//! Benchmark of the correlation operator alone: facts per second on one core.
//!
//! It runs the timely operator on one worker over a seeded stream. Watermark and settled line
//! advance after every epoch. It prints one line of JSON; CPU seconds are those of this thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use serde_json::{Value as Json, json};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::core::{Inspect, Probe};
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::Input;
use timely::dataflow::operators::vec::input::Handle;
use timely::worker::Worker;
use weir_benchmarks::{facts, machine};
use weir_operators::{CorrelateNote, Directive, TenantClock, correlate};
use weir_schema::{EventTime, Fact, Plan, PlanId, Span};

#[derive(Clone, Parser)]
struct Options {
    /// Name of the correlation type in Sigma.
    #[arg(long = "type", default_value = "event_count")]
    name: String,
    /// Length of the window, in seconds.
    #[arg(long, default_value_t = 300)]
    timespan: i64,
    #[arg(long, default_value_t = 2_000_000)]
    facts: usize,
    /// Facts per epoch.
    #[arg(long, default_value_t = 1_000)]
    epoch: usize,
    #[arg(long, value_enum, default_value_t = Stream::Skewed)]
    stream: Stream,
    /// Keys of the even stream.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Rules among which the keys are divided; one rule has at most four million groups.
    #[arg(long, default_value_t = 1)]
    plans: usize,
    /// Event time of all facts, in seconds [default: 2,000 facts a second].
    #[arg(long)]
    over: Option<i64>,
    /// How far behind the watermark facts are settled, in seconds [default: never].
    #[arg(long)]
    horizon: Option<i64>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stream {
    /// Keys follow zipf 1.05, one fact in a hundred is late by up to a minute.
    Skewed,
    /// Keys never repeat.
    Fresh,
    /// One key has a fifth of all facts.
    Hot,
    /// All keys in turn.
    Even,
}

const START: EventTime = EventTime(1_767_225_600_000_000_000);

fn main() -> Result<()> {
    let options = Options::parse();
    ensure!(
        facts::TYPES.contains(&options.name.as_str()),
        "--type is one of {}",
        facts::TYPES.join(", ")
    );
    println!(
        "{}",
        timely::execute_directly(move |worker| run(worker, &options))
    );
    Ok(())
}

/// Makes the rules, all with the same conditions.
fn plans(options: &Options) -> Vec<Plan> {
    let plan = |at: usize| Plan {
        id: PlanId::of(&[b"benchmark", options.name.as_bytes(), &at.to_le_bytes()]),
        ..facts::plan(&options.name, Span::seconds(options.timespan))
    };
    (0..options.plans.max(1)).map(plan).collect()
}

fn stream(options: &Options, plans: &[Plan]) -> facts::FactStream {
    let stream = match options.stream {
        Stream::Skewed => facts::FactStream::skewed(options.seed, START),
        Stream::Fresh => facts::FactStream::fresh_keys(options.seed, START, 2_000),
        Stream::Hot => facts::FactStream::hot_key(options.seed, START),
        Stream::Even => facts::FactStream::even_keys(options.seed, START, options.keys),
    };
    let stream = stream.for_plans(plans);
    match options.over {
        Some(seconds) => {
            let step = i128::from(seconds) * i128::from(Span::SECOND.0) / options.facts as i128;
            stream.apart(Span(i64::try_from(step).unwrap_or(i64::MAX)))
        }
        None => stream,
    }
}

/// The operator on a worker, with its counters.
struct Graph {
    facts: Handle<u64, Fact>,
    directives: Handle<u64, Directive>,
    probe: ProbeHandle<u64>,
    rows: Rc<RefCell<u64>>,
    refused: Rc<RefCell<u64>>,
    /// Number of groups, and their bytes.
    size: Rc<RefCell<Option<(usize, usize)>>>,
    epoch: u64,
    /// The latest event time.
    latest: EventTime,
}

impl Graph {
    fn new(worker: &mut Worker) -> Self {
        let (rows, refused, size) = (Rc::default(), Rc::default(), Rc::default());
        let counted: Rc<RefCell<u64>> = Rc::clone(&rows);
        let limited: Rc<RefCell<u64>> = Rc::clone(&refused);
        let sized: Rc<RefCell<Option<(usize, usize)>>> = Rc::clone(&size);
        let probe = ProbeHandle::new();
        let (facts, directives) = worker.dataflow::<u64, _, _>(|scope| {
            let (facts_in, facts) = scope.new_input::<Fact>();
            let (directives_in, directives) = scope.new_input::<Directive>();
            let (above, links) = (empty(scope), empty(scope)); // No plan reads another.
            let correlated = correlate(facts, above, links, directives, None);
            let note = move |note: &CorrelateNote| match note {
                CorrelateNote::Size(groups, bytes) => {
                    *sized.borrow_mut() = Some((*groups, *bytes));
                }
                CorrelateNote::Counts(counts) => *limited.borrow_mut() += counts.limited,
                CorrelateNote::Retracted(..)
                | CorrelateNote::WhatIf(..)
                | CorrelateNote::Times(_) => {}
            };
            correlated.notes.inspect(note).probe_with(&probe);
            let row = move |_: &_| *counted.borrow_mut() += 1;
            correlated.rows.inspect(row).probe_with(&probe);
            (facts_in, directives_in)
        });
        Self {
            facts,
            directives,
            probe,
            rows,
            refused,
            size,
            epoch: 0,
            latest: EventTime::MIN,
        }
    }

    /// Ends the epoch, and waits until it is complete.
    fn step(&mut self, worker: &mut Worker) {
        self.epoch += 1;
        self.facts.advance_to(self.epoch);
        self.directives.advance_to(self.epoch);
        while self.probe.less_than(&self.epoch) {
            worker.step();
        }
    }

    /// Runs one epoch of facts, then advances the clock.
    fn run_epoch(&mut self, worker: &mut Worker, options: &Options, facts: &[Fact]) {
        for fact in facts {
            self.latest = self.latest.max(fact.time);
            self.facts.send(*fact);
        }
        let mut clock = TenantClock::start(facts[0].tenant);
        clock.watermark = self.latest.minus(Span::seconds(60));
        if let Some(horizon) = options.horizon {
            clock.settled = clock.watermark.minus(Span::seconds(horizon));
        }
        self.directives.send(Directive::Clock(clock));
        self.step(worker);
    }
}

/// Measurements of a run.
#[derive(Default)]
struct Measurements {
    facts: usize,
    wall_s: f64,
    cpu_s: f64,
    epochs_ms: Vec<f64>,
    rss_kib_by_million: Vec<u64>,
    /// The last state of the operator.
    state: Option<Json>,
}

impl Measurements {
    /// Sends all facts. They are generated in slices outside of the measured time, so that memory
    /// is that of the operator.
    fn take(
        graph: &mut Graph,
        worker: &mut Worker,
        options: &Options,
        mut stream: facts::FactStream,
    ) -> Self {
        let mut all = Self::default();
        while all.facts < options.facts {
            let wanted = 100_000.min(options.facts - all.facts);
            let slice: Vec<Fact> = stream.by_ref().take(wanted).collect();
            let (began, cpu_began) = (Instant::now(), machine::thread_cpu_seconds());
            for facts in slice.chunks(options.epoch.max(1)) {
                let at = Instant::now();
                graph.run_epoch(worker, options, facts);
                all.epochs_ms.push(at.elapsed().as_secs_f64() * 1e3);
            }
            all.wall_s += began.elapsed().as_secs_f64();
            all.cpu_s += machine::thread_cpu_seconds() - cpu_began;
            all.facts += slice.len();
            if let Some((groups, bytes)) = graph.size.borrow_mut().take() {
                // The operator reports it every 1,024 epochs, so before the end of this slice.
                let facts = graph.epoch / 1_024 * 1_024 * options.epoch as u64;
                let rss = memory("VmRSS");
                all.state =
                    Some(json!({"facts": facts, "groups": groups, "bytes": bytes, "rss_kib": rss}));
            }
            if all.facts / 1_000_000 > all.rss_kib_by_million.len() {
                all.rss_kib_by_million.push(memory("VmRSS"));
            }
        }
        all.epochs_ms.sort_by(f64::total_cmp);
        all
    }

    fn epoch_ms(&self, quantile: f64) -> f64 {
        self.epochs_ms[((self.epochs_ms.len() - 1) as f64 * quantile) as usize]
    }
}

fn run(worker: &mut Worker, options: &Options) -> Json {
    let plans = plans(options);
    let stream = stream(options, &plans);
    let before = memory("VmRSS");
    let mut graph = Graph::new(worker);
    for plan in plans {
        graph.directives.send(Directive::Install(Arc::new(plan)));
    }
    graph.step(worker);
    let all = Measurements::take(&mut graph, worker, options, stream);
    let name = options.stream.to_possible_value();
    json!({
        "benchmark": "correlate",
        "type": options.name,
        "timespan_s": options.timespan,
        "stream": name.map(|name| name.get_name().to_owned()),
        "facts": all.facts,
        "epoch": options.epoch,
        "horizon_s": options.horizon,
        "over_s": options.over,
        "plans": options.plans,
        "seed": options.seed,
        "load_average": machine::describe()["load_average"],
        "wall_s": all.wall_s,
        "cpu_s": all.cpu_s,
        "facts_per_cpu_s": all.facts as f64 / all.cpu_s,
        "epoch_ms_p50": all.epoch_ms(0.5),
        "epoch_ms_p99": all.epoch_ms(0.99),
        "epoch_ms_max": all.epoch_ms(1.0),
        "rows": *graph.rows.borrow(),
        "refused": *graph.refused.borrow(),
        "rss_kib_before": before,
        "rss_kib_by_million": all.rss_kib_by_million,
        "rss_kib_peak": memory("VmHWM"),
        "state": all.state,
    })
}

/// Reads a memory size of this process in KiB; 0 if the kernel does not report it.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    let size = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    size.unwrap_or(0)
}
