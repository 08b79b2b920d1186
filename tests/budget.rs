//! A rule that stalls all others is suspended in a real server, alone, visibly, and over restarts.

mod support;

use serde_json::Value;
use support::http::Request;
use support::{Weir, config, until};

/// Bounds so low that any rule that works is over them, and any backlog is late.
const TINY: &str = "[rules]\nbuiltin = false\nshare_max = 0.0000001\nsuspend_share = 0.0000001\n\
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
