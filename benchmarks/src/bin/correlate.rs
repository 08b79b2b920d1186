//! How many facts a second does the correlation operator take, alone, on one core?
//!
//! `correlate [--type NAME] [--timespan SECONDS] [--facts N] [--epoch N] [--stream skewed|fresh]
//! [--horizon SECONDS] [--seed N]` runs the
//! timely operator on one worker over a seeded stream, with watermark and settled line moving after
//! every epoch, and prints one line of JSON: CPU seconds are those of the process while it ran.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use timely::dataflow::operators::core::{Inspect, Probe};
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::Input;
use weir_benchmarks::facts::{self, FactStream};
use weir_operators::{Clock, CorrelateNote, Directive, correlate};
use weir_schema::{EventTime, Fact, Span};

struct Options {
    name: String,
    timespan: Span,
    facts: usize,
    epoch: usize,
    fresh: bool,
    horizon: Option<Span>,
    seed: u64,
}

fn options() -> Result<Options> {
    let mut options = Options {
        name: "event_count".to_owned(),
        timespan: facts::TIMESPAN,
        facts: 2_000_000,
        epoch: 1_000,
        fresh: false,
        horizon: None,
        seed: 1,
    };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words
            .next()
            .with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--type" if facts::TYPES.contains(&value.as_str()) => options.name = value,
            "--type" => bail!("--type is one of {}", facts::TYPES.join(", ")),
            "--timespan" => options.timespan = Span::seconds(value.parse()?),
            "--facts" => options.facts = value.parse()?,
            "--epoch" => options.epoch = value.parse()?,
            "--stream" => options.fresh = value == "fresh",
            "--horizon" => options.horizon = Some(Span::seconds(value.parse()?)),
            "--seed" => options.seed = value.parse()?,
            other => bail!("unknown flag {other}"),
        }
    }
    Ok(options)
}

fn main() -> Result<()> {
    let options = options()?;
    let start = EventTime(1_767_225_600_000_000_000);
    let plan = facts::plan(&options.name, options.timespan);
    let stream = if options.fresh {
        FactStream::fresh_keys(options.seed, start, 2_000)
    } else {
        FactStream::skewed(options.seed, start)
    };
    let mut stream = stream.for_plan(&plan);
    let json = timely::execute_directly(move |worker| {
        let rows = Rc::new(RefCell::new(0_u64));
        let counted = Rc::clone(&rows);
        let size = Rc::new(RefCell::new(None));
        let sized = Rc::clone(&size);
        let (mut facts_in, mut directives_in, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let (facts_in, facts) = scope.new_input::<Fact>();
            let (directives_in, directives) = scope.new_input::<Directive>();
            let (above, links) = (empty(scope), empty(scope)); // Nothing is chained here.
            let correlated = correlate(facts, above, links, directives);
            correlated.notes.inspect(move |note| {
                if let CorrelateNote::Size(groups, bytes) = note {
                    *sized.borrow_mut() = Some((*groups, *bytes));
                }
            });
            let seen = correlated.rows.inspect(move |_| *counted.borrow_mut() += 1);
            (facts_in, directives_in, seen.probe().0)
        });
        directives_in.send(Directive::Put(Arc::new(plan)));
        let mut epoch = 1;
        facts_in.advance_to(epoch);
        directives_in.advance_to(epoch);
        let mut latest = EventTime::MIN;
        let mut settled = EventTime::MIN;
        let (mut wall, mut cpu, mut done) = (0.0, 0.0, 0_usize);
        let mut latencies: Vec<f64> = Vec::new();
        let mut marks: Vec<u64> = Vec::new();
        let mut measured: Option<(usize, (usize, usize))> = None;
        // Facts are made in slices outside of the measured time, so that memory is the operator's.
        while done < options.facts {
            let wanted = 100_000.min(options.facts - done);
            let slice: Vec<Fact> = stream.by_ref().take(wanted).collect();
            let (began, cpu_began) = (Instant::now(), cpu_seconds());
            for facts in slice.chunks(options.epoch) {
                let at = Instant::now();
                for fact in facts {
                    latest = latest.max(fact.time);
                    facts_in.send(*fact);
                }
                let watermark = latest.minus(Span::seconds(60));
                if let Some(horizon) = options.horizon {
                    settled = watermark.minus(horizon);
                }
                directives_in.send(Directive::Clock(Clock {
                    tenant: facts[0].tenant,
                    watermark,
                    settled,
                    ..Clock::start(facts[0].tenant)
                }));
                epoch += 1;
                facts_in.advance_to(epoch);
                directives_in.advance_to(epoch);
                while probe.less_than(&epoch) {
                    worker.step();
                }
                latencies.push(at.elapsed().as_secs_f64() * 1e3);
            }
            wall += began.elapsed().as_secs_f64();
            cpu += cpu_seconds() - cpu_began;
            done += slice.len();
            if let Some(found) = size.borrow_mut().take() {
                measured = Some((done, found));
            }
            if done * 10 / options.facts > marks.len() {
                marks.push(status_kib("VmRSS").unwrap_or(0));
            }
        }
        latencies.sort_by(f64::total_cmp);
        let quantile = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize];
        serde_json::json!({
            "benchmark": "correlate",
            "stream": if options.fresh { "fresh" } else { "skewed" },
            "facts": done,
            "epoch": options.epoch,
            "horizon_s": options.horizon.map(|span| span.0 / 1_000_000_000),
            "seed": options.seed,
            "wall_s": wall,
            "cpu_s": cpu,
            "facts_per_cpu_s": done as f64 / cpu,
            "epoch_ms_p50": quantile(0.5),
            "epoch_ms_p99": quantile(0.99),
            "rows": *rows.borrow(),
            "rss_kib_by_tenth": marks,
            "rss_peak_kib": status_kib("VmHWM"),
            "state": measured.map(|(facts, (groups, bytes))| serde_json::json!({
                "after_facts": facts,
                "groups": groups,
                "bytes": bytes,
            })),
        })
    });
    println!("{json}");
    Ok(())
}

/// CPU seconds of this process, in the kernel's ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A size that the kernel tells of this process.
fn status_kib(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
