//! Single cases: retries, dead letters and pauses.

use super::*;

#[test]
fn failing_alerts_do_not_delay_others() {
    let mut simulation = simulation(&[(1, 2, false), (2, 2, false), (1, 2, false), (3, 2, false)]);
    while simulation.read() {}
    let (bad, other) = (AlertId([0, 1]), AlertId([0, 2]));
    assert!(simulation.begin());
    simulation.end(0, false, false, false, 0.0);
    assert!(simulation.begin());
    assert_eq!(simulation.in_flight[0].0, other);
    simulation.end(0, true, true, false, 0.0);
    // A success makes the others due at once. The bad alert is given up after three attempts, with
    // all of its rows.
    for _ in 0..20 {
        if !simulation.begin() {
            let Some(due) = simulation.queue.due(simulation.now) else {
                break;
            };
            simulation.now = due;
            continue;
        }
        let accepted = simulation.in_flight[0].0 != bad;
        simulation.end(0, accepted, accepted, false, 0.0);
    }
    let dead = &simulation.queue.dead_letters()[&bad];
    let places: Vec<u64> = [dead.from, dead.last].map(|at| at.epoch.0).to_vec();
    assert_eq!(
        (places, simulation.consumer.standing.len()),
        (vec![1, 3], 2)
    );
}

#[test]
fn alerts_refused_among_accepted_ones_are_not_given_up_early() {
    let mut simulation = simulation(&(0..2_000).map(|n| (n, 2, false)).collect::<Vec<Move>>());
    let retry = RetryPolicy {
        retry_max: Span::seconds(300),
        tries_max: 100,
        ..RETRY
    };
    simulation.queue = DeliveryQueue::new(Cursor::START, retry);
    let (bad, mut tries) = (AlertId([0, 0]), 0);
    // The consumer accepts a hundred a second, for twenty seconds.
    while simulation.read() {
        while simulation.begin() {
            let is_bad = simulation.in_flight[0].0 == bad;
            tries += u32::from(is_bad);
            simulation.end(0, !is_bad, !is_bad, false, 0.5);
        }
        simulation.now = simulation.now.plus(Span(Span::SECOND.0 / 100));
    }
    assert!((2..=12).contains(&tries), "{tries}");
    assert!(simulation.queue.dead_letters().is_empty());
}

#[test]
fn dead_letters_count_their_rows_and_are_resent_in_order() {
    // Alert 1 is raised, revised four times and retracted; 2 is another.
    let last = [
        (1, 2, false),
        (1, 2, false),
        (2, 2, false),
        (1, 2, false),
        (1, 0, false),
    ];
    let mut simulation = simulation(&[&[(1, 2, false), (1, 2, false)][..], &last].concat());
    let bad = AlertId([0, 1]);
    assert!(simulation.read() && simulation.read());
    while !simulation.queue.dead_letters().contains_key(&bad) {
        if simulation.begin() {
            simulation.end(0, false, false, false, 0.0);
        } else {
            simulation.now = simulation.queue.due(simulation.now).expect("it is retried");
        }
    }
    assert_eq!(simulation.queue.dead_letters()[&bad].rows, 2);
    while simulation.read() {}
    assert_eq!(simulation.queue.dead_letters()[&bad].rows, 6);
    // Meanwhile none of it is sent, and a restart does not change the count.
    while simulation.begin() {
        simulation.end(0, true, true, false, 0.0);
    }
    assert_eq!(
        (simulation.sent, simulation.consumer.newest.get(&bad)),
        (1, None)
    );
    simulation.journal();
    simulation.restart();
    assert_eq!(simulation.queue.dead_letters()[&bad].rows, 6);
    simulation.requeue_dead_letters();
    let mut revisions = Vec::new();
    while simulation.begin() {
        revisions.push((
            simulation.in_flight[0].1.revision,
            simulation.in_flight[0].1.kind,
        ));
        simulation.end(0, true, true, false, 0.0);
    }
    use ChangeKind::{Raised, Retracted, Revised};
    let kinds = [Raised, Revised, Revised, Revised, Revised, Retracted];
    assert!(revisions.into_iter().eq((1..).zip(kinds)));
    assert!(simulation.queue.dead_letters().is_empty() && simulation.queue.rows == 0);
}

#[test]
fn pauses_hold_back_everything_and_are_bounded() {
    let mut simulation = simulation(&[(1, 2, false), (2, 2, false)]);
    while simulation.read() {}
    let table = [(Span(-1), 0), (Span::seconds(7), 7), (Span(i64::MAX), 300)];
    for (pause, expected) in table {
        let failure = DeliveryFailure {
            reason: "later".to_owned(),
            pause: Some(pause),
            gone: false,
            is_permanent: false,
        };
        let until = simulation.now.plus(Span::seconds(expected));
        simulation.queue.apply_failure(&failure, simulation.now);
        let just_before = ReceiveTime(until.0 - 1);
        assert!(
            expected == 0 || simulation.queue.is_paused(just_before),
            "{pause:?}"
        );
        assert!(!simulation.queue.is_paused(until), "{pause:?}");
        simulation.now = until;
    }
}

#[test]
fn delays_double_up_to_the_maximum_and_are_spread() {
    let table = [
        (1, 0.0, 500),
        (1, 1.0, 1_000),
        (2, 1.0, 2_000),
        (6, 1.0, 32_000),
    ];
    let more = [(7, 1.0, 60_000), (7, 0.0, 30_000), (u32::MAX, 0.5, 45_000)];
    for (tries, jitter, expected_ms) in table.into_iter().chain(more) {
        let delay = RETRY.delay(tries, jitter);
        assert_eq!(
            delay.0 / 1_000_000,
            expected_ms,
            "after {tries} tries, {jitter}"
        );
    }
}
