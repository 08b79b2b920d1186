//! A rule that stalls all others is suspended in a real server, alone, visibly, and over restarts.

mod support;

use std::path::Path;

use serde_json::Value;
use support::command::run;
use support::http::Request;
use support::{Weir, config, until};
use weir_schema::{Control, Entry, Epoch};

/// Bounds so low that any rule that works is over them, and any backlog is late.
const TINY: &str = "[rules]\nbuiltin = false\nshare_max = 0.0000001\nsuspend_share = 0.0000001\n\
                    suspend_speed = 1000000000000\n\
                    share_window = \"1s\"\n[self_alerts]\nalerts_late = \"1ms\"\n";

const RULES: &str = "title: Busy\nid: busy\nlogsource: {product: linux, service: sshd}\n\
                     detection: {s: {message|contains: e}, condition: s}\n---\n\
                     title: Quiet\nid: quiet\nlogsource: {product: linux, service: sshd}\n\
                     detection: {s: {message|contains: zzz}, condition: s}\n";

fn rule(weir: &Weir, id: &str) -> Value {
    let page = weir.get("/api/v1/rules").json();
    let rules = page["rules"].as_array().expect("a list");
    let rule = rules.iter().find(|rule| rule["id"] == id);
    rule.unwrap_or_else(|| panic!("no {id} in {page}")).clone()
}

/// W12: a rule that takes most of the graph while alerts are late is suspended, and only it; a
/// restart keeps that, and a person ends it.
#[test]
fn a_rule_that_stalls_all_is_suspended_until_a_person_starts_it_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(TINY);
    let weir = Weir::start(folder.path(), &config);
    weir.await_ready();
    let put = weir.send(Request::new("PUT", "/api/v1/rules").body(RULES.as_bytes()));
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(rule(&weir, "busy")["state"], "enabled");
    let lines = "<13>1 2026-01-01T00:00:00Z h sshd - - - here are some letters\n".repeat(5_000);
    let busy = until("the busy rule is suspended", || {
        weir.send_tcp(lines.as_bytes());
        let busy = rule(&weir, "busy");
        (busy["state"] == "suspended").then_some(busy)
    });
    let reason = busy["suspended"]["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("% of the workers' time while alerts were late"),
        "{busy}"
    );
    assert_eq!(busy["enabled"], false);
    assert_eq!(rule(&weir, "quiet")["state"], "enabled");
    assert!(weir.stderr.text().contains("rule suspended"));
    weir.await_metric("weir_rule_suspended", "rule=\"busy\"", 1);
    assert!(weir.metric("weir_rule_seconds_total", "rule=\"busy\"") > 0.0);
    let rules = ["weir.self.rule-over-budget", "weir.self.rule-suspended"];
    for rule in rules {
        until(rule, || {
            let alerts = weir.get(&format!("/api/v1/alerts?rule={rule}")).text();
            alerts.contains("busy").then_some(())
        });
    }
    weir.stop();

    let weir = Weir::start(folder.path(), &config);
    weir.await_ready();
    assert_eq!(rule(&weir, "busy")["state"], "suspended");
    let enabled = weir.run(&["rules", "enable", "busy"]);
    assert_eq!(enabled.code, Some(0), "{enabled:?}");
    let busy = rule(&weir, "busy");
    assert_eq!(
        (&busy["state"], &busy["suspended"]),
        (&Value::from("enabled"), &Value::Null)
    );
    weir.stop();
}

/// W12: the cost of a rule that is removed is gone with the next epoch that the graph reads. The journal
/// alone says which, so a kill and a rebuild agree.
#[test]
fn a_removal_overtakes_the_events_that_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("[rules]\nbuiltin = false\nsuspend_share = 1.0\n");
    let weir = Weir::start(folder.path(), &config);
    weir.await_ready();
    let lines = "<13>1 2026-01-01T00:00:00Z h sshd - - - here are some letters\n".repeat(LINES);
    // A fast machine may be done with the lines of one round before the removal.
    for round in 1..=3 {
        let put = weir.send(Request::new("PUT", "/api/v1/rules").body(slow_rule().as_bytes()));
        assert_eq!(put.status, 200, "{}", put.text());
        weir.send_tcp(lines.as_bytes());
        weir.await_metric("weir_events_journaled_total", "", round * LINES as u64);
        let removed = weir.send(Request::new("DELETE", "/api/v1/rules/slow"));
        assert_eq!(removed.status, 200, "{}", removed.text());
    }
    weir.kill();

    let weir = Weir::start(folder.path(), &config);
    weir.await_ready();
    assert!(!weir.get("/api/v1/rules").text().contains("slow"));
    weir.stop();
    let data = folder.path().display().to_string();
    run(&["verify", "--ledger", "--data-dir", &data]).assert_success();
    let removals = removals(folder.path());
    assert_eq!(removals.len(), 3, "{removals:?}");
    assert!(
        removals.iter().any(|(from, place)| from < place),
        "one applies before its place: {removals:?}"
    );
}

/// Lines of a round: far more than wait in the graph.
const LINES: usize = 300_000;

/// A rule of expressions that no line matches, each tried on every line.
fn slow_rule() -> String {
    let expressions: Vec<String> = (0..150).map(|n| format!("'s[a-z]+ .*r{n}$'")).collect();
    format!(
        "title: Slow\nid: slow\nlogsource: {{product: linux, service: sshd}}\n\
         detection: {{s: {{message|re: [{}]}}, condition: s}}\n",
        expressions.join(", ")
    )
}

/// The epoch from which each removal of a rule applies, and the epoch that holds its entry.
fn removals(data: &Path) -> Vec<(Epoch, Epoch)> {
    let (mut from, mut removed, mut found) = (None, false, Vec::new());
    for entry in support::journal::open(data).entries() {
        match entry.expect("the journal can be read") {
            Entry::Control(Control::Ahead { from: epoch, .. }) => from = Some(epoch),
            Entry::Control(Control::RuleDelete { .. }) => removed = true,
            Entry::Seal { epoch } if std::mem::take(&mut removed) => {
                found.push((from.expect("a mark before it"), epoch));
            }
            _ => {}
        }
    }
    found
}
