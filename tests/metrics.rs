//! Weir's reports about itself: alerts about sources, and metrics that add up.

mod support;

use serde_json::Value;
use support::balance::{assert_balanced, imbalances, samples};
use support::command::run;
use support::http::Request;
use support::{Weir, config, until};

fn send(weir: &Weir, source: &str, line: &str) {
    let path = format!("/api/v1/events?source={source}");
    let reply = weir.send(Request::new("POST", &path).body(line.as_bytes()));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Waits for more than a second of receive time. At most two of the four epochs are not ticks.
fn ticks(weir: &Weir) {
    let before = weir.metric("weir_epoch", "");
    until("ticks", || {
        (weir.metric("weir_epoch", "") >= before + 4.0).then_some(())
    });
}

fn alerts(weir: &Weir, state: &str) -> Vec<Value> {
    let path = format!("/api/v1/alerts?rule=weir.source.silent&standing={state}");
    let reply = weir.get(&path);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["alerts"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn a_silent_source_raises_an_alert_that_its_next_event_retracts() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let bounds = "[self_alerts]\nsilent = \"500ms\"\n\
                  [[source]]\nname = \"quiet\"\ntransport = \"http\"\n";
    let weir = Weir::start(&data, &config(bounds));
    assert!(
        weir.get("/metrics").text().contains("source=\"quiet\""),
        "a configured source has a row before its first event"
    );
    send(&weir, "quiet", "{\"message\":\"one\"}");
    ticks(&weir);
    send(&weir, "quiet", "{\"message\":\"two\"}");
    let raised = until("silence", || alerts(&weir, "standing").first().cloned());
    assert_eq!(raised["title"], "A source is silent", "{raised}");
    assert_eq!(raised["group"]["source"], "quiet", "{raised}");
    assert_eq!(raised["cause"]["kind"], "clock", "{raised}");
    weir.await_metric("weir_sources_alerting", "silent", 1);
    let id = raised["alert"].as_str().expect("an id");
    let explained = weir.get(&format!("/api/v1/alerts/{id}/explanation")).text();
    assert!(explained.contains("self_alerts.silent"), "{explained}");
    assert!(explained.contains("two"), "not the last line: {explained}");

    send(&weir, "quiet", "{\"message\":\"three\"}");
    let retracted = until("the retraction", || {
        alerts(&weir, "retracted").first().cloned()
    });
    assert_eq!(
        (&retracted["alert"], &retracted["cause"]["kind"]),
        (&raised["alert"], &"event".into())
    );
    weir.stop();

    // The journal gives the same ledger on any number of workers, these alerts included.
    let data = data.display().to_string();
    run(&["verify", "--ledger", "--workers", "3", "--data-dir", &data]).assert_success();
}

#[test]
fn imbalances_of_metrics_are_found() {
    let text = |journaled: u64, refused: u64| {
        format!(
            "weir_source_received_total{{source=\"a \\\"b\\\"\",tenant=\"t\"}} 5\n\
             weir_source_journaled_total{{source=\"a \\\"b\\\"\",tenant=\"t\"}} {journaled}\n\
             weir_source_refused_total{{source=\"a \\\"b\\\"\",tenant=\"t\",reason=\"gap\"}} {refused}\n\
             weir_source_decoded_total{{source=\"a \\\"b\\\"\",tenant=\"t\"}} 3\n\
             weir_source_problem_events_total{{source=\"a \\\"b\\\"\",tenant=\"t\"}} 1\n\
             weir_events_received_total{{transport=\"udp\"}} 6\n\
             weir_events_dropped_total{{transport=\"udp\",reason=\"empty\"}} 1\n\
             weir_events_journaled_total {journaled}\n"
        )
    };
    assert_balanced(&text(4, 1));
    assert_eq!(imbalances(&text(4, 0)).len(), 1);
    assert_eq!(imbalances(&text(3, 1)).len(), 2);
    assert_eq!(samples(&text(4, 1))[0].labels["source"], "a \"b\"");
}

#[test]
fn sources_beyond_the_limit_share_a_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(&folder.path().join("data"), &config(""));
    for n in 0..300 {
        send(&weir, &format!("s{n}"), "{\"message\":\"x\"}");
    }
    weir.assert_balanced();
    let text = weir.get("/metrics").text();
    let received = samples(&text).into_iter();
    let received = received.filter(|s| s.name == "weir_source_received_total");
    let rows: Vec<_> = received
        .map(|s| (s.labels["source"].clone(), s.value))
        .collect();
    assert_eq!(
        rows.len(),
        257,
        "256 rows of one source, and one for the others"
    );
    let other = rows.iter().find(|(source, _)| source == "other");
    assert_eq!(other.map(|(_, value)| *value), Some(44.0));
    weir.stop();
}
