//! Correlation of late logins: no group is false or missed, for eight correlation types.
//!
//! Logins arrive up to five minutes late. Every alert must match the one that plain loops find.

#[allow(dead_code, reason = "only the benchmark uses the rest")]
#[path = "../benches/correlate/weir.rs"]
mod weir;

use std::io::Write;

use weir_benchmarks::logins::{LoginRule, SKEW_RULES, SKEWS, skewed};

#[test]
fn arrival_order_makes_no_alert_false_or_missed() {
    const SEED: u64 = 7;
    for condition in SKEW_RULES {
        let rule = LoginRule {
            condition,
            seconds: 60,
        };
        let name = rule.name();
        let expected = rule.standing(&skewed(SEED, 0));
        let users = |rows: &[weir_benchmarks::logins::LoginAlert]| {
            let mut users: Vec<u32> = rows.iter().map(|row| row.user).collect();
            users.dedup();
            users.len()
        };
        // A rule that fires for nobody, or for everybody, would prove nothing.
        assert!(
            (50..1_900).contains(&users(&expected)),
            "{name}: {}",
            users(&expected)
        );
        for skew in SKEWS {
            let logins = skewed(SEED, skew);
            let outcome = weir::run(&rule.texts(), &weir::batches(&logins, 500)).unwrap();
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
