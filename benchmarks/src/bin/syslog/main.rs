//! `weir-syslog`: sends syslog over TCP and UDP to Weir and rsyslog in turn, and accounts for every
//! line.
//!
//! ```text
//! generated lines ──TCP, at full speed──► weir, weir without rules, rsyslog ──► kept
//!                 ──UDP, at a rate ────►      (one at a time)              ──► dropped, by whom
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

use engine::{Engine, Outcome, ProgramPaths};
use load::{LoadLines, SentLoad};

/// How far the event time of the first line lies in the past. It keeps all lines in the past.
const PAST: Span = Span::seconds(30);

/// Rates of datagrams, and their duration. The second rate is the documented one.
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
    /// The peer to measure.
    #[arg(long, default_value = "/usr/sbin/rsyslogd")]
    rsyslogd: PathBuf,
    /// Rounds of each engine over TCP; over UDP there is one.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Lines of a round over TCP.
    #[arg(long, default_value_t = 3_000_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    lines: u32,
    /// Measures only `tcp` or `udp`.
    #[arg(long, value_parser = ["tcp", "udp"])]
    only: Option<String>,
    /// Without the peer.
    #[arg(long)]
    alone: bool,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Parent of the engines' folders, on a disk with a real fsync.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Name of the run; its result goes to `benchmarks/runs/NAME.json`.
    #[arg(long, default_value = "syslog")]
    name: String,
}

struct Bench {
    arguments: Arguments,
    paths: ProgramPaths,
    lines: LoadLines,
    rows: Vec<Value>,
    /// Contradictions between the counts.
    faults: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let paths = ProgramPaths {
        weir: arguments.weir.clone(),
        rsyslogd: arguments.rsyslogd.clone(),
        folder: arguments.folder.clone(),
    };
    ensure!(
        arguments.alone || paths.rsyslogd.is_file(),
        "there is no {}; install rsyslog, or use --alone",
        paths.rsyslogd.display()
    );
    let most = UDP
        .iter()
        .map(|(rate, length)| rate * length.as_secs())
        .max();
    let count = usize::try_from(most.unwrap_or(0))?.max(arguments.lines as usize);
    let lines = LoadLines::new(arguments.seed, start()?, count);
    let mut bench = Bench {
        arguments,
        paths,
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
                    self.round(engine, None)?;
                }
            }
        }
        if wants("udp") {
            for rate in UDP {
                for &engine in engines {
                    self.round(engine, Some(rate))?;
                }
            }
        }
        Ok(())
    }

    fn round(&mut self, engine: Engine, udp: Option<(u64, Duration)>) -> Result<()> {
        let before = kernel::dropped_before_sockets();
        let running = engine.start(&self.paths)?;
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
        self.check(engine, &load, &sent, &outcome, before_sockets);
        self.rows.push(row);
        Ok(())
    }

    /// Checks that every line is accounted for, and that every alert was raised.
    fn check(&mut self, engine: Engine, load: &str, sent: &SentLoad, outcome: &Outcome, lost: u64) {
        let accounted = outcome.lines + outcome.dropped_by_kernel + outcome.dropped_by_weir;
        let mut fault = |text: String| {
            self.faults
                .push(format!("{}, {load}: {text}", engine.name()));
        };
        if accounted > sent.lines || sent.lines - accounted > lost {
            fault(format!("{} sent, {accounted} accounted for", sent.lines));
        }
        let reported = outcome.kernel_drops_reported;
        if reported.is_some_and(|reported| reported != outcome.dropped_by_kernel) {
            fault(format!("Weir reports {reported:?} drops by the kernel"));
        }
        let is_complete = outcome.lines == sent.lines && sent.refused == 0;
        let expected = match engine {
            Engine::Weir => self.lines.alerts(usize::try_from(sent.lines).unwrap_or(0)),
            Engine::WeirWithoutRules | Engine::Rsyslog => 0,
        };
        if is_complete && outcome.alerts != expected {
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
