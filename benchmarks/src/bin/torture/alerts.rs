//! Follows the alert stream of a server, and remembers every change of an alert.

use std::io::BufRead;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use weir_benchmarks::http;

/// Changes that are remembered; a case has far fewer.
const CHANGES_MAX: usize = 200_000;

/// One change of an alert.
#[derive(Clone, Debug)]
pub struct AlertEvent {
    pub at: Instant,
    pub change: String,
    pub rule: String,
    pub row: String,
}

/// The changes so far.
#[derive(Clone, Debug, Default)]
pub struct FollowedAlerts(Arc<Mutex<Vec<AlertEvent>>>);

impl FollowedAlerts {
    /// Follows the stream from its start; the thread ends with the server.
    pub fn follow(server: SocketAddr, token: &str) -> Result<Self> {
        let path = "/api/v1/stream/alerts.ndjson?after=0-0&state=all";
        let body = http::open(server, path, token, None)?;
        let alerts = Self::default();
        let noted = alerts.clone();
        std::thread::Builder::new()
            .name("alerts".into())
            .spawn(move || {
                for line in body.lines() {
                    let Ok(line) = line else { break };
                    noted.note(line);
                }
            })?;
        Ok(alerts)
    }

    fn note(&self, row: String) {
        let Ok(change) = serde_json::from_str::<Value>(&row) else {
            return;
        };
        let text = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
        let change = AlertEvent {
            at: Instant::now(),
            change: text("change"),
            rule: text("rule"),
            row,
        };
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.len() < CHANGES_MAX && !change.change.is_empty() {
            changes.push(change);
        }
    }

    #[must_use]
    pub fn changes(&self) -> Vec<AlertEvent> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until a rule raised an alert whose row contains `text`; returns when.
    #[must_use]
    pub fn wait_for(&self, rule: &str, text: &str, limit: Duration) -> Option<Instant> {
        let began = Instant::now();
        loop {
            let found = self.changes().into_iter().find(|change| {
                change.change == "raised" && change.rule == rule && change.row.contains(text)
            });
            if found.is_some() || began.elapsed() > limit {
                return found.map(|change| change.at);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Rules of Weir itself that raised alerts, each once.
    #[must_use]
    pub fn own(&self) -> Vec<String> {
        let mut rules: Vec<String> = self
            .changes()
            .into_iter()
            .map(|change| change.rule)
            .collect();
        rules.retain(|rule| rule.starts_with("weir."));
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}
