//! Alerts that the consumer refuses again and again: others are delivered beside them.

use super::*;

/// How the consumer answers a bad alert.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Refusal {
    /// 400.
    Permanent,
    /// 500.
    Temporary,
}

/// Raises alerts 1 to `alerts`, once each.
fn alerts(alerts: u64) -> Simulation {
    let moves: Vec<Move> = (1..=alerts).map(|alert| (alert, 2, false)).collect();
    let mut simulation = simulation(&moves);
    let retry = RetryPolicy {
        retry_max: Span::seconds(300),
        tries_max: 100,
        age_max: Span::seconds(24 * 3_600),
        ..RETRY
    };
    simulation.queue = DeliveryQueue::new(Cursor::START, retry);
    simulation
}

impl Simulation {
    fn refuse(&mut self, alert: AlertId, refusal: Refusal) -> QueueLosses {
        let failure = DeliveryFailure {
            reason: format!("{refusal:?}"),
            pause: None,
            gone: false,
            is_permanent: refusal == Refusal::Permanent,
        };
        self.queue.fail(alert, self.now, &failure, 0.5)
    }

    /// Reads and delivers what is due, eight at a time. The consumer accepts `good` alerts.
    fn turn(&mut self, refusal: Refusal, good: impl Fn(u64) -> bool) -> QueueLosses {
        let mut losses = QueueLosses::default();
        while self.read() {}
        while self.in_flight.len() < 8 && self.begin() {}
        while let Some((alert, _)) = self.in_flight.first().cloned() {
            if good(alert.0[1]) {
                self.end(0, true, true, false, 0.0);
            } else {
                self.in_flight.remove(0);
                let lost = self.refuse(alert, refusal);
                losses.given_up.extend(lost.given_up);
                losses.dropped.extend(lost.dropped);
            }
        }
        losses
    }

    fn has(&self, alert: u64) -> bool {
        self.consumer.standing.contains(&AlertId([0, alert]))
    }
}

/// Raises `bad` alerts, which the consumer refuses for `hours`, and then one that it accepts.
fn assert_good_one_passes(bad: u64, refusal: Refusal, hours: i64) {
    let mut simulation = alerts(bad + 1);
    let good = simulation.ledger.0.pop().expect("the good alert");
    let end = simulation.now.plus(Span::seconds(hours * 3_600));
    while simulation.now < end {
        simulation.turn(refusal, |_| false);
        let due = simulation.queue.due(simulation.now).unwrap_or(end);
        if simulation.queue.clone().next(simulation.now).is_none() {
            simulation.now = due;
        }
    }
    // All failing alerts are due when the good one is raised, and still it has the first turn.
    simulation.now = end.plus(Span::seconds(300));
    simulation.ledger.0.push(good);
    // Without time to try the others before, it waits for the first attempt of each.
    let turns = if hours == 0 { bad + 1 } else { 1 };
    for _ in 0..turns {
        simulation.turn(refusal, |alert| alert > bad);
    }
    assert!(simulation.has(bad + 1), "{bad} {refusal:?} {hours}");
}

#[test]
fn good_alerts_are_delivered_at_once_beside_refused_ones() {
    for refusal in [Refusal::Permanent, Refusal::Temporary] {
        for (bad, hours) in [(0, 0), (300, 0), (300, 1), (300, 3), (1_000, 1)] {
            assert_good_one_passes(bad, refusal, hours);
        }
    }
}

#[test]
fn permanent_refusals_are_given_up_after_three_tries_and_the_oldest_dropped() {
    let mut simulation = alerts(3_001);
    let (mut given_up, mut dropped) = (Vec::new(), Vec::new());
    let mut attempts = 0;
    while !simulation.has(3_001) {
        let losses = simulation.turn(Refusal::Permanent, |alert| alert > 3_000);
        given_up.extend(losses.given_up);
        dropped.extend(losses.dropped);
        simulation.now = simulation.now.plus(Span::seconds(1));
        attempts += 1;
        assert!(attempts < 10_000, "the good alert is blocked");
        assert!(simulation.queue.dead_letters().len() <= DEAD_MAX);
    }
    assert!(dropped.len() > 500, "{}", dropped.len());
    assert_eq!(simulation.queue.dead_letters().len(), DEAD_MAX);
    assert_eq!(given_up.len(), dropped.len() + DEAD_MAX);
    // Those that remain are the newest, and a restart does not change which are dropped next.
    let oldest = simulation.queue.oldest_refusal();
    simulation.journal();
    simulation.restart();
    assert_eq!(simulation.queue.oldest_refusal(), oldest);
    assert!(dropped.iter().all(|alert| Some(*alert) < oldest));
}

#[test]
fn alerts_that_fail_while_others_are_accepted_never_fill_the_queue() {
    // Every tenth alert is good; the others are answered with 500 for ever.
    let is_good = |alert: u64| alert.is_multiple_of(10);
    let mut simulation = alerts(4_000);
    let mut turns = 0;
    while !simulation.has(4_000) {
        simulation.turn(Refusal::Temporary, is_good);
        simulation.now = simulation.now.plus(Span::seconds(1));
        turns += 1;
        assert!(turns < 20_000, "good alerts are blocked");
    }
    assert_eq!(simulation.consumer.standing.len(), 400);
}

#[test]
fn revisions_of_one_failing_alert_do_not_fill_the_queue() {
    // 1 is revised 6,000 times and always fails; 2 is good and revised at times.
    let alert = |n: u64| if n.is_multiple_of(100) { 2 } else { 1 };
    let moves: Vec<Move> = (1..=6_000).map(|n| (alert(n), 2, false)).collect();
    let mut simulation = simulation(&moves);
    simulation.queue = DeliveryQueue::new(Cursor::START, alerts(0).queue.retry);
    let mut turns = 0;
    while simulation.consumer.newest.get(&AlertId([0, 2])) != Some(&60) {
        simulation.turn(Refusal::Temporary, |alert| alert == 2);
        simulation.now = simulation.now.plus(Span::seconds(1));
        turns += 1;
        assert!(turns < 2_000, "the good alert is blocked");
    }
}

#[test]
fn dropped_refusals_release_the_alerts_that_they_superseded() {
    // 2 supersedes 1 and is refused for good; then 1 is raised again.
    let moves = [(1, 2, false), (2, 2, false), (2, 1, false), (1, 2, false)];
    let mut simulation = simulation(&moves);
    for _ in 0..20 {
        simulation.turn(Refusal::Permanent, |alert| alert == 1);
        simulation.now = simulation.now.plus(Span::seconds(60));
    }
    let (first, refused) = (AlertId([0, 1]), AlertId([0, 2]));
    assert_eq!(simulation.consumer.newest.get(&first), Some(&1));
    simulation.queue.drop_letter(refused);
    simulation.turn(Refusal::Permanent, |alert| alert == 1);
    assert_eq!(simulation.consumer.newest.get(&first), Some(&2));
    assert!(simulation.queue.mergers.is_empty());
}
