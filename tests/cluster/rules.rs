//! Rules of process 0 over events of both processes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::support::http::Request;
use super::support::{Weir, until};
use super::{OTHER, Site, alerts, await_all, event, post_lines, stop};

#[test]
fn a_rule_of_process_0_reads_the_events_of_process_1() {
    let site = Site::new(2);
    let weirs = site.start();
    let [lead, follow] = &weirs[..] else {
        panic!("two were started")
    };
    post_lines(follow, &event(20, "e", "u"));
    post_lines(follow, &event(21, "c", "u"));
    await_all(&weirs, &[0, 2]);

    // The rule begins at the watermark, so it also reads the events above, which are ahead of it.
    let reply = lead.send(Request::new("PUT", "/api/v1/rules").body(OTHER.as_bytes()));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let await_count = |count: u64| {
        until(&format!("{count} events in the alert"), || {
            let alerts = alerts(lead, "other");
            let alert = alerts.first()?.clone();
            (alert["count"] == count).then_some(alert)
        })
    };
    await_count(1);
    post_lines(follow, &event(22, "e", "u"));
    let alert = await_count(2);
    // Events of both processes belong to one group.
    post_lines(lead, &event(23, "e", "u"));
    await_count(3);
    assert_eq!(alert["group"]["user"], "u");

    assert_explained(lead, &alert, &[20, 22, 23]);

    // Removing the rule retracts its alerts, also those of events of process 1.
    let reply = lead.send(Request::new("DELETE", "/api/v1/rules/other"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    until("no standing alert", || {
        alerts(lead, "other").is_empty().then_some(())
    });

    assert_served_by_process_0(follow);
    stop(weirs);
}

/// The explanation has the bytes of the events at these seconds, from the journals of both processes.
fn assert_explained(lead: &Weir, alert: &Value, seconds: &[u32]) {
    let id = alert["alert"].as_str().expect("an id");
    let explanation = lead.get(&format!("/api/v1/alerts/{id}/explanation")).json();
    let events = explanation["events"].as_array().expect("a list");
    let texts = events.iter().filter_map(|event| event["text"].as_str());
    let texts: BTreeSet<&str> = texts.collect();
    let wanted: Vec<String> = seconds
        .iter()
        .map(|second| event(*second, "e", "u"))
        .collect();
    let wanted: BTreeSet<&str> = wanted.iter().map(|line| line.trim_end()).collect();
    assert_eq!(texts, wanted, "{explanation}");
    let of_rule = |event: &Value| event["clauses"][0]["rule"] == "other";
    assert!(events.iter().all(of_rule), "{explanation}");
}

/// Process 1 refuses requests for alerts and rules. It serves events, health and metrics.
fn assert_served_by_process_0(follow: &Weir) {
    for (method, path) in [
        ("GET", "/api/v1/alerts"),
        ("GET", "/api/v1/stream/alerts"),
        ("GET", "/api/v1/rules"),
        ("PUT", "/api/v1/rules"),
    ] {
        let reply = follow.send(Request::new(method, path).body(OTHER.as_bytes()));
        assert_eq!(reply.status, 421, "{method} {path}: {}", reply.text());
        assert!(reply.text().contains("at process 0"), "{}", reply.text());
    }
}
