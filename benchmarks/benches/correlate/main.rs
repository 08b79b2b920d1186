//! Benchmark of correlation: events per second on one core, and results for late events.
//!
//! It compares Weir with other engines. `cargo bench -p weir-benchmarks --bench correlate` runs all
//! parts; `benchmarks/README.md` describes them.

mod edits;
mod facts;
mod peers;
mod python;
mod race;
mod rsigma;
mod rules;
mod skew;
mod weir;

use std::path::Path;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde_json::json;
use weir_benchmarks::machine;

#[derive(Parser)]
struct Options {
    /// Parts to run [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds of each engine, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Maximum number of events of a comparison.
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// Writes the result to benchmarks/runs/NAME.json.
    #[arg(long)]
    name: Option<String>,
    /// Runs one engine alone, for a profiler, and prints its CPU time.
    #[arg(long, value_enum)]
    alone: Option<peers::Engine>,
    /// Set by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// False and missed groups of all types at all skews.
    Skew,
    /// Weir and rsigma-eval, from bytes.
    Rsigma,
    /// Weir and rsigma-eval by window length and number of distinct values.
    Curve,
    /// Weir, bytewax and pathway, from bytes.
    Python,
    /// A thousand correlations over two hundred selections.
    Rules,
    /// Time from an edit to its corrections, through the graph.
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
