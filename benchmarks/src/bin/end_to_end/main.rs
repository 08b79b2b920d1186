//! `weir-end-to-end`: how much a whole Weir takes, and how soon it alerts.
//!
//! ```text
//! LoadStream ──TCP, LF──► weir (child process, fresh folder, fsync on) ──NDJSON──► follower
//!     │                        │                                                  │
//!     └ when each planted      └ /metrics, /proc: journaled, CPU by thread,       └ when each planted
//!       alert became due         peak memory                                        alert came
//! ```

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::{Value, json};
use weir_benchmarks::server::{Follower, Server, Setup, Snapshot};
use weir_benchmarks::{machine, metrics};
use weir_scenario::catalogue::alerting_rule;
use weir_scenario::load::{Completed, LoadStream};
use weir_schema::EventTime;

/// Lines are sent in steps of so long when a rate is asked for.
const STEP: Duration = Duration::from_millis(10);
/// Lines of one step when there is no rate: some 150 kB, which is more than a socket holds.
const STEP_LINES_MAX: u64 = 1_000;
/// How long what was sent may take to be journaled, and its alerts to come, once sending has ended.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Measures a whole Weir on this machine.
#[derive(Debug, Parser)]
#[command(name = "weir-end-to-end")]
struct Arguments {
    /// The server to measure.
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// Lines a second; 0: as fast as they are taken.
    #[arg(long, default_value_t = 60_000)]
    rate: u64,
    /// Length of the measurement, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Load before the measurement, in seconds.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(..=3_600))]
    warm_up: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Workers of the server's graph, where not its default.
    #[arg(long)]
    workers: Option<u16>,
    /// Where the server's fresh folder is made, on a disk whose fsync counts.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Name of the run; its result goes to `benchmarks/runs/NAME.json`.
    #[arg(long, default_value = "end-to-end")]
    name: String,
}

/// A planted alert: when its last line was due to be sent, and whether the measurement had begun.
struct Due {
    at: Instant,
    measured: bool,
}

/// What was sent.
struct Sent {
    stream: LoadStream,
    due: HashMap<String, Due>,
    /// The measured part: lines, how long it took, and what `/proc` said at both ends.
    lines: u64,
    seconds: f64,
    before: Snapshot,
    after: Snapshot,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let setup = Setup {
        workers: arguments.workers,
        ..Setup::default()
    };
    let server = Server::start(&arguments.weir, &arguments.folder, setup)?;
    let follower = server.follow_alerts()?;
    let sent = send(&arguments, &server)?;
    let drained = drain(&server, &follower, &sent)?;
    let result = report(&arguments, &server, &follower, &sent, drained)?;
    server.stop()?;
    let file = PathBuf::from("benchmarks/runs").join(format!("{}.json", arguments.name));
    std::fs::create_dir_all("benchmarks/runs").context("could not make benchmarks/runs")?;
    let text = format!("{result:#}\n");
    std::fs::write(&file, &text).with_context(|| format!("could not write {}", file.display()))?;
    print!("{text}");
    verdict(&result)
}

/// Sends the load, and takes a snapshot where the measurement begins and ends.
fn send(arguments: &Arguments, server: &Server) -> Result<Sent> {
    let mut socket = TcpStream::connect(server.tcp).context("could not connect to the server")?;
    socket.set_nodelay(true)?;
    let mut stream = LoadStream::new(arguments.seed, now()?);
    let (mut bytes, mut completed) = (Vec::new(), Vec::<Completed>::new());
    let mut due = HashMap::new();
    let started = Instant::now();
    let warm = Duration::from_secs(arguments.warm_up);
    let end = warm + Duration::from_secs(arguments.seconds);
    let mut begun: Option<(Snapshot, u64, Instant)> = None;
    loop {
        let elapsed = started.elapsed();
        if begun.is_none() && elapsed >= warm {
            begun = Some((server.snapshot()?, stream.lines(), Instant::now()));
        }
        if elapsed >= end {
            break;
        }
        let lines = match arguments.rate {
            0 => STEP_LINES_MAX,
            rate => due_lines(rate, elapsed).saturating_sub(stream.lines()),
        };
        stream.chunk(now()?, lines, &mut bytes, &mut completed);
        let before_write = Instant::now();
        for planted in completed.drain(..) {
            // Where a rate is asked for, a line is due by it, even if the server takes it later:
            // what waits before the socket waits all the same.
            let at = match arguments.rate {
                0 => before_write,
                rate => started + Duration::from_secs_f64(planted.line as f64 / rate as f64),
            };
            let measured = begun.is_some();
            due.insert(planted.address, Due { at, measured });
        }
        socket
            .write_all(&bytes)
            .context("the server closed the connection")?;
        bytes.clear();
        if arguments.rate > 0 {
            std::thread::sleep(STEP.saturating_sub(before_write.elapsed()));
        }
    }
    let (before, lines_before, began) = begun.context("the measurement never began")?;
    let seconds = began.elapsed().as_secs_f64();
    let after = server.snapshot()?;
    let lines = stream.lines() - lines_before;
    Ok(Sent {
        stream,
        due,
        lines,
        seconds,
        before,
        after,
    })
}

/// Lines that a rate asks for after so long.
fn due_lines(rate: u64, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(rate) * elapsed.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
}

fn now() -> Result<EventTime> {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    Ok(EventTime(
        i64::try_from(elapsed.as_nanos()).context("the clock is after 2262")?,
    ))
}

/// Waits until all is journaled and every alert has come; says how long that took, or `None` if it
/// never did.
fn drain(server: &Server, follower: &Follower, sent: &Sent) -> Result<Option<Duration>> {
    let began = Instant::now();
    while began.elapsed() < DRAIN_MAX {
        let journaled = server.snapshot()?.journaled;
        if journaled >= sent.stream.lines() as f64
            && follower.raised_total() >= sent.stream.alerts()
        {
            return Ok(Some(began.elapsed()));
        }
        ensure!(server.is_running()?, "the server ended by itself");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(None)
}

fn report(
    arguments: &Arguments,
    server: &Server,
    follower: &Follower,
    sent: &Sent,
    drained: Option<Duration>,
) -> Result<Value> {
    let rule = alerting_rule("ssh_password_guessing").context("the catalogue lacks its rule")?;
    let (mut latencies, mut missing) = (Vec::new(), 0_u64);
    for (address, due) in &sent.due {
        match follower.raised_at(rule.id, address) {
            Some(at) if due.measured => latencies.push(at.saturating_duration_since(due.at)),
            Some(_) => {}
            None => missing += 1,
        }
    }
    latencies.sort_unstable();
    let said = server.metrics()?;
    let journaled = metrics::sum(&said, "weir_events_journaled_total");
    let cpu = machine::difference(&sent.before.threads, &sent.after.threads);
    let cpu_total: f64 = cpu.values().sum();
    Ok(json!({
        "question": "how many syslog lines a second does Weir take, and how soon does it alert?",
        "machine": machine::describe(),
        "commit": machine::commit(),
        "seed": arguments.seed,
        "workers_asked": arguments.workers,
        "rate_asked": arguments.rate,
        "warm_up_seconds": arguments.warm_up,
        "measured_seconds": sent.seconds,
        "measured_lines_sent": sent.lines,
        "events_per_second": (sent.after.journaled - sent.before.journaled) / sent.seconds,
        "lines_sent": sent.stream.lines(),
        "events_journaled": journaled,
        "drained_seconds": drained.map(|drained| drained.as_secs_f64()),
        "alerts_expected": sent.stream.alerts(),
        "alerts_raised": follower.raised_total(),
        "alerts_retracted": follower.retracted_total(),
        "planted_alerts_missing": missing,
        "event_to_alert_ms": {
            "samples": latencies.len(),
            "p50": machine::percentile_ms(&latencies, 50),
            "p99": machine::percentile_ms(&latencies, 99),
            "max": machine::percentile_ms(&latencies, 100),
        },
        "cpu_seconds_by_thread": cpu,
        "cpu_seconds": cpu_total,
        "cpu_microseconds_per_event": cpu_total * 1e6 / (sent.lines.max(1) as f64),
        "memory_peak_bytes": server.memory_peak_bytes()?,
        "folder_bytes": server.folder_bytes()?,
        "metrics": metrics::unlabelled(&said),
    }))
}

/// A run whose numbers of events or alerts are wrong is no measurement.
fn verdict(result: &Value) -> Result<()> {
    let number = |name: &str| result[name].as_f64().unwrap_or(f64::NAN);
    for (found, wanted) in [
        ("events_journaled", "lines_sent"),
        ("alerts_raised", "alerts_expected"),
    ] {
        if number(found) != number(wanted) {
            bail!(
                "{found} is {}, but {wanted} is {}",
                number(found),
                number(wanted)
            );
        }
    }
    ensure!(
        number("alerts_retracted") == 0.0,
        "alerts were retracted, though no line was late"
    );
    ensure!(
        number("planted_alerts_missing") == 0.0,
        "planted alerts never came"
    );
    Ok(())
}
