//! Stops of sinks whose consumer, ledger or journal never answers.

use super::*;

/// Stops a server on a thread of its own. Fails if the stop does not end.
fn assert_stops(server: TestServer) {
    let (stopped, ended) = sync_channel::<()>(0);
    let stop = std::thread::spawn(move || {
        let _stopped = stopped; // Closes the channel at the end.
        server.responders.stop();
    });
    let waited = ended.recv_timeout(SILENCE_MAX);
    assert_eq!(waited, Err(RecvTimeoutError::Disconnected), "it hangs");
    stop.join().expect("it stops without a panic");
}

/// A consumer that reports each delivery and never answers.
fn silent() -> (ScriptedConsumer, Receiver<AlertId>) {
    let (sender, receiver) = sync_channel(1 << 10);
    let consumer = ScriptedConsumer(Arc::new(move |alert| {
        let _ = sender.send(alert);
        std::future::pending().boxed()
    }));
    (consumer, receiver)
}

/// A read of the fifth alert never ends.
fn blocked_read(alert: AlertId) {
    if alert.0[1] == 5 {
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn sinks_stop_while_the_consumer_never_answers() {
    let (consumer, delivered) = silent();
    let server = TestServer::start(&["a", "b"], &consumer, |_| {}, false);
    server.raise(50);
    delivered.recv_timeout(SILENCE_MAX).expect("a delivery");
    let metrics = server.metrics.clone();
    assert_stops(server);
    assert_eq!(metrics.waiting.with_label_values(&["a"]).get(), 50);
}

#[test]
fn sinks_stop_while_the_consumer_blocks_their_thread() {
    let (sender, delivered) = sync_channel(1 << 10);
    let consumer = ScriptedConsumer(Arc::new(move |alert| {
        let _ = sender.send(alert);
        loop {
            std::thread::park();
        }
    }));
    let server = TestServer::start(&["a"], &consumer, |_| {}, false);
    server.raise(1);
    delivered.recv_timeout(SILENCE_MAX).expect("a delivery");
    assert_stops(server);
}

#[test]
fn sinks_stop_while_the_ledger_never_answers() {
    let (consumer, delivered) = accepting();
    let server = TestServer::start(&["a", "b"], &consumer, blocked_read, false);
    server.raise(4);
    for _ in 0..8 {
        delivered.recv_timeout(SILENCE_MAX).expect("a delivery");
    }
    server.raise(1);
    assert_stops(server);
}

#[test]
fn sinks_stop_while_the_journal_never_answers() {
    let (consumer, _delivered) = accepting();
    let server = TestServer::start(&["a"], &consumer, |_| {}, true);
    server.raise(10);
    assert_stops(server);
}

#[test]
fn a_stop_journals_the_position_of_everything_delivered() {
    let (consumer, delivered) = accepting();
    let server = TestServer::start(&["a"], &consumer, |_| {}, false);
    server.raise(1_000);
    for _ in 0..1_000 {
        delivered.recv_timeout(SILENCE_MAX).expect("a delivery");
    }
    let journal = Arc::clone(&server.journal);
    assert_stops(server);
    let mut position = SinkPosition::default();
    let entries = journal.entries.lock().expect("no panic");
    entries.iter().for_each(|entry| position.apply(entry));
    assert_eq!(position.read().map(|at| at.epoch), Some(Epoch(1_000)));
    assert!(position.undelivered.is_empty(), "{position:?}");
}
