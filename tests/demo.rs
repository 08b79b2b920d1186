//! `weir demo`, which sends its scenario through real sockets.

mod support;

use support::command::run;

#[test]
fn the_demo_raises_and_retracts_the_alerts_of_its_scenario() {
    let demo = run(&["demo", "--once", "--speed", "300", "--seed", "1"]);
    demo.assert_success();
    let summary = demo.json();
    assert_eq!(summary["ok"], true, "{summary}");
    assert_eq!(summary["lost"], 0);
    assert_eq!(summary["sent"], summary["journaled"]);
    let titles = |kind: &str| -> Vec<String> {
        let alerts = summary[kind].as_array().expect("a list").iter();
        alerts
            .map(|alert| alert["title"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let breach = "SSH login from an address that was guessing accounts".to_owned();
    assert!(titles("alerts").contains(&breach), "{summary}");
    assert_eq!(
        titles("retracted"),
        ["Maintenance as root without a change ticket"]
    );
    assert_eq!(summary["retracted"][0]["because"], "late_event");
    // Standard error describes the same for people.
    for part in ["- retracted", "since a late log came in"] {
        assert!(demo.err.contains(part), "{part}: {demo:?}");
    }
}
