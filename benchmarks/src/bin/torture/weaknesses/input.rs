//! W18, W21 and W24: keys of two senders, text that deceives terminals, words behind a long line.

use std::time::Duration;

use anyhow::Result;
use chrono::TimeDelta;

use crate::case::{Case, Facts, Setting};
use crate::client;
use crate::lines;
use crate::server::{Setup, TorturedServer};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "W18/keys",
            "do two senders with the same key lose lines?",
            keys,
        ),
        Case::new(
            "W21/terminal",
            "does text of a log reach a terminal as it is?",
            terminal,
        ),
        Case::new(
            "W24/long-line",
            "does a long line hide the words behind it?",
            long_line,
        ),
    ]
}

fn keys(setting: &Setting) -> Result<Facts> {
    let mut server = TorturedServer::start(setting, &Setup::default())?;
    let mut facts = Facts::default();
    let headers = "Content-Type: text/plain\r\nIdempotency-Key: 1\r\n";
    for (source, from) in [("a", 0), ("b", 0), ("c", 100)] {
        let path = format!("/api/v1/events?source={source}");
        let body = lines::counted(from, 10);
        let limit = Duration::from_secs(5);
        let answer = server.request("POST", &path, headers, body.as_bytes(), limit)?;
        let stored = answer.status == 200 && answer.body.contains("\"repeated\":false");
        facts.judge("stored", format!("{source}: {stored}"), stored);
    }
    server.stop()?;
    server.remove();
    Ok(facts)
}

/// Characters that change what a terminal shows.
const HOSTILE: [char; 8] = [
    '\u{1b}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{2028}', '\u{2029}', '\u{7}',
];

fn terminal(setting: &Setting) -> Result<Facts> {
    let server = TorturedServer::start(setting, &Setup::default())?;
    let (alerts, mut facts) = (server.alerts()?, Facts::default());
    let hostile: String = HOSTILE.iter().collect();
    let user = format!("x{hostile}+ raised critical FAKE");
    let time = lines::time(TimeDelta::zero());
    let attack: String = (1..=15)
        .map(|port| {
            format!(
                "<38>1 {time} gate sshd 1 - - Failed password for {user} from 198.51.100.4 port \
                 {port} ssh2\n"
            )
        })
        .collect();
    server.post(&attack, Duration::from_secs(5))?;
    let limit = Duration::from_secs(10);
    let raised = alerts.wait_for(lines::GUESSING, "198.51.100.4", limit);
    facts.judge("raised", raised.is_some(), raised.is_some());
    let row = alerts
        .changes()
        .into_iter()
        .find(|change| change.rule == lines::GUESSING);
    let row: serde_json::Value = serde_json::from_str(&row.map(|row| row.row).unwrap_or_default())?;
    let alert = row["alert"].as_str().unwrap_or_default().to_owned();
    let mut explain = server.verb(&["explain", &alert]);
    explain.arg("--data-dir").arg(server.data());
    let output = client::run(&mut explain, b"", limit)?;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    facts.judge("`weir explain` bytes", text.len(), text.len() > 100);
    let passed = HOSTILE.iter().filter(|c| text.contains(**c)).count();
    facts.judge("hostile characters that pass", passed, passed == 0);
    server.remove();
    Ok(facts)
}

fn long_line(setting: &Setting) -> Result<Facts> {
    let server = TorturedServer::start(setting, &Setup::default())?;
    let (alerts, mut facts) = (server.alerts()?, Facts::default());
    let time = lines::time(TimeDelta::zero());
    let line = lines::service_shell("long", &time)
        .replace("change user", &{ "A".repeat(66_000) + " change user" });
    server.send(&line)?;
    let at = alerts.wait_for(lines::SERVICE_SHELL, "long", Duration::from_secs(10));
    facts.judge("told", at.is_some(), at.is_some());
    let metrics = server
        .request("GET", "/metrics", "", b"", Duration::from_secs(5))?
        .body;
    let problems = weir_benchmarks::metrics::sum(&metrics, "weir_source_problem_events_total");
    facts.judge("events with a problem", problems, problems >= 1.0);
    server.remove();
    Ok(facts)
}
