//! Faults of listeners: others hold their connections, or flood them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Expected, FaultPattern, HealthLog};
use crate::case::{Case, Facts, Setting};
use crate::client;
use crate::lines;
use crate::server::{Setup, TorturedServer};

/// Listeners that have connections.
const LISTENERS: [&str; 3] = ["tcp", "http", "agent"];

/// Connections of each address: as many as one may have.
const EACH: usize = 256;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for listener in LISTENERS {
        for pattern in FaultPattern::ALL {
            let name = format!("listener-{listener}/{}", pattern.name());
            let question = "is an honest sender served while others hold connections?";
            cases.push(Case::new(name, question, move |setting| {
                run(listener, pattern, setting)
            }));
        }
    }
    cases
}

/// The first bytes of a connection that is held.
fn first_bytes(listener: &str, pattern: FaultPattern) -> &'static str {
    match (listener, pattern) {
        // Half a message.
        ("tcp", FaultPattern::Stalls) => "<38>1 half of a line",
        ("http", FaultPattern::Stalls) => "POST /api/v1/events HTT",
        ("tcp", _) => "<14>1 - x a - - - one line\\n",
        ("http", _) => "GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n",
        _ => "",
    }
}

fn run(listener: &'static str, pattern: FaultPattern, setting: &Setting) -> Result<Facts> {
    let mut server = TorturedServer::start(setting, &Setup::default())?;
    let (alerts, mut facts) = (server.alerts()?, Facts::default());
    let to = match listener {
        "tcp" => server.tcp,
        "http" => server.http,
        _ => server.agent,
    };
    let addresses: Vec<Ipv4Addr> = (1..=5).map(|last| Ipv4Addr::new(127, 0, 1, last)).collect();
    let holder = client::hold_connections(&addresses, EACH, to, first_bytes(listener, pattern))?;
    facts.note("held connections", holder.held);
    let mut holder = Some(holder);
    if pattern == FaultPattern::Once {
        holder = None;
    }
    let (mut health, began) = (HealthLog::default(), Instant::now());
    let (mut tries, mut served, mut slowest) = (0, 0, Duration::ZERO);
    while began.elapsed() < pattern.duration(setting).min(Duration::from_secs(45)) {
        let sent = Instant::now();
        tries += 1;
        let address = format!("198.51.100.{tries}");
        if serve(&server, listener, &address)?
            && alerts
                .wait_for(lines::GUESSING, &address, Duration::from_secs(5))
                .is_some()
        {
            served += 1;
            slowest = slowest.max(sent.elapsed());
        }
        health.sample(&server, began);
        std::thread::sleep(Duration::from_secs(1));
    }
    drop(holder);
    facts.judge(
        "honest senders served",
        format!("{served} of {tries}"),
        served == tries,
    );
    facts.note("slowest", format!("{:.1} s", slowest.as_secs_f64()));
    Expected::Well.judge(&mut facts, "healthz", health.live.as_ref(), setting);
    Expected::Either.judge(&mut facts, "readyz", health.ready.as_ref(), setting);
    facts.note("self-alerts", alerts.own().join(" "));
    server.stop_judged(&mut facts)?;
    server.remove();
    Ok(facts)
}

/// Sends an attack as an honest sender from another address would.
fn serve(server: &TorturedServer, listener: &str, address: &str) -> Result<bool> {
    let attack = lines::guessing(address, &lines::time(chrono::TimeDelta::zero()));
    let limit = Duration::from_secs(5);
    match listener {
        "tcp" => client::line_from(Ipv4Addr::new(127, 9, 9, 9), server.tcp, &attack),
        "http" => Ok(server
            .post(&attack, limit)
            .is_ok_and(|answer| answer.status == 200)),
        _ => send_as_agent(server, server.agent, &attack),
    }
}

/// Sends lines with `weir send`, which speaks the protocol of agents.
pub fn send_as_agent(server: &TorturedServer, agent: SocketAddr, lines: &str) -> Result<bool> {
    let (to, data) = (agent.to_string(), server.data().display().to_string());
    let words = [
        "send",
        "--to",
        &to,
        "--data-dir",
        &data,
        "--agent",
        "honest",
        "--patience",
        "5",
    ];
    let mut command = server.verb(&words);
    let output = client::run(&mut command, lines.as_bytes(), Duration::from_secs(10))?;
    Ok(output.is_some_and(|output| output.status.success()))
}
