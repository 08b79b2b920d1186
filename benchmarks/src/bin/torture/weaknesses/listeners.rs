//! W9: listeners whose connections others hold.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::seconds;
use crate::case::{Case, Facts, Setting};
use crate::client;
use crate::lines;
use crate::matrix::send_as_agent;
use crate::server::{Setup, TorturedServer};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "W9/agents",
            "do 256 silent connections shut out agents?",
            agents,
        ),
        Case::new(
            "W9/tcp",
            "do 4 x 256 connections shut out senders over TCP?",
            tcp,
        ),
        Case::new("W9/health", "do 5 x 256 connections delay health?", health),
    ]
}

fn agents(setting: &Setting) -> Result<Facts> {
    let server = TorturedServer::start(setting, &Setup::default())?;
    let held = client::hold_connections(&[Ipv4Addr::LOCALHOST], 256, server.agent, "")?;
    let mut facts = Facts::default();
    facts.note("held", held.held);
    let began = Instant::now();
    let sent = send_as_agent(&server, server.agent, &lines::counted(0, 10))?;
    facts.note("`weir send` ended after", seconds(Some(began.elapsed())));
    facts.judge("`weir send` delivered", sent, sent);
    server.remove();
    Ok(facts)
}

fn tcp(setting: &Setting) -> Result<Facts> {
    let server = TorturedServer::start(setting, &Setup::default())?;
    let alerts = server.alerts()?;
    let from: Vec<Ipv4Addr> = (1..=4).map(|last| Ipv4Addr::new(127, 0, 1, last)).collect();
    let held = client::hold_connections(&from, 256, server.tcp, "<14>1 - x a - - - one\\n")?;
    let mut facts = Facts::default();
    facts.note("held", held.held);
    std::thread::sleep(Duration::from_secs(2));
    let attack = lines::guessing("198.51.100.5", &lines::time(chrono::TimeDelta::zero()));
    let began = Instant::now();
    let taken = client::line_from(Ipv4Addr::new(127, 9, 9, 9), server.tcp, &attack)?;
    facts.note("connection taken", taken);
    let at = alerts.wait_for(lines::GUESSING, "198.51.100.5", Duration::from_secs(10));
    let told = at.map(|at| at.saturating_duration_since(began));
    facts.judge("honest sender's alert after", seconds(told), told.is_some());
    server.remove();
    Ok(facts)
}

fn health(setting: &Setting) -> Result<Facts> {
    let server = TorturedServer::start(setting, &Setup::default())?;
    let from: Vec<Ipv4Addr> = (1..=5).map(|last| Ipv4Addr::new(127, 0, 1, last)).collect();
    let say = "GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n";
    let held = client::hold_connections(&from, 256, server.http, say)?;
    let mut facts = Facts::default();
    facts.note("held", held.held);
    let (mut slowest, mut failed) = (Duration::ZERO, 0);
    for _ in 0..3 {
        let began = Instant::now();
        let answer = server.request("GET", "/healthz", "", b"", Duration::from_secs(30));
        failed += usize::from(answer.is_err());
        slowest = slowest.max(began.elapsed());
    }
    facts.judge("failed", failed, failed == 0);
    facts.judge(
        "slowest",
        seconds(Some(slowest)),
        slowest < Duration::from_secs(2),
    );
    server.remove();
    Ok(facts)
}
