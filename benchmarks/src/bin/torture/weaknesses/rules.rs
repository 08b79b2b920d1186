//! W12: a rule that costs more than the server has.

use std::fmt::Write;
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
const LOAD: u64 = 10_000;
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
    let server = TorturedServer::start(setting, &Setup::default())?;
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
    let lasts: u64 = if setting.quick { 20 } else { 90 };
    let mut probes = Vec::new();
    for second in 0..lasts {
        let began = Instant::now();
        server.post(
            &lines::counted(second * LOAD, LOAD),
            Duration::from_secs(30),
        )?;
        let address = format!("198.18.{}.{}", second / 250, second % 250);
        let attack = lines::guessing(&address, &lines::time(TimeDelta::zero()));
        probes.push((address, Instant::now()));
        server.post(&attack, Duration::from_secs(30))?;
        std::thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
    }
    let (all, mut late, mut last) = (probes.len(), 0, None);
    for (address, sent) in probes {
        let at = alerts.wait_for(lines::GUESSING, &format!("\"{address}\""), LATE);
        last = at.map(|at| at.saturating_duration_since(sent));
        late += usize::from(last.is_none_or(|took| took > LATE));
    }
    facts.note("probes late by over 10 s", format!("{late} of {all}"));
    facts.note("self-alerts", alerts.own().join(" "));
    // Once the costly rules are suspended or cheap, alerts are in time again.
    facts.judge(
        "last probe told after",
        seconds(last),
        last.is_some_and(|took| took < LATE),
    );
    server.remove();
    Ok(facts)
}
