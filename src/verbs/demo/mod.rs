//! `weir demo`: the server on a fresh folder, and a made-up company that sends its logs to it.
//!
//! Event times lie in the past when they are sent, by just so much that the last one is about now:
//! no event is ever ahead of its receipt. The scenario's clock runs `--speed` times faster than
//! ours, and so does its patience: a source counts as idle after five minutes of *its* time.

mod answer;
mod play;
mod tally;

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use weir_scenario::company::{Company, LENGTH_SECONDS};
use weir_scenario::Scenario;
use weir_ingest::{Clock, SystemClock};
use weir_schema::{EventTime, Span};

use crate::config::{Config, Door, Duration, Listen};
use crate::observe::{Printer, shown};
use crate::{builtin, run, topology};
use answer::Answer;
use play::Player;
use topology::Server;

/// Start on a fresh folder, and play a made-up company through every door.
///
/// A hundred hosts and people, twenty minutes of their logs, one intrusion, and one alert that a
/// late log takes back.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Play it, compare with the plan, print one line of JSON, and exit with 0 or 1.
    #[arg(long)]
    once: bool,
    /// Which company.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many times faster than it happened [default: 60, with --once 120].
    #[arg(long, value_name = "N")]
    speed: Option<f64>,
}

/// Speeds that make sense: in real time, to as fast as it goes.
const SPEEDS: std::ops::RangeInclusive<f64> = 1.0..=100_000.0;

/// After so much of its own time a silent source stops holding the watermark.
const IDLE_SECONDS: f64 = 300.0;

/// Runs the demo.
pub fn demo(args: &DemoArgs) -> Result<ExitCode> {
    let speed = args.speed.unwrap_or(if args.once { 120.0 } else { 60.0 });
    if !SPEEDS.contains(&speed) {
        let message = format!("--speed must be {} to {}", SPEEDS.start(), SPEEDS.end());
        return Err(crate::cli::Failure::Usage(message).into());
    }
    let scratch = tempfile::Builder::new().prefix("weir-demo-").tempdir();
    let scratch = scratch.context("cannot make a temporary folder")?;
    let config = config(scratch.path(), speed, args.once);
    let (printer, printing) = if args.once {
        Printer::to(std::io::stderr())?
    } else {
        Printer::to(std::io::stdout())?
    };
    let code = actix_rt::System::new().block_on(async {
        let said = Some(printer.clone());
        let server = topology::start(&config, builtin::rules(), said).await?;
        let told = tell(args, speed, &server, scratch.path(), printer).await;
        let stopped = server.stop().await;
        told.and_then(|code| stopped.map(|()| code))
    });
    // Ends with the last clone of the printer; a panic in it was said already.
    let _ = printing.join();
    let told = code?;
    if let Some(summary) = &told.summary {
        println!("{summary}");
    }
    Ok(told.code)
}

/// How it ended.
struct Told {
    code: ExitCode,
    summary: Option<String>,
}

async fn tell(
    args: &DemoArgs,
    speed: f64,
    server: &Server,
    folder: &Path,
    mut printer: Printer,
) -> Result<Told> {
    let real = Duration(Span(
        (Span::seconds(LENGTH_SECONDS).0 as f64 / speed) as i64,
    ));
    let now = SystemClock.now().0;
    let start = now
        .saturating_add(real.0.0)
        .saturating_sub(Span::seconds(LENGTH_SECONDS).0);
    let scenario = Company::new(args.seed).plan(EventTime(start));
    printer.print(opening(args.seed, &scenario, speed));
    let mut player = Player::connect(server).await?;
    let played = tokio::select! {
        played = player.play(&scenario, speed, &mut printer) => Some(played),
        stop = run::stop_asked() => { stop?; None }
    };
    match played {
        Some(Ok(())) => {}
        Some(Err(error)) if args.once => printer.print(format!("weir: {error:#}")),
        Some(Err(error)) => return Err(error),
        None if args.once => bail!("stopped before the story ended"),
        None => {
            let code = ExitCode::SUCCESS;
            return Ok(Told {
                code,
                summary: None,
            });
        }
    }
    let (sent, journaled) = (player.sent, player.tally.now());
    let answer = Answer::of(&server.ledger, &scenario.expected)?;
    printer.print(ending(&answer, sent.all(), journaled.all()));
    let ok = answer.holds() && sent == journaled;
    let code = if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    if args.once {
        let summary = answer.summary(args.seed, sent, journaled).to_string();
        return Ok(Told {
            code,
            summary: Some(summary),
        });
    }
    // Its connections would only hold what may now come from others.
    drop(player);
    let stays = std::io::stdout().is_terminal();
    printer.print(invitation(server, folder, stays));
    if stays {
        run::stop_asked().await?;
    }
    Ok(Told {
        code,
        summary: None,
    })
}

/// The default doors where they are free; `--once` leaves those to others.
fn config(folder: &Path, speed: f64, once: bool) -> Config {
    let mut config = Config {
        data_dir: Some(folder.join("data")),
        ..Config::default()
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let door = |door: Door, is_free: fn(SocketAddr) -> bool| {
        Door(Some(
            door.0.filter(|at| !once && is_free(*at)).unwrap_or(any),
        ))
    };
    let tcp_free = |at: SocketAddr| TcpListener::bind(at).is_ok();
    let udp_free = |at: SocketAddr| UdpSocket::bind(at).is_ok();
    let wanted = config.listen;
    config.listen = Listen {
        syslog_udp: door(wanted.syslog_udp, udp_free),
        syslog_tcp: door(wanted.syslog_tcp, tcp_free),
        agent: door(wanted.agent, tcp_free),
        http: door(wanted.http, tcp_free),
        ..wanted
    };
    config.time.idle = Duration(Span((IDLE_SECONDS / speed * 1e9) as i64));
    config
}

fn opening(seed: u64, scenario: &Scenario, speed: f64) -> String {
    let seconds = LENGTH_SECONDS as f64 / speed;
    format!(
        "A made-up company: 100 hosts, 100 people (seed {seed}). Twenty minutes of its logs, \
         {} lines,\nare sent in {seconds:.0} seconds, over syslog (UDP, TCP) and by agents. What \
         happens stands after its\ntime (UTC); what Weir concludes from the logs alone follows: \
         + raised, ~ revised, - retracted,\nwhich is to say taken back.",
        scenario.deliveries.len()
    )
}

fn ending(answer: &Answer, sent: u64, journaled: u64) -> String {
    let mut text = format!(
        "\nThat was all. {sent} lines were sent, {journaled} are in the journal. Weir raised {} \
         alerts: {} stand.",
        answer.standing.len() + answer.retracted.len(),
        answer.standing.len()
    );
    for (alert, because) in &answer.retracted {
        let why = match *because {
            "late_event" => "a log came in late that says otherwise: there was a ticket",
            other => other,
        };
        text.push_str(&format!(
            "\nIt took back {}, since {why}.\nNo alert is ever final while a log that bears on it \
             may still be on its way.",
            shown(&answer::said(alert))
        ));
    }
    for alert in &answer.missing {
        text.push_str(&format!(
            "\nNOT AS PLANNED: {} is missing",
            shown(&answer::said(alert))
        ));
    }
    for what in &answer.unexpected {
        text.push_str(&format!("\nNOT AS PLANNED: {}", shown(what)));
    }
    text
}

/// How to go on from here. A demo whose output goes to a file or pipe ends when it is told.
fn invitation(server: &Server, folder: &Path, stays: bool) -> String {
    let until = if stays {
        "it listens until Ctrl-C, and then forgets everything"
    } else {
        "started in a terminal, it goes on listening"
    };
    let at = &server.addresses;
    let shown = |at: Option<SocketAddr>| at.map_or_else(|| "off".to_owned(), |at| at.to_string());
    let port = |at: Option<SocketAddr>| at.map_or(0, |at| at.port());
    let (http, token) = (shown(at.http), &server.token);
    let dir = folder.join("data");
    let dir = dir.display();
    format!(
        "\nNow send it your own ({until}):\n\
         \n  logger --server 127.0.0.1 --port {tcp} --tcp --rfc5424 'hello from here'\
         \n  rsyslog:  *.* action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{tcp}\" \
         protocol=\"tcp\" TCP_Framing=\"octet-counted\")\
         \n  weir send --to {agent} --data-dir {dir} FILE\n\
         \nand look at what it says:\n\
         \n  API      http://{http}/api/v1/alerts   (also /api/v1/alerts/ID/explanation)\
         \n  metrics  http://{http}/metrics\
         \n  token    {token}\
         \n  curl -H 'Authorization: Bearer {token}' http://{http}/api/v1/alerts\
         \n  weir explain ALERT --url http://{http} --data-dir {dir}\
         \n\nsyslog: UDP {udp}, TCP {tcp_at}; agents: {agent}",
        tcp = port(at.tcp),
        agent = shown(at.agent),
        udp = shown(at.udp),
        tcp_at = shown(at.tcp),
    )
}
