//! Eight correlation types over logins that come up to five minutes late: no group is false, none
//! is missed, and every alert has the times and the count that plain loops say.

#[allow(dead_code, reason = "the benchmark asks for more")]
#[path = "../benches/correlate/ours.rs"]
mod ours;

use std::io::Write;

use weir_benchmarks::logins::{Rule, SKEW_RULES, SKEWS, skewed};

#[test]
fn no_order_of_arrival_makes_an_alert_false_or_missed() {
    const SEED: u64 = 7;
    for asks in SKEW_RULES {
        let rule = Rule { asks, seconds: 60 };
        let name = rule.name();
        let expected = rule.standing(&skewed(SEED, 0));
        let users = |rows: &[weir_benchmarks::logins::Standing]| {
            let mut users: Vec<u32> = rows.iter().map(|row| row.user).collect();
            users.dedup();
            users.len()
        };
        // A rule that says nothing, or the same of everybody, would show nothing.
        assert!(
            (50..1_900).contains(&users(&expected)),
            "{name}: {}",
            users(&expected)
        );
        for skew in SKEWS {
            let logins = skewed(SEED, skew);
            let outcome = ours::run(&rule.texts(), &ours::batches(&logins, 500)).unwrap();
            let standing = outcome.standing(&logins);
            let missed = expected
                .iter()
                .filter(|row| !standing.contains(row))
                .count();
            let false_ones = standing
                .iter()
                .filter(|row| !expected.contains(row))
                .count();
            // Straight to standard error: what libtest captures of a test that passes is never seen.
            let _ = writeln!(
                std::io::stderr(),
                "skew: {name}, {skew} s: {} alerts on {} users; {false_ones} false, {missed} missed",
                expected.len(),
                users(&expected),
            );
            assert_eq!(standing, expected, "{name} at {skew} s, seed {SEED}");
        }
    }
}
