//! W12: a rule that costs more than the server has.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::seconds;
use crate::case::{Case, Facts, Setting};
use crate::lines;
use crate::server::{Setup, TestServer};

pub fn cases() -> Vec<Case> {
    let question = "can one PUT of costly rules stall all others?";
    vec![Case::new("W12/costly-rules", question, costly)]
}

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
                 status: test\nlogsource:\n  category: any\ndetection:\n  one:\n    \
                 message|contains: {letter}\n  condition: one\nlevel: low\n---\n"
            );
            let _ = write!(members, "    - {name}\n");
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

fn costly(setting: &Setting) -> Result<Facts> {
    let server = TestServer::start(setting, &Setup::default())?;
    let (alerts, mut facts) = (server.alerts()?, Facts::default());
    let headers = "Content-Type: application/yaml\r\n";
    let limit = Duration::from_secs(60);
    let text = rules().replace(
        "logsource:\n  category: any",
        "logsource:\n  product: linux",
    );
    let put = server.request("PUT", "/api/v1/rules", headers, text.as_bytes(), limit)?;
    let reason: String = put.body.chars().take(160).collect();
    facts.note("PUT", put.status);
    if put.status >= 400 {
        facts.note("refused", reason);
        server.remove();
        return Ok(facts);
    }
    let (mut probes, mut late, mut slowest) = (0, 0, Duration::ZERO);
    let began = Instant::now();
    let lasts = if setting.quick { 20 } else { 90 };
    while began.elapsed() < Duration::from_secs(lasts) {
        let load = lines::counted(probes * 2_000, 2_000);
        server.post(&load, Duration::from_secs(30))?;
        let address = Ipv4Addr::new(198, 51, 100, u8::try_from(probes % 250)?);
        let told = server.attack(&alerts, address, Duration::from_secs(10));
        probes += 1;
        late += u64::from(told.is_none());
        slowest = slowest.max(told.unwrap_or(Duration::from_secs(10)));
    }
    facts.note("probes late by over 10 s", format!("{late} of {probes}"));
    facts.note("slowest", seconds(Some(slowest)));
    facts.note("self-alerts", alerts.own().join(" "));
    // Once the costly rules are suspended or cheap, alerts are in time again.
    let told = server.attack(
        &alerts,
        Ipv4Addr::new(198, 51, 101, 1),
        Duration::from_secs(30),
    );
    facts.judge(
        "last probe told after",
        seconds(told),
        told.is_some_and(|told| told.as_secs() < 10),
    );
    server.remove();
    Ok(facts)
}
