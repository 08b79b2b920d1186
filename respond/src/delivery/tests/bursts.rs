//! Bursts of alerts: all are delivered, and no sink locks up.

use super::*;

/// Raises bursts of these sizes; each is delivered to all sinks before the next.
fn deliver_bursts(sinks: &[&str], bursts: impl Iterator<Item = u64>, before_read: BeforeRead) {
    let (consumer, delivered) = accepting();
    let server = TestServer::start(sinks, &consumer, before_read, false);
    for (number, alerts) in bursts.enumerate() {
        server.raise(alerts);
        for _ in 0..alerts * sinks.len() as u64 {
            let alert = delivered.recv_timeout(SILENCE_MAX);
            assert!(alert.is_ok(), "burst {number} of {alerts} alerts is stuck");
        }
    }
    server.responders.stop();
}

/// A read of the ledger that takes a moment.
fn slow_read(_: AlertId) {
    for _ in 0..20 {
        std::thread::yield_now();
    }
}

#[test]
fn bursts_of_many_alerts_are_delivered() {
    deliver_bursts(&["a"], (0..60).map(|n| 100 + n % 2 * 100), slow_read);
}

#[test]
fn bursts_are_delivered_to_two_sinks_at_once() {
    deliver_bursts(&["a", "b"], (0..30).map(|n| 100 + n % 2 * 100), slow_read);
}

#[test]
fn twenty_thousand_small_bursts_are_delivered() {
    deliver_bursts(&["a"], (0..20_000).map(|n| 5 + n % 6), |_| {});
}
