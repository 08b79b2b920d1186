//! `weir-torture`: runs a real Weir under faults, and judges whether it loses, blinds or sticks.
//!
//! ```text
//! case (data) ──► TorturedServer: the binary, a fresh folder, the fault ──► facts ──► verdict ──► table
//!                    │ lines: HTTP (acknowledged), TCP   │ /healthz, /readyz, alert stream, exit code
//!                    └ journal, read by this program ────┘
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use rand::seq::SliceRandom;
use serde_json::json;
use weir_benchmarks::machine;
use weir_scenario::random::seeded;

mod case;
use case::{Case, CaseReport, Setting, Verdict};

mod alerts;
mod client;
mod consumer;
mod faults;
mod journal;
mod lines;
mod server;

mod matrix;
mod weaknesses;

mod table;

/// Runs Weir under faults, and prints cases, counts and verdicts.
#[derive(Debug, Parser)]
#[command(name = "weir-torture")]
struct Arguments {
    /// The server to judge. Older versions can be judged too: what they lack fails its case.
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// Runs only the cases whose names contain one of these texts.
    #[arg(long, value_delimiter = ',')]
    filter: Vec<String>,
    /// Lists the cases, with their longest duration, and runs none.
    #[arg(long)]
    list: bool,
    /// Faults of 8 s instead of 75 s, and fewer rounds. Stalls are then too short to be found.
    #[arg(long)]
    quick: bool,
    /// Runs the cases in a random order of this seed; 0: as listed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Cases that run at once. Most only wait; more of them make each slower.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: u8,
    /// Parent of the servers' folders.
    #[arg(long, default_value = "target/torture")]
    folder: PathBuf,
    /// Writes the result to `benchmarks/runs/NAME.json` and `NAME.md` too.
    #[arg(long)]
    name: Option<String>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let weir = std::path::absolute(&arguments.weir)?;
    let folder = std::path::absolute(&arguments.folder)?;
    std::fs::create_dir_all(&folder).context("could not make the folder of the servers")?;
    let setting = Setting {
        weir,
        folder,
        quick: arguments.quick,
    };
    let chosen = |name: &str| {
        let any = arguments
            .filter
            .iter()
            .any(|part| name.contains(part.as_str()));
        any || arguments.filter.is_empty()
    };
    let mut cases = weaknesses::cases();
    cases.extend(matrix::cases());
    cases.retain(|case| chosen(&case.name));
    if arguments.seed != 0 {
        cases.shuffle(&mut seeded(arguments.seed, 0));
    }
    if arguments.list {
        for case in &cases {
            println!("{:40} {}", case.name, case.question);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let reports = run(&cases, &setting, arguments.jobs);
    print!("{}", table::markdown(&reports));
    if let Some(name) = &arguments.name {
        write(name, &arguments, &reports, began.elapsed())?;
    }
    let bad = reports.iter().any(|report| report.verdict == Verdict::Bad);
    Ok(if bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Runs all cases, some at once, and returns their reports in order.
fn run(cases: &[Case], setting: &Setting, jobs: u8) -> Vec<CaseReport> {
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(place) else {
                return;
            };
            let report = case.run(setting);
            eprintln!("{}", table::line(&report));
            let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
            reports.insert(place, report);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.into_values().collect()
}

/// Writes the raw results and the table.
fn write(name: &str, arguments: &Arguments, reports: &[CaseReport], took: Duration) -> Result<()> {
    let folder = Path::new("benchmarks/runs");
    std::fs::create_dir_all(folder).context("could not make benchmarks/runs")?;
    let result = json!({
        "question": "does Weir lose, go blind or get stuck under faults?",
        "machine": machine::describe(),
        "commit": machine::commit(),
        "seed": arguments.seed,
        "quick": arguments.quick,
        "seconds": took.as_secs(),
        "cases": reports.iter().map(CaseReport::json).collect::<Vec<_>>(),
    });
    std::fs::write(folder.join(format!("{name}.json")), format!("{result:#}\n"))?;
    std::fs::write(folder.join(format!("{name}.md")), table::markdown(reports))?;
    Ok(())
}
