//! What Weir says of itself: alerts about its sources, like every other alert, and metrics.

mod support;

use std::process::Command;

use serde_json::Value;
use support::balance::{assert_balanced, imbalances, samples};
use support::http::Request;
use support::{Weir, config, until};

fn send(weir: &Weir, source: &str, line: &str) {
    let path = format!("/api/v1/events?source={source}");
    let reply = weir.send(Request::new("POST", &path).body(line.as_bytes()));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Lets more than a second of receipt go by: of the epochs, two at most are not those of ticks.
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
fn a_silent_source_is_an_alert_that_is_taken_back_when_it_speaks() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let bounds = "[self_alerts]\nsilent = \"500ms\"\n\
                  [[source]]\nname = \"quiet\"\ntransport = \"http\"\n";
    let weir = Weir::start(&data, &config(bounds));
    assert!(
        weir.get("/metrics").text().contains("source=\"quiet\""),
        "what is expected has its row before it is heard"
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
    assert!(
        explained.contains("two"),
        "with the last line that came: {explained}"
    );

    send(&weir, "quiet", "{\"message\":\"three\"}");
    let gone = until("speech", || alerts(&weir, "retracted").first().cloned());
    assert_eq!(
        (&gone["alert"], &gone["cause"]["kind"]),
        (&raised["alert"], &"event".into())
    );
    weir.stop();

    // A ledger with such alerts follows from the journal as every other, on any number of workers.
    let verified = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["verify", "--ledger", "--workers", "3", "--data-dir"])
        .arg(&data)
        .output()
        .expect("it runs");
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn what_does_not_add_up_is_found() {
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
fn sources_without_end_share_a_row() {
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
    assert_eq!(rows.len(), 257, "256 of their own, and one for the others");
    let other = rows.iter().find(|(source, _)| source == "other");
    assert_eq!(other.map(|(_, value)| *value), Some(44.0));
    weir.stop();
}
