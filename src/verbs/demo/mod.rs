//! `weir demo`: starts the server on an empty folder, and sends it the logs of a made-up company.
//!
//! Event times begin so far in the past that the last one is about now: no event is ever ahead of
//! its receipt. The clock of the scenario runs `--speed` times faster than the wall clock. A source
//! counts as idle after five minutes of the scenario's time.

mod counter;
mod player;
mod result;

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use weir_ingest::{ReceiveClock, SystemClock};
use weir_scenario::Scenario;
use weir_scenario::company::{Company, LENGTH_SECONDS};
use weir_schema::{EventTime, Span};

use crate::builtin;
use crate::config::{Config, HumanDuration, ListenAddress, ListenConfig};
use crate::console;
use crate::exit::ExitError;
use crate::server::printer::LinePrinter;
use crate::server::signals::stop_requested;
use crate::server::topology::{self, Server};
use crate::text::printable;
use player::Player;
use result::DemoResult;

/// Start on an empty folder, and send the logs of a made-up company through every listener.
///
/// It has a hundred hosts and people, twenty minutes of their logs, one intrusion, and one alert
/// that a late log retracts.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Play the scenario, compare the alerts with its plan, print one line of JSON, and exit with 0
    /// or 1.
    #[arg(long)]
    once: bool,
    /// Seed of the company.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many times faster than real time [default: 60, with --once 120].
    #[arg(long, value_name = "N")]
    speed: Option<f64>,
}

/// Allowed speeds: from real time to as fast as possible.
const SPEEDS: std::ops::RangeInclusive<f64> = 1.0..=100_000.0;

/// Silence, in the scenario's time, after which a source no longer holds the watermark.
const IDLE_SECONDS: f64 = 300.0;

/// Runs the demo.
pub fn demo(args: &DemoArgs) -> Result<ExitCode> {
    let speed = args.speed.unwrap_or(if args.once { 120.0 } else { 60.0 });
    if !SPEEDS.contains(&speed) {
        let message = format!("--speed must be {} to {}", SPEEDS.start(), SPEEDS.end());
        return Err(ExitError::Usage(message).into());
    }
    let scratch = tempfile::Builder::new().prefix("weir-demo-").tempdir();
    let scratch = scratch.context("cannot create a temporary folder")?;
    let config = config(scratch.path(), speed, args.once);
    let (printer, printing) = if args.once {
        LinePrinter::to(std::io::stderr())?
    } else {
        LinePrinter::to(std::io::stdout())?
    };
    let outcome = actix_rt::System::new().block_on(async {
        let alerts = Some(printer.clone());
        let server = topology::start(&config, builtin::rules(), alerts).await?;
        let played = play(args, speed, &server, scratch.path(), printer).await;
        let stopped = server.stop().await;
        played.and_then(|outcome| stopped.map(|()| outcome))
    });
    // The thread ends with the last clone of the printer. A panic in it was printed already.
    let _ = printing.join();
    let outcome = outcome?;
    if let Some(summary) = &outcome.summary {
        console::out_json(summary);
    }
    Ok(outcome.code)
}

/// How a demo ended.
struct DemoOutcome {
    code: ExitCode,
    /// One line of JSON, for `--once`.
    summary: Option<String>,
}

impl DemoOutcome {
    const fn without_summary(code: ExitCode) -> Self {
        Self {
            code,
            summary: None,
        }
    }
}

/// Plays the scenario, and prints what happens and how it ended.
async fn play(
    args: &DemoArgs,
    speed: f64,
    server: &Server,
    folder: &Path,
    mut printer: LinePrinter,
) -> Result<DemoOutcome> {
    let scenario = plan(args.seed, speed);
    printer.print(opening(args.seed, &scenario, speed));
    let mut player = Player::connect(server).await?;
    let played = tokio::select! {
        played = player.play(&scenario, speed, &mut printer) => Some(played),
        stop = stop_requested() => { stop?; None }
    };
    match played {
        Some(Ok(())) => {}
        Some(Err(error)) if args.once => printer.print(format!("weir: {error:#}")),
        Some(Err(error)) => return Err(error),
        None if args.once => bail!("stopped before the story ended"),
        None => return Ok(DemoOutcome::without_summary(ExitCode::SUCCESS)),
    }
    let (sent, journaled) = (player.sent, player.counter.now());
    let result = DemoResult::compare(&server.ledger, &scenario.expected)?;
    printer.print(ending(&result, sent.all(), journaled.all()));
    let ok = result.holds() && sent == journaled;
    let code = if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    if args.once {
        let summary = result.summary(args.seed, sent, journaled).to_string();
        return Ok(DemoOutcome {
            code,
            summary: Some(summary),
        });
    }
    // Closes the connections of the player, which sends nothing more.
    drop(player);
    let stays = std::io::stdout().is_terminal();
    printer.print(invitation(server, folder, stays));
    if stays {
        stop_requested().await?;
    }
    Ok(DemoOutcome::without_summary(code))
}

/// The scenario, whose last event is about now if it is played at `speed`.
fn plan(seed: u64, speed: f64) -> Scenario {
    let real = Span((Span::seconds(LENGTH_SECONDS).0 as f64 / speed) as i64);
    let now = SystemClock.now().0;
    let start = now
        .saturating_add(real.0)
        .saturating_sub(Span::seconds(LENGTH_SECONDS).0);
    Company::new(seed).plan(EventTime(start))
}

/// The configuration: the default addresses if they are free and `--once` is not given, else
/// others.
fn config(folder: &Path, speed: f64, once: bool) -> Config {
    let mut config = Config {
        data_dir: Some(folder.join("data")),
        ..Config::default()
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let free = |address: ListenAddress, is_free: fn(SocketAddr) -> bool| {
        ListenAddress(Some(
            address.0.filter(|at| !once && is_free(*at)).unwrap_or(any),
        ))
    };
    let tcp_free = |at: SocketAddr| TcpListener::bind(at).is_ok();
    let udp_free = |at: SocketAddr| UdpSocket::bind(at).is_ok();
    let default = config.listen;
    config.listen = ListenConfig {
        syslog_udp: free(default.syslog_udp, udp_free),
        syslog_tcp: free(default.syslog_tcp, tcp_free),
        agent: free(default.agent, tcp_free),
        http: free(default.http, tcp_free),
        ..default
    };
    config.time.idle = HumanDuration(Span((IDLE_SECONDS / speed * 1e9) as i64));
    config
}

/// The first lines: the company, and how to read the output.
fn opening(seed: u64, scenario: &Scenario, speed: f64) -> String {
    let seconds = LENGTH_SECONDS as f64 / speed;
    format!(
        "A made-up company: 100 hosts, 100 people (seed {seed}). Twenty minutes of its logs, \
         {} lines,\nare sent in {seconds:.0} seconds, over syslog (UDP, TCP) and by agents. Each \
         line with a time (UTC)\nstates what happens in the company. The lines after it are \
         alerts, which Weir concludes from\nthe logs alone: + raised, ~ revised, - retracted.",
        scenario.deliveries.len()
    )
}

/// The last lines: what was sent, and how the alerts compare with the plan.
fn ending(result: &DemoResult, sent: u64, journaled: u64) -> String {
    let mut text = format!(
        "\nThe scenario has ended. {sent} lines were sent, {journaled} are in the journal. Weir \
         raised {} alerts: {} stand.",
        result.standing.len() + result.retracted.len(),
        result.standing.len()
    );
    for (alert, because) in &result.retracted {
        let why = match *because {
            "late_event" => "a late log shows that there was a ticket",
            other => other,
        };
        text.push_str(&format!(
            "\nIt retracted {}, since {why}.\nAn alert is not final while a log that may change it \
             can still arrive.",
            printable(&result::summary_line(alert))
        ));
    }
    for alert in &result.missing {
        text.push_str(&format!(
            "\nNOT AS PLANNED: {} is missing",
            printable(&result::summary_line(alert))
        ));
    }
    for alert in &result.unexpected {
        text.push_str(&format!("\nNOT AS PLANNED: {}", printable(alert)));
    }
    text
}

/// Instructions for sending own logs. A demo whose output is not a terminal has ended by then.
fn invitation(server: &Server, folder: &Path, stays: bool) -> String {
    let until = if stays {
        "it listens until Ctrl-C, and then deletes everything"
    } else {
        "started in a terminal, it keeps listening"
    };
    let at = &server.addresses;
    let text = |at: Option<SocketAddr>| at.map_or_else(|| "off".to_owned(), |at| at.to_string());
    let port = |at: Option<SocketAddr>| at.map_or(0, |at| at.port());
    let (http, token) = (text(at.http), &server.token);
    let dir = folder.join("data");
    let dir = dir.display();
    format!(
        "\nNow send it your own logs ({until}):\n\
         \n  logger --server 127.0.0.1 --port {tcp} --tcp --rfc5424 'hello from here'\
         \n  rsyslog:  *.* action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{tcp}\" \
         protocol=\"tcp\" TCP_Framing=\"octet-counted\")\
         \n  weir send --to {agent} --data-dir {dir} FILE\n\
         \nand look at the alerts:\n\
         \n  API      http://{http}/api/v1/alerts   (also /api/v1/alerts/ID/explanation)\
         \n  metrics  http://{http}/metrics\
         \n  token    {token}\
         \n  curl -H 'Authorization: Bearer {token}' http://{http}/api/v1/alerts\
         \n  weir explain ALERT --url http://{http} --data-dir {dir}\
         \n\nsyslog: UDP {udp}, TCP {tcp_at}; agents: {agent}",
        tcp = port(at.tcp),
        agent = text(at.agent),
        udp = text(at.udp),
        tcp_at = text(at.tcp),
    )
}
