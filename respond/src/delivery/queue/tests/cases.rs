//! Single cases: retries, dead letters and pauses.

use super::*;

#[test]
fn failing_alerts_do_not_delay_others() {
    let mut world = world(&[(1, 2, false), (2, 2, false), (1, 2, false), (3, 2, false)]);
    while world.read() {}
    let (bad, other) = (AlertId([0, 1]), AlertId([0, 2]));
    assert!(world.begin());
    world.end(0, false, false, false, 0.0);
    assert!(world.begin());
    assert_eq!(world.in_flight[0].0, other);
    world.end(0, true, true, false, 0.0);
    // A success makes the others due at once. The bad alert is given up after three attempts, with
    // all of its rows.
    for _ in 0..20 {
        if !world.begin() {
            let Some(due) = world.queue.due(world.now) else {
                break;
            };
            world.now = due;
            continue;
        }
        let accepted = world.in_flight[0].0 != bad;
        world.end(0, accepted, accepted, false, 0.0);
    }
    let dead = &world.queue.dead_letters()[&bad];
    let places: Vec<u64> = [dead.from, dead.last].map(|at| at.epoch.0).to_vec();
    assert_eq!((places, world.consumer.standing.len()), (vec![1, 3], 2));
}

#[test]
fn alerts_refused_among_accepted_ones_are_not_given_up_early() {
    let mut world = world(&(0..2_000).map(|n| (n, 2, false)).collect::<Vec<Move>>());
    let retry = RetryPolicy {
        retry_max: Span::seconds(300),
        tries_max: 100,
        ..RETRY
    };
    world.queue = DeliveryQueue::new(Cursor::START, retry);
    let (bad, mut tries) = (AlertId([0, 0]), 0);
    // The consumer accepts a hundred a second, for twenty seconds.
    while world.read() {
        while world.begin() {
            let is_bad = world.in_flight[0].0 == bad;
            tries += u32::from(is_bad);
            world.end(0, !is_bad, !is_bad, false, 0.5);
        }
        world.now = world.now.plus(Span(Span::SECOND.0 / 100));
    }
    assert!((2..=12).contains(&tries), "{tries}");
    assert!(world.queue.dead_letters().is_empty());
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
    let mut world = world(&[&[(1, 2, false), (1, 2, false)][..], &last].concat());
    let bad = AlertId([0, 1]);
    assert!(world.read() && world.read());
    while !world.queue.dead_letters().contains_key(&bad) {
        if world.begin() {
            world.end(0, false, false, false, 0.0);
        } else {
            world.now = world.queue.due(world.now).expect("it is retried");
        }
    }
    assert_eq!(world.queue.dead_letters()[&bad].rows, 2);
    while world.read() {}
    assert_eq!(world.queue.dead_letters()[&bad].rows, 6);
    // Meanwhile none of it is sent, and a restart does not change the count.
    while world.begin() {
        world.end(0, true, true, false, 0.0);
    }
    assert_eq!((world.sent, world.consumer.newest.get(&bad)), (1, None));
    world.journal();
    world.restart();
    assert_eq!(world.queue.dead_letters()[&bad].rows, 6);
    world.requeue_dead_letters();
    let mut revisions = Vec::new();
    while world.begin() {
        revisions.push((world.in_flight[0].1.revision, world.in_flight[0].1.kind));
        world.end(0, true, true, false, 0.0);
    }
    use ChangeKind::{Raised, Retracted, Revised};
    let kinds = [Raised, Revised, Revised, Revised, Revised, Retracted];
    assert!(revisions.into_iter().eq((1..).zip(kinds)));
    assert!(world.queue.dead_letters().is_empty() && world.queue.rows == 0);
}

#[test]
fn pauses_hold_back_everything_and_are_bounded() {
    let mut world = world(&[(1, 2, false), (2, 2, false)]);
    while world.read() {}
    let table = [
        (Span(-1), 0),
        (Span::seconds(7), 7),
        (Span(i64::MAX), 3_600),
    ];
    for (pause, expected) in table {
        let failure = DeliveryFailure {
            reason: "later".to_owned(),
            pause: Some(pause),
            gone: false,
        };
        let until = world.now.plus(Span::seconds(expected));
        world.queue.apply_failure(&failure, world.now);
        let just_before = ReceiveTime(until.0 - 1);
        assert!(
            expected == 0 || world.queue.is_paused(just_before),
            "{pause:?}"
        );
        assert!(!world.queue.is_paused(until), "{pause:?}");
        world.now = until;
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
