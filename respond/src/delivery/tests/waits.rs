//! How long alerts wait for a sink, as the server's watch reads it.

use std::time::Instant;

use tokio::sync::Semaphore;

use super::*;
use crate::delivery::activity::SinkActivityReport;
use crate::failure::{DeliveryError, FailureReason};

/// Waits until the only sink reports what `is_expected` looks for.
fn wait_for(
    server: &TestServer,
    is_expected: impl Fn(&SinkActivityReport) -> bool,
) -> SinkActivityReport {
    let started = Instant::now();
    loop {
        let report = server.responders.activity().remove(0);
        if is_expected(&report) {
            return report;
        }
        assert!(started.elapsed() < SILENCE_MAX, "{report:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_sink_that_its_consumer_stopped_reports_it_with_what_waits() {
    let consumer = ScriptedConsumer(Arc::new(|_| {
        let gone = DeliveryError::new(FailureReason::Gone, "410");
        std::future::ready(Err(gone)).boxed()
    }));
    let server = TestServer::start(&["a"], &consumer, |_| {}, false);
    let before = wait_for(&server, |report| report.turns > 0);
    assert_eq!((before.waits_since, before.is_stopped), (None, false));
    server.raise(1);
    let stopped = wait_for(&server, |report| report.is_stopped);
    assert_eq!(stopped.waiting, 1);
    assert!(stopped.waits_since.is_some());
    server.responders.stop();
}

#[test]
fn alerts_that_a_slow_sink_has_not_read_yet_wait_too() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let consumer = ScriptedConsumer(Arc::new(move |_| {
        let gate = Arc::clone(&gate);
        let wait = async move {
            let permit = gate.acquire().await;
            permit.expect("the gate stays").forget();
            Ok(())
        };
        wait.boxed()
    }));
    let server = TestServer::start(&["a"], &consumer, |_| {}, false);
    server.raise(1_000);
    let deliver = |count| {
        opened.add_permits(300);
        wait_for(&server, |report| report.attempts >= count)
    };
    // None of the first window waits any longer, and each other one was read since.
    let since = deliver(300).waits_since;
    assert!(since.is_some());
    assert_eq!(deliver(600).waits_since, since);
    opened.add_permits(400);
    let done = wait_for(&server, |report| {
        report.waiting == 0 && report.attempts == 1_000
    });
    assert_eq!(done.waits_since, None);
    server.responders.stop();
}
