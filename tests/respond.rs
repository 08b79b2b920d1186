//! Sinks of a real server: failing consumers, Alertmanager, findings, frames and CEF.

mod support;

#[path = "respond/alertmanager.rs"]
mod alertmanager;
#[path = "respond/consumer.rs"]
mod consumer;
#[path = "respond/dead_letters.rs"]
mod dead_letters;
#[path = "respond/failures.rs"]
mod failures;
#[path = "respond/formats.rs"]
mod formats;
#[path = "respond/receiver.rs"]
mod receiver;
#[path = "respond/syslog_tls.rs"]
mod syslog_tls;
#[path = "respond/upgrade.rs"]
mod upgrade;

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use consumer::ReceivedRequest;
use serde_json::Value;
use support::{Weir, until};
use weir_agent::encode_event;

/// A sink on this machine with short delays between tries.
fn sink(name: &str, kind: &str, url: &str, more: &str) -> String {
    format!(
        "[[sink]]\nname = \"{name}\"\ntype = \"{kind}\"\nurl = \"{url}\"\nallow_private = true\n\
         retry_min = \"10ms\"\nretry_max = \"40ms\"\n{more}\n"
    )
}

/// The time some minutes ago, in nanoseconds since 1970.
fn ago(minutes: i64) -> i64 {
    let now = Utc::now().timestamp_nanos_opt().expect("this century");
    now - minutes * 60_000_000_000
}

fn text(time_ns: i64) -> String {
    DateTime::from_timestamp_nanos(time_ns).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Raises an alert of the rule `sudo_without_change_ticket`, and confirms it with a later line.
///
/// Returns once the alert is listed, so that later events belong to another epoch.
fn raise(weir: &Weir, time_ns: i64, user: &str) {
    let time = text(time_ns);
    let sudo = format!(
        "<86>1 {time} db7 sudo - - - {user} : TTY=pts/0 ; PWD=/ ; USER=root ; \
         COMMAND=/usr/bin/systemctl stop billing\n"
    );
    let later = text(time_ns + 5 * 60_000_000_000);
    weir.send_tcp(format!("{sudo}<13>1 {later} db7 cron - - - nothing of note\n").as_bytes());
    let path = format!("/api/v1/alerts?standing=all&group=user={user}");
    until("the alert is raised", || {
        let listed = weir.get(&path).json();
        listed["alerts"]
            .as_array()
            .is_some_and(|alerts| !alerts.is_empty())
            .then_some(())
    });
}

/// Sends a late change ticket over the agent protocol, which retracts the alert of `user`.
///
/// A second event with the current time keeps the new source from holding the watermark back.
fn grant(weir: &Weir, spool: u64, time_ns: i64, user: &str) {
    let fields = [("state", "granted"), ("user", user)];
    let source = Some("product=ticketing,service=change");
    let event = encode_event(time_ns, Some("change_ticket"), source, &fields, None);
    let now = encode_event(ago(0), Some("nothing"), None, &[("a", "b")], None);
    weir.send_as_agent("tickets", spool, &[event, now]);
}

/// Ids of the standing alerts, from the API.
fn standing(weir: &Weir) -> BTreeSet<String> {
    let listed = weir.get("/api/v1/alerts").json();
    let alerts = listed["alerts"].as_array().expect("a list").iter();
    // Alerts about Weir itself tell of the kills in these tests.
    let is_self = |rule: &Value| {
        rule.as_str()
            .is_some_and(|rule| rule.starts_with("weir.self."))
    };
    alerts
        .filter(|alert| !is_self(&alert["rule"]))
        .map(|alert| alert["alert"].as_str().expect("an id").to_owned())
        .collect()
}

/// A sink's entry in the API.
fn sink_state(weir: &Weir, sink: &str) -> Value {
    let listed = weir.get("/api/v1/sinks").json();
    let sinks = listed["sinks"].as_array().expect("a list");
    let found = sinks.iter().find(|entry| entry["name"] == sink);
    found
        .unwrap_or_else(|| panic!("no {sink} in {listed}"))
        .clone()
}

/// Type and user of each message.
fn types(requests: &[ReceivedRequest]) -> Vec<(String, String)> {
    let types = requests.iter().map(|request| {
        let message = request.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&message["type"]),
            text(&message["data"]["group"]["user"]),
        )
    });
    types.collect()
}
