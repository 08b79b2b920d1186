//! W12: a rule that costs more than the server has.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::TimeDelta;

use super::seconds;
use crate::case::{Case, Facts, Setting};
use crate::lines;
use crate::server::{Setup, TorturedServer};

pub fn cases() -> Vec<Case> {
    let question = "can one PUT of costly rules stall all others?";
    vec![Case::new("W12/costly-rules", question, costly)]
}

/// Lines a second beside the probes.
const LOAD: u64 = 20_000;
/// How long the probe after the load may take.
const RECOVERY: Duration = Duration::from_secs(60);
/// An alert is late after this time.
const LATE: Duration = Duration::from_secs(10);

/// Eight ordered correlations over sixty rules each that match nearly every line.
fn rules() -> String {
    let mut text = String::new();
    for correlation in 0..8 {
        let mut members = String::new();
        for member in 0..60 {
            let letter = char::from(b'a' + u8::try_from(member % 26).unwrap_or(0));
            let name = format!("costly_{correlation}_{member}");
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "title: {name}\nname: {name}\nid: 00000000-0000-4000-8000-{correlation:04}{member:08}\n\
                 status: test\nlogsource: {{}}\ndetection:\n  one:\n    \
                 message|contains: {letter}\n  condition: one\nlevel: low\n---\n"
            );
            let _ = writeln!(members, "    - {name}");
        }
        let _ = write!(
            text,
            "title: ordered {correlation}\nname: ordered_{correlation}\n\
             id: 00000000-0000-4000-9000-{correlation:012}\nstatus: test\ncorrelation:\n  \
             type: temporal_ordered\n  rules:\n{members}  group-by:\n    - host\n  \
             timespan: 30d\nlevel: low\n---\n"
        );
    }
    text
}

/// Lines of one host with all letters, so that each matches every member.
fn load(second: u64) -> String {
    let letters = ('a'..='z').collect::<String>();
    lines::counted(second * LOAD, LOAD).replace(';', &format!("; {letters}"))
}

fn costly(setting: &Setting) -> Result<Facts> {
    let server = TorturedServer::start(setting, &Setup::default())?;
    let (alerts, mut facts) = (server.alerts()?, Facts::default());
    let headers = "Content-Type: application/yaml\r\n";
    let limit = Duration::from_secs(60);
    let text = rules();
    let put = server.request("PUT", "/api/v1/rules", headers, text.as_bytes(), limit)?;
    let reason: String = put.body.chars().take(160).collect();
    facts.note("PUT", put.status);
    if put.status >= 400 {
        facts.note("refused", reason);
        server.remove();
        return Ok(facts);
    }
    let lasts: u64 = if setting.quick { 20 } else { 90 };
    let mut probes = Vec::new();
    for second in 0..lasts {
        let began = Instant::now();
        server.post(&load(second), Duration::from_secs(30))?;
        let address = format!("198.18.{}.{}", second / 250, second % 250);
        let attack = lines::guessing(&address, &lines::time(TimeDelta::zero()));
        probes.push((address, Instant::now()));
        server.post(&attack, Duration::from_secs(30))?;
        std::thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
    }
    // After the load: alerts are in time again once the costly rules are suspended.
    let attacker = Ipv4Addr::new(198, 51, 100, 1);
    let last = server.attack(&alerts, attacker, RECOVERY);
    let (all, mut late) = (probes.len(), 0);
    for (address, sent) in probes {
        let address = format!("\"{address}\"");
        let at = alerts.wait_for(lines::GUESSING, &address, Duration::ZERO);
        late += usize::from(at.is_none_or(|at| at.saturating_duration_since(sent) > LATE));
    }
    facts.note("probes late by over 10 s", format!("{late} of {all}"));
    facts.note("self-alerts", alerts.own().join(" "));
    let holds = last.is_some_and(|took| took < LATE);
    facts.judge("probe after the load told after", seconds(last), holds);
    server.remove();
    Ok(facts)
}
