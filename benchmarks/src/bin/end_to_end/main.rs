//! `weir-end-to-end`: throughput of a whole Weir, and the time from an event to its alert.
//!
//! ```text
//! LoadStream ──TCP, LF──► weir (child process, fresh folder, fsync on) ──NDJSON──► follower
//!     │                        │                                                  │
//!     └ due time of each       └ /metrics, /proc: journaled, CPU by thread,       └ arrival of each
//!       planted alert            peak memory                                        planted alert
//! ```

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::{Value, json};
use weir_benchmarks::server::{AlertFollower, ServerProcess, ServerSetup, ServerSnapshot};
use weir_benchmarks::{machine, metrics};
use weir_scenario::catalogue::alerting_rule;
use weir_scenario::load::{LoadStream, PlantedAlert};
use weir_schema::EventTime;

/// Length of a step in which lines are sent, if there is a rate.
const STEP: Duration = Duration::from_millis(10);
/// Lines per step without a rate: some 150 kB, more than the buffer of a socket.
const STEP_LINES_MAX: u64 = 1_000;
/// How long journaling and alerts may take after the last line was sent.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Measures a whole Weir on this machine.
#[derive(Debug, Parser)]
#[command(name = "weir-end-to-end")]
struct Arguments {
    /// The server to measure.
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// Lines per second; 0: as fast as the server accepts them.
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
    /// Workers of the graph [default: that of the server].
    #[arg(long)]
    workers: Option<u16>,
    /// Parent of the server's folder, on a disk with a real fsync.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Name of the run; its result goes to `benchmarks/runs/NAME.json`.
    #[arg(long, default_value = "end-to-end")]
    name: String,
}

/// When the last line of a planted alert was due, and whether it was measured.
struct DueAlert {
    at: Instant,
    measured: bool,
}

/// The sent load.
struct SentLoad {
    stream: LoadStream,
    due: HashMap<String, DueAlert>,
    /// The measured part: lines, duration, and counters at its start and end.
    lines: u64,
    seconds: f64,
    before: ServerSnapshot,
    after: ServerSnapshot,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let setup = ServerSetup {
        workers: arguments.workers,
        ..ServerSetup::default()
    };
    let server = ServerProcess::start(&arguments.weir, &arguments.folder, setup)?;
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
    check(&result)
}

/// Sends the load, with a snapshot at the start and the end of the measurement.
fn send(arguments: &Arguments, server: &ServerProcess) -> Result<SentLoad> {
    let mut socket = TcpStream::connect(server.tcp).context("could not connect to the server")?;
    socket.set_nodelay(true)?;
    let mut stream = LoadStream::new(arguments.seed, now()?);
    let (mut bytes, mut completed) = (Vec::new(), Vec::<PlantedAlert>::new());
    let mut due = HashMap::new();
    let started = Instant::now();
    let warm = Duration::from_secs(arguments.warm_up);
    let end = warm + Duration::from_secs(arguments.seconds);
    let mut begun: Option<(ServerSnapshot, u64, Instant)> = None;
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
            // With a rate, a line is due at its time even if the server accepts it later, so that
            // the wait before the socket counts.
            let at = match arguments.rate {
                0 => before_write,
                rate => started + Duration::from_secs_f64(planted.line as f64 / rate as f64),
            };
            let measured = begun.is_some();
            due.insert(planted.address, DueAlert { at, measured });
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
    Ok(SentLoad {
        stream,
        due,
        lines,
        seconds,
        before,
        after,
    })
}

/// Lines that are due after `elapsed` at a rate.
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

/// Waits until all lines are journaled and all alerts have arrived. Returns how long that took, or
/// `None` after the limit.
fn drain(
    server: &ServerProcess,
    follower: &AlertFollower,
    sent: &SentLoad,
) -> Result<Option<Duration>> {
    let began = Instant::now();
    while began.elapsed() < DRAIN_MAX {
        let journaled = server.snapshot()?.journaled;
        if journaled >= sent.stream.lines() as f64
            && follower.raised_total() >= sent.stream.alerts()
        {
            return Ok(Some(began.elapsed()));
        }
        ensure!(server.is_running()?, "the server stopped unexpectedly");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(None)
}

fn report(
    arguments: &Arguments,
    server: &ServerProcess,
    follower: &AlertFollower,
    sent: &SentLoad,
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
    let text = server.metrics()?;
    let journaled = metrics::sum(&text, "weir_events_journaled_total");
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
        "metrics": metrics::unlabelled(&text),
    }))
}

/// Fails if the counts of events or alerts are wrong.
fn check(result: &Value) -> Result<()> {
    let number = |name: &str| result[name].as_f64().unwrap_or(f64::NAN);
    for (found, expected) in [
        ("events_journaled", "lines_sent"),
        ("alerts_raised", "alerts_expected"),
    ] {
        if number(found) != number(expected) {
            bail!(
                "{found} is {}, but {expected} is {}",
                number(found),
                number(expected)
            );
        }
    }
    ensure!(
        number("alerts_retracted") == 0.0,
        "alerts were retracted, though no line was late"
    );
    ensure!(
        number("planted_alerts_missing") == 0.0,
        "planted alerts are missing"
    );
    Ok(())
}
