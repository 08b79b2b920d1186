//! `weir-syslog`: syslog over TCP and UDP into Weir and rsyslog, in turns; every line accounted for.
//!
//! ```text
//! lines, made beforehand ──TCP, as fast as taken──► weir, weir without rules, rsyslog ──► kept
//!                        ──UDP, at a rate ────────►      (one at a time)              ──► dropped, by whom
//! ```

mod engine;
mod kernel;
mod load;
mod rsyslog;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::{Value, json};
use weir_benchmarks::machine;
use weir_schema::{EventTime, Span};

use engine::{Engine, Outcome, Places};
use load::{Lines, Sent};

/// How long before now the first line's event time is: all lines are in the past then.
const PAST: Span = Span::seconds(30);

/// Rates of datagrams, and for how long: the second is what is promised.
const UDP: [(u64, Duration); 2] = [
    (100_000, Duration::from_secs(10)),
    (200_000, Duration::from_secs(20)),
];

/// Measures Weir beside rsyslog on this machine.
#[derive(Debug, Parser)]
#[command(name = "weir-syslog")]
struct Arguments {
    /// The server to measure.
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// The peer.
    #[arg(long, default_value = "/usr/sbin/rsyslogd")]
    rsyslogd: PathBuf,
    /// Turns of each engine over TCP; over UDP each has one.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Lines of a turn over TCP.
    #[arg(long, default_value_t = 3_000_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    lines: u32,
    /// Only this: `tcp` or `udp`.
    #[arg(long, value_parser = ["tcp", "udp"])]
    only: Option<String>,
    /// Without the peer.
    #[arg(long)]
    alone: bool,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where engines have their fresh folders, on a disk whose fsync counts.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Name of the run; its result goes to `benchmarks/runs/NAME.json`.
    #[arg(long, default_value = "syslog")]
    name: String,
}

struct Bench {
    arguments: Arguments,
    places: Places,
    lines: Lines,
    rows: Vec<Value>,
    /// What does not add up.
    faults: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let places = Places {
        weir: arguments.weir.clone(),
        rsyslogd: arguments.rsyslogd.clone(),
        folder: arguments.folder.clone(),
    };
    ensure!(
        arguments.alone || places.rsyslogd.is_file(),
        "there is no {}; install rsyslog, or say --alone",
        places.rsyslogd.display()
    );
    let most = UDP
        .iter()
        .map(|(rate, length)| rate * length.as_secs())
        .max();
    let count = usize::try_from(most.unwrap_or(0))?.max(arguments.lines as usize);
    let lines = Lines::new(arguments.seed, start()?, count);
    let mut bench = Bench {
        arguments,
        places,
        lines,
        rows: Vec::new(),
        faults: Vec::new(),
    };
    bench.run()?;
    bench.publish()
}

fn start() -> Result<EventTime> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(EventTime(i64::try_from(now.as_nanos())?).minus(PAST))
}

impl Bench {
    fn run(&mut self) -> Result<()> {
        let engines = match self.arguments.alone {
            true => &[Engine::Weir, Engine::WeirWithoutRules][..],
            false => &[Engine::Weir, Engine::Rsyslog, Engine::WeirWithoutRules],
        };
        let only = self.arguments.only.clone();
        let wants = |load: &str| only.as_deref().is_none_or(|only| only == load);
        println!("{HEAD}");
        if wants("tcp") {
            for _ in 0..self.arguments.rounds {
                for &engine in engines {
                    self.turn(engine, None)?;
                }
            }
        }
        if wants("udp") {
            for rate in UDP {
                for &engine in engines {
                    self.turn(engine, Some(rate))?;
                }
            }
        }
        Ok(())
    }

    fn turn(&mut self, engine: Engine, udp: Option<(u64, Duration)>) -> Result<()> {
        let before = kernel::dropped_before_sockets();
        let running = engine.start(&self.places)?;
        let (sent, outcome) = running.measure(|running| match udp {
            None => self
                .lines
                .over_tcp(running.tcp(), self.arguments.lines as usize),
            Some((rate, length)) => self.lines.over_udp(running.udp(), rate, length),
        })?;
        let before_sockets = kernel::dropped_before_sockets() - before;
        let load = match udp {
            None => "TCP, as fast as taken".to_owned(),
            Some((rate, length)) => format!("UDP, {} k/s for {} s", rate / 1_000, length.as_secs()),
        };
        let row = outcome.row(engine, &load, &sent, before_sockets);
        println!("{}", shown(&row));
        self.judge(engine, &load, &sent, &outcome, before_sockets);
        self.rows.push(row);
        Ok(())
    }

    /// Every line must be accounted for, and every alert have come.
    fn judge(&mut self, engine: Engine, load: &str, sent: &Sent, outcome: &Outcome, lost: u64) {
        let accounted = outcome.lines + outcome.dropped_by_kernel + outcome.dropped_by_us;
        let mut fault = |what: String| {
            self.faults
                .push(format!("{}, {load}: {what}", engine.name()));
        };
        if accounted > sent.lines || sent.lines - accounted > lost {
            fault(format!("{} sent, {accounted} accounted for", sent.lines));
        }
        let told = outcome.kernel_drops_told;
        if told.is_some_and(|told| told != outcome.dropped_by_kernel) {
            fault(format!("{told:?} said to be dropped by the kernel"));
        }
        let whole = outcome.lines == sent.lines && sent.refused == 0;
        let expected = match engine {
            Engine::Weir => self.lines.alerts(usize::try_from(sent.lines).unwrap_or(0)),
            Engine::WeirWithoutRules | Engine::Rsyslog => 0,
        };
        if whole && outcome.alerts != expected {
            fault(format!("{} alerts, {expected} planned", outcome.alerts));
        }
    }

    fn publish(self) -> Result<()> {
        let result = json!({
            "question": "how many lines a second over TCP, and what is lost over UDP, beside rsyslog?",
            "machine": machine::describe(),
            "commit": machine::commit(),
            "seed": self.arguments.seed,
            "rows": self.rows,
            "faults": self.faults,
        });
        let file = PathBuf::from("benchmarks/runs").join(format!("{}.json", self.arguments.name));
        std::fs::create_dir_all("benchmarks/runs").context("could not make benchmarks/runs")?;
        std::fs::write(&file, format!("{result:#}\n"))
            .with_context(|| format!("could not write {}", file.display()))?;
        println!("{}", file.display());
        match self.faults.as_slice() {
            [] => Ok(()),
            faults => bail!("{}", faults.join("; ")),
        }
    }
}

const HEAD: &str = "| engine | load | sent | sent/s | kept | dropped: kernel, engine | kept/s | \
                    judged/s | lines/CPU s | peak MB |\n\
                    |---|---|---|---|---|---|---|---|---|---|";

fn shown(row: &Value) -> String {
    let number = |name: &str| row[name].as_f64().unwrap_or(0.0);
    let text = |name: &str| row[name].as_str().unwrap_or("").to_owned();
    format!(
        "| {} | {} | {} | {:.0} k | {} | {}, {} | {:.0} k | {:.0} k | {:.0} k | {:.0} |",
        text("engine"),
        text("load"),
        number("sent"),
        number("sent") / number("sending_seconds") / 1e3,
        number("kept"),
        number("dropped_by_kernel_at_the_socket"),
        number("dropped_by_weir"),
        number("kept") / number("kept_seconds") / 1e3,
        number("lines_per_second") / 1e3,
        number("lines_per_cpu_second") / 1e3,
        number("memory_peak_bytes") / 1e6,
    )
}
