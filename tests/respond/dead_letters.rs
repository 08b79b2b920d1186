//! Messages that a sink has given up, and `weir sinks`, which lists and resends them.

use serde_json::Value;

use super::consumer::{Answer, Consumer, StandingAlerts};
use super::support::{Weir, config, until};
use super::{ago, grant, raise, sink, standing, types};

fn dead(weir: &Weir) -> Vec<Value> {
    let listed = weir.get("/api/v1/sinks/soar/dead").json();
    listed["dead"].as_array().cloned().unwrap_or_default()
}

/// Runs `weir sinks` with these arguments and returns its output.
fn sinks(weir: &Weir, args: &[&str]) -> String {
    let ended = weir.run(&[&["sinks"], args].concat());
    ended.assert_success();
    ended.out
}

#[test]
fn dead_letters_are_listed_and_sent_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let consumer = Consumer::start(&[Answer::Status(422); 3]);
    let config = config(&sink("soar", "webhook", &consumer.url(), "tries_max = 3"));
    let weir = Weir::start(&data, &config);
    raise(&weir, ago(60), "alice");
    until("a dead letter", || (dead(&weir).len() == 1).then_some(()));
    let reason = dead(&weir)[0]["reason"].to_string();
    assert!(reason.contains("422 said"), "{reason}");
    // Later changes of the same alert wait; other alerts are sent.
    grant(&weir, 1, ago(64), "alice");
    raise(&weir, ago(50), "bob");
    until("the message about another alert", || {
        (consumer.received().len() == 4).then_some(())
    });
    assert_eq!(types(&consumer.received())[3].1, "bob");
    weir.stop();

    // Dead letters survive a restart. The command line sends them again, in order.
    let weir = Weir::start(&data, &config);
    until("the dead letter is back", || {
        (dead(&weir).len() == 1).then_some(())
    });
    // The raised alert and its retraction since.
    assert_eq!(dead(&weir)[0]["rows"], 2);
    for (args, parts) in [
        (&["list"][..], ["soar", "0 waiting, 1 dead"]),
        (&["dead", "soar"], ["2 rows from ", "422 said"]),
        (&["resend", "soar"], ["1 alerts are sent again\n", ""]),
    ] {
        let out = sinks(&weir, args);
        assert!(parts.iter().all(|part| out.contains(part)), "{out}");
    }
    until("both messages", || {
        (consumer.received().len() == 6).then_some(())
    });
    let sent = types(&consumer.received()[4..]);
    let alice = |kind: &str| (format!("alert.{kind}"), "alice".to_owned());
    assert_eq!(sent, [alice("raised"), alice("retracted")]);
    let received = StandingAlerts::from_requests(&consumer.received());
    assert_eq!(received.ids, standing(&weir));
    assert_eq!(weir.get("/api/v1/sinks/nobody/dead").status, 404);
    weir.stop();
}
