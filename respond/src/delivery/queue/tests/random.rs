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
        let mut world = world(&moves);
        for _ in 0..300 {
            match rng.random_range(0..100) {
                0..30 => drop(world.read()),
                30..60 => drop(world.begin()),
                60..90 if !world.in_flight.is_empty() => {
                    let which = rng.random_range(0..world.in_flight.len());
                    let (received, answered) = (rng.random_bool(0.6), rng.random_bool(0.6));
                    let gone = rng.random_bool(0.01);
                    world.end(which, received, answered, gone, rng.random());
                }
                60..94 => world.now = world.queue.due(world.now).unwrap_or(world.now),
                94..97 => world.journal(),
                97..99 => world.restart(),
                _ => world.requeue_dead_letters(),
            }
        }
        world.settle();
        let mut standing = BTreeSet::new();
        for change in &world.ledger.0 {
            standing.retain(|alert| !change.supersedes.contains(alert));
            match world.kind(change) {
                Some(ChangeKind::Retracted) => standing.remove(&change.record.alert),
                Some(_) => standing.insert(change.record.alert),
                None => false,
            };
        }
        prop_assert_eq!(&world.consumer.standing, &standing);
        prop_assert_eq!(world.queue.pending_alerts(), 0);
        prop_assert!(world.queue.dead_letters().is_empty());
        prop_assert!(world.queue.mergers.is_empty() && world.queue.rows == 0);
        // After a restart from the journal, nothing is sent again.
        world.journal();
        world.restart();
        let sent = world.sent;
        world.settle();
        prop_assert_eq!(world.sent, sent);
    }
}
