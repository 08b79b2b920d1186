//! The demo, played through real sockets, ends as its plan says.

use std::process::Command;

#[test]
fn the_demo_ends_as_its_plan_says() {
    let seed = "1";
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["demo", "--once", "--speed", "300", "--seed", seed])
        .output()
        .expect("the binary can be started");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}: {told}");
    let summary: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(summary["ok"], true, "{summary}");
    assert_eq!(summary["lost"], 0);
    assert_eq!(summary["sent"], summary["journaled"]);
    let titles = |of: &str| -> Vec<String> {
        let alerts = summary[of].as_array().expect("a list").iter();
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
    // The story is told for people, on the other stream.
    assert!(
        told.contains("- retracted") && told.contains("since a late log came in"),
        "{told}"
    );
}
