//! `weir-generate`: writes generated lines to stdout.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use weir_scenario::Company;
use weir_scenario::load::LoadStream;
use weir_scenario::order::{Arrival, OrderExperiment, RULES};
use weir_scenario::{DeliveryPayload, DeliveryTransport, Scenario};
use weir_schema::{EventTime, Span};

/// Writes generated log lines; the same arguments give the same bytes.
#[derive(Debug, Parser)]
#[command(name = "weir-generate")]
struct Arguments {
    /// Seed of the generator.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    /// Event time of the first lines, as in RFC 3339.
    #[arg(long, global = true, default_value = "2026-03-02T08:00:00Z")]
    start: chrono::DateTime<chrono::Utc>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Twenty minutes of a company, with an intrusion. Agent events are left out.
    Company {
        /// Number of background lines.
        #[arg(long, default_value_t = weir_scenario::company::BACKGROUND_LINES)]
        lines: usize,
    },
    /// The load of the end-to-end benchmark.
    Load {
        /// Number of lines.
        #[arg(long, default_value_t = 1_000_000)]
        lines: u64,
        /// Lines per second of event time.
        #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
        per_second: u64,
    },
    /// JSON lines of the order experiment; for `--logsource product=order --time-field time`.
    Order {
        /// Minimum number of lines; lines that no rule matches fill them up.
        #[arg(long, default_value_t = 50_000)]
        lines: usize,
        /// `in`, `shuffled`, or `skewed:SPAN` with a span such as 300s.
        #[arg(long, default_value = "in", value_parser = arrival)]
        order: Arrival,
        /// Writes the two rules to `order.yml` in this folder.
        #[arg(long)]
        rules_out: Option<PathBuf>,
        /// Writes the alerts that must stand at the end, one JSON object a line.
        #[arg(long)]
        expected_out: Option<PathBuf>,
    },
}

fn arrival(text: &str) -> Result<Arrival, String> {
    match text.split_once(':') {
        None if text == "in" => Ok(Arrival::InOrder),
        None if text == "shuffled" => Ok(Arrival::Shuffled),
        Some(("skewed", span)) => Span::parse(span)
            .map(Arrival::Skewed)
            .ok_or_else(|| format!("`{span}` is not a span; write it as 300s")),
        _ => Err("orders are in, shuffled and skewed:SPAN".to_owned()),
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match write(&arguments) {
        // The reader may stop early.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn write(arguments: &Arguments) -> Result<()> {
    let start = arguments.start.timestamp_nanos_opt();
    let start = EventTime(start.context("--start must lie between the years 1678 and 2261")?);
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    match &arguments.command {
        Command::Company { lines } => {
            let scenario = Company::new(arguments.seed).plan_with(start, *lines);
            write_company(&mut out, &scenario)?;
        }
        Command::Load { lines, per_second } => {
            let stream = LoadStream::new(arguments.seed, start);
            write_load(&mut out, stream, start, *lines, *per_second)?;
        }
        Command::Order {
            lines,
            order,
            rules_out,
            expected_out,
        } => {
            let experiment = OrderExperiment::new(arguments.seed, start, *lines);
            if let Some(folder) = rules_out {
                write_file(&folder.join("order.yml"), RULES)?;
            }
            if let Some(file) = expected_out {
                let rows = experiment.standing.iter();
                let rows = rows.map(|row| format!("{}\n", row.to_json()));
                write_file(file, &rows.collect::<String>())?;
            }
            for line in experiment.lines_in(*order) {
                out.write_all(line.as_bytes())?;
                out.write_all(b"\n")?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

fn write_company(out: &mut impl Write, scenario: &Scenario) -> Result<()> {
    for delivery in &scenario.deliveries {
        if let DeliveryPayload::Line(line) = &delivery.payload {
            out.write_all(line)?;
            out.write_all(b"\n")?;
        }
    }
    let agent_events = scenario.deliveries_over(DeliveryTransport::Agent);
    eprintln!("left out {agent_events} agent events");
    Ok(())
}

fn write_load(
    out: &mut impl Write,
    mut stream: LoadStream,
    start: EventTime,
    lines: u64,
    per_second: u64,
) -> Result<()> {
    let (mut bytes, mut completed) = (Vec::new(), Vec::new());
    let mut second = 0;
    while stream.lines() < lines {
        let time = start.plus(Span::seconds(second));
        let left = (lines - stream.lines()).min(per_second);
        stream.chunk(time, left, &mut bytes, &mut completed);
        out.write_all(&bytes)?;
        bytes.clear();
        completed.clear();
        second += 1;
    }
    eprintln!("these lines must raise {} alerts", stream.alerts());
    Ok(())
}

fn write_file(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("could not write {}", file.display()))
}
