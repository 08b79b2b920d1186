//! The experiment on order: false and missed groups of eight correlation types.
//!
//! All types run over the same logins, in order and up to five minutes late.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};
use weir_benchmarks::logins::{Login, LoginRule, SKEW_RULES, SKEWS, skewed};

use crate::{rsigma, weir};

const SEED: u64 = 7;
const SECONDS: i64 = 60;

pub fn run() -> Result<Json> {
    println!(
        "\n| type | true groups | late by | Weir: false, missed | rsigma-eval: false, missed |"
    );
    println!("|---|---|---|---|---|");
    let mut rows = Vec::new();
    for condition in SKEW_RULES {
        let rule = LoginRule {
            condition,
            seconds: SECONDS,
        };
        let expected = rule.standing(&skewed(SEED, 0));
        let users: BTreeSet<u32> = expected.iter().map(|row| row.user).collect();
        let names: BTreeSet<String> = users.iter().map(|user| Login::name(*user)).collect();
        for skew in SKEWS {
            let logins = skewed(SEED, skew);
            let batches = weir::batches(&logins, 500);
            let standing = weir::run(&rule.texts(), &batches)?.standing(&logins);
            let found: BTreeSet<u32> = standing.iter().map(|row| row.user).collect();
            let rsigma_users = rsigma::run_after(&rule.texts(), &batches, 0)?.users;
            let wrong = [
                found.difference(&users).count(),
                users.difference(&found).count(),
                rsigma_users.difference(&names).count(),
                names.difference(&rsigma_users).count(),
            ];
            println!(
                "| {} | {} | {skew} s | {}, {} | {}, {} |",
                rule.name(),
                users.len(),
                wrong[0],
                wrong[1],
                wrong[2],
                wrong[3],
            );
            ensure!(
                standing == expected,
                "{} at {skew} s: an alert differs from the plain loops",
                rule.name()
            );
            rows.push(json!({
                "type": rule.name(),
                "late_by_s": skew,
                "true_groups": users.len(),
                "alerts": expected.len(),
                "weir": {"false": wrong[0], "missed": wrong[1]},
                "rsigma_eval": {"false": wrong[2], "missed": wrong[3]},
            }));
        }
    }
    Ok(json!({"seed": SEED, "timespan_s": SECONDS, "rows": rows}))
}
