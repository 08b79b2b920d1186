//! Events that fit no correlation: counted, bounded and harmless to others.

use serde_json::{Value, json};

use super::support::{Weir, until};
use super::{Site, correlation, standing, time};

/// An event that rule `one` matches, with more fields.
fn one(second: i64, more: Value) -> Value {
    let mut event = json!({"time": time(second), "kind": "one"});
    for (name, value) in more.as_object().expect("an object") {
        event[name] = value.clone();
    }
    event
}

/// A server with an event count and a sum.
fn start() -> (Site, Weir) {
    let count = correlation("condition: {gte: 2}");
    let sum = correlation("type: value_sum\ncondition: {field: bytes, gte: 100}")
        .replace("name: me", "name: sum")
        .replace("000009", "000007")
        .replace("title: Me", "title: Sum");
    let site = Site::new(&[count, sum], "[time]\nhorizon = \"1h\"\n");
    let weir = site.start();
    (site, weir)
}

#[test]
fn events_without_a_group_or_a_number_are_counted() {
    let (site, weir) = start();
    // A missing field, null and an empty list are no group. Both correlations count each.
    let groupless = [
        json!({"bytes": 1}),
        json!({"bytes": 1, "user": null}),
        json!({"bytes": 1, "user": []}),
        json!({"bytes": 1, "account": "a"}),
    ];
    let groupless = groupless.map(|more| one(36_000, more));
    site.send(&weir, "h", &groupless);
    weir.await_metric("weir_facts_ungrouped_total", "", 8);

    // Words, booleans, lists, and numbers too fine or too large are not part of a sum.
    let words = ["12 apples", "", "0x10", "1e999", "0.0000000001", "--1"];
    let mut valueless: Vec<Value> = words
        .iter()
        .map(|text| json!({"user": "n", "bytes": text}))
        .collect();
    valueless.extend([json!({"user": "n"}), json!({"user": "n", "bytes": true})]);
    valueless.extend([json!({"user": "n", "bytes": [100, 100]})]);
    let valueless: Vec<Value> = valueless
        .into_iter()
        .map(|more| one(36_000, more))
        .collect();
    site.send(&weir, "h", &valueless);
    weir.await_metric("weir_facts_valueless_total", "", 9);
    // An event count still counts events without a number.
    assert_eq!(standing(&weir, 1), [r#""Me" {"user":"n"}"#]);
    weir.assert_well();
    weir.stop();
}

#[test]
fn an_event_with_a_thousand_groups_makes_a_hundred() {
    let (site, weir) = start();
    let names: Vec<String> = (0..1_000).map(|n| format!("u{n:03}")).collect();
    let crowd = one(36_100, json!({"user": names, "bytes": 99}));
    site.send(&weir, "h", &[crowd.clone(), crowd]);
    // Two events, two rules, a hundred groups.
    weir.await_metric("weir_facts_total", "", 400);
    let alerts = standing(&weir, 200);
    assert_eq!(alerts.len(), 200);
    let in_order = |user: &str| alerts.contains(&format!(r#""Me" {{"user":"{user}"}}"#));
    assert!(in_order("u099") && !in_order("u100"), "{alerts:?}");
    weir.assert_well();
    weir.stop();
}

#[test]
fn a_wild_clock_does_not_move_the_time_of_others() {
    let (site, weir) = start();
    site.send(&weir, "h", &[one(36_000, json!({"user": "before"}))]);
    weir.await_metric("weir_events_decoded_total", "", 1);
    // Times a century ahead and of 1970 are problems: these events stand at their receipt.
    let watermark = weir.metric("weir_watermark_seconds", "");
    let jumps = [
        json!({"time": "2126-01-01T00:00:00Z", "kind": "one", "user": "jump"}),
        json!({"time": "2126-01-01T00:00:01Z", "kind": "one", "user": "jump"}),
        json!({"time": "1970-01-01T00:00:00Z", "kind": "one", "user": "jump"}),
        json!({"time": "1970-01-01T00:00:01Z", "kind": "one", "user": "jump"}),
    ];
    site.send(&weir, "wild", &jumps);
    weir.await_metric("weir_parse_failures_total", "time_in_future", 2);
    weir.await_metric("weir_parse_failures_total", "time_absurd", 2);
    let again = [36_200, 36_201].map(|second| one(second, json!({"user": "after"})));
    site.send(&weir, "h", &again);
    until("the alerts of both sources", || {
        let alerts = standing(&weir, 2);
        let about = |user: &str| alerts.contains(&format!(r#""Me" {{"user":"{user}"}}"#));
        (about("after") && about("jump")).then_some(())
    });
    assert!(weir.metric("weir_watermark_seconds", "") >= watermark);
    weir.assert_well();
    weir.stop();
}
