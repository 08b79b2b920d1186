//! Random failures and restarts: the consumer ends up with the standing alerts.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// After any failures of consumer, network and server, the consumer has exactly the standing
    /// alerts, and no message is sent again after a restart.
    #[test]
    fn consumers_end_up_with_the_standing_alerts(
        moves in prop::collection::vec((0..5_u64, 0..5_u8, any::<bool>()), 0..40),
        seed in any::<u64>(),
    ) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut simulation = simulation(&moves);
        for _ in 0..300 {
            match rng.random_range(0..100) {
                0..30 => drop(simulation.read()),
                30..60 => drop(simulation.begin()),
                60..90 if !simulation.in_flight.is_empty() => {
                    let which = rng.random_range(0..simulation.in_flight.len());
                    let (received, answered) = (rng.random_bool(0.6), rng.random_bool(0.6));
                    let gone = rng.random_bool(0.01);
                    simulation.end(which, received, answered, gone, rng.random());
                }
                60..94 => simulation.now = simulation.queue.due(simulation.now).unwrap_or(simulation.now),
                94..97 => simulation.journal(),
                97..99 => simulation.restart(),
                _ => simulation.requeue_dead_letters(),
            }
        }
        simulation.settle();
        let mut standing = BTreeSet::new();
        for change in &simulation.ledger.0 {
            standing.retain(|alert| !change.supersedes.contains(alert));
            match simulation.kind(change) {
                Some(ChangeKind::Retracted) => standing.remove(&change.record.alert),
                Some(_) => standing.insert(change.record.alert),
                None => false,
            };
        }
        prop_assert_eq!(&simulation.consumer.standing, &standing);
        prop_assert_eq!(simulation.queue.pending_alerts(), 0);
        prop_assert!(simulation.queue.dead_letters().is_empty());
        prop_assert!(simulation.queue.mergers.is_empty() && simulation.queue.rows == 0);
        // After a restart from the journal, nothing is sent again.
        simulation.journal();
        simulation.restart();
        let sent = simulation.sent;
        simulation.settle();
        prop_assert_eq!(simulation.sent, sent);
    }
}
