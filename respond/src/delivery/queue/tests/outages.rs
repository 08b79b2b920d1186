//! Consumers that answer nothing for a long time: bounded space, and no row lost.

use super::*;

#[test]
fn silent_consumers_cost_bounded_space() {
    let moves: Vec<Move> = (0..8_000).map(|n| (n % 4_000, 2, false)).collect();
    let mut simulation = simulation(&moves);
    for _ in 0..60_000 {
        while simulation.read() {}
        if simulation.begin() {
            simulation.end(0, false, false, false, 1.0);
        } else if let Some(due) = simulation.queue.due(simulation.now) {
            simulation.now = due;
        }
        assert!(
            simulation.queue.pending_alerts() <= ALERTS_MAX + FAILING_MAX
                && simulation.queue.rows <= 2 * ROWS_MAX
        );
        assert!(simulation.queue.dead_letters().len() <= DEAD_MAX);
    }
    assert_eq!(simulation.queue.dead_letters().len(), DEAD_MAX);
    assert!(simulation.queue.failing_load().is_full());
    simulation.settle();
    assert_eq!(simulation.consumer.standing.len(), 4_000);
}

/// The default of the configuration.
const DEFAULT: RetryPolicy = RetryPolicy {
    retry_min: Span::seconds(1),
    retry_max: Span::seconds(300),
    tries_max: 100,
    age_max: Span::seconds(24 * 3_600),
};

/// Runs two hours in which alerts keep coming and the consumer never answers: each attempt takes
/// `attempt`, and `at_once` are in flight.
fn down_for_two_hours(at_once: usize, attempt: Span) {
    // Three rows of each of a thousand alerts; half of the alerts are retracted.
    let action = |n: u64| {
        if n >= 2_000 && n.is_multiple_of(2) {
            0
        } else {
            2
        }
    };
    let moves: Vec<Move> = (0..3_000).map(|n| (n % 1_000, action(n), false)).collect();
    let mut simulation = simulation(&moves);
    simulation.queue = DeliveryQueue::new(Cursor::START, DEFAULT);
    let (mut tries, end) = (0, ReceiveTime(0).plus(Span::seconds(2 * 3_600)));
    while simulation.now < end {
        while simulation.read() {}
        while simulation.in_flight.len() < at_once && simulation.begin() {}
        if simulation.in_flight.is_empty() {
            simulation.now = simulation
                .queue
                .due(simulation.now)
                .expect("rows are pending");
        } else {
            simulation.now = simulation.now.plus(attempt);
        }
        while !simulation.in_flight.is_empty() {
            simulation.end(0, false, false, false, 0.5);
            tries += 1;
        }
        simulation.journal();
        let (waiting, rows) = (simulation.queue.pending_alerts(), simulation.queue.rows);
        assert!(
            waiting <= ALERTS_MAX + FAILING_MAX && rows <= 2 * ROWS_MAX,
            "{waiting} {rows}"
        );
        // The entries in the journal are bounded too.
        assert!(simulation.position.undelivered.len() <= ALERTS_MAX + FAILING_MAX + DEAD_MAX);
    }
    assert!(simulation.queue.dead_letters().is_empty());
    // Some forty attempts for each pending alert in two hours.
    assert!(tries < 1_000 * 60, "{tries}");
    // The server stops in the middle.
    simulation.restart();
    simulation.settle();
    assert_eq!(simulation.consumer.standing.len(), 500);
    assert_eq!(simulation.consumer.newest.len(), 1_000);
    assert!(
        simulation
            .consumer
            .newest
            .values()
            .all(|newest| *newest == 3)
    );
}

#[test]
fn consumers_that_are_down_for_two_hours_miss_nothing() {
    // Webhooks have eight in flight, the others one; refused at once, or at the timeout.
    for (at_once, attempt_s) in [(8, 0), (8, 15), (1, 0), (1, 15)] {
        down_for_two_hours(at_once, Span::seconds(attempt_s));
    }
}
