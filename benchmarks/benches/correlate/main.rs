//! How many events a second does Weir correlate on one core, beside the engines that there are, and
//! what does each make of events that come out of order?
//!
//! `cargo bench -p weir-benchmarks --bench correlate` runs all of it; `benchmarks/README.md` says
//! what is measured and how.

mod edits;
mod facts;
mod ours;
mod peers;
mod python;
mod race;
mod rules;
mod skew;
mod theirs;

use std::path::Path;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde_json::json;
use weir_benchmarks::machine;

#[derive(Parser)]
struct Options {
    /// Parts to run; all if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds of each engine, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Events of a race, at most.
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// The result is written to benchmarks/runs/NAME.json.
    #[arg(long)]
    name: Option<String>,
    /// Runs one engine alone over a race of events, and prints what it took: to profile it.
    #[arg(long, value_enum)]
    alone: Option<peers::Engine>,
    /// Cargo says that this is a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// All types at all skews: false and missed groups.
    Skew,
    /// Beside rsigma-eval, from bytes.
    Rsigma,
    /// Beside rsigma-eval, over lengths of windows and distinct values.
    Curve,
    /// Beside bytewax and pathway, from bytes.
    Python,
    /// A thousand correlations over two hundred selections.
    Rules,
    /// From an edit to its corrections, through the graph.
    Edits,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(engine) = options.alone {
        println!("{}", peers::alone(engine, options.events, options.rounds)?);
        return Ok(());
    }
    let runs = |part| options.only.is_empty() || options.only.contains(&part);
    let machine = machine::describe();
    let mut run = json!({
        "question": "how many events a second are correlated on one core, and how exactly?",
        "machine": machine,
        "commit": machine::commit(),
        "rounds": options.rounds,
        "rsigma_eval": "0.23.0, no limit on groups",
    });
    if runs(Part::Skew) {
        run["skew"] = skew::run()?;
    }
    if runs(Part::Rsigma) {
        run["rsigma"] = peers::run(options.events, options.rounds)?;
    }
    if runs(Part::Curve) {
        run["curve"] = peers::curve(options.rounds)?;
    }
    if runs(Part::Python) {
        run["python"] = python::run(options.events, options.rounds)?;
    }
    if runs(Part::Rules) {
        run["rules"] = rules::run(options.events, options.rounds)?;
    }
    if runs(Part::Edits) {
        run["edits"] = edits::run()?;
    }
    let Some(name) = &options.name else {
        return Ok(());
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("runs/{name}.json"));
    std::fs::write(&file, format!("{run:#}\n"))
        .with_context(|| format!("could not write {}", file.display()))
}
