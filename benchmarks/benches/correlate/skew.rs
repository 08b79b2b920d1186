//! The experiment on order: eight correlation types over the same logins, in order and up to five
//! minutes late; which groups are false, and which are missed.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};
use weir_benchmarks::logins::{Login, Rule, SKEW_RULES, SKEWS, skewed};

use crate::{ours, theirs};

const SEED: u64 = 7;
const SECONDS: i64 = 60;

pub fn run() -> Result<Json> {
    println!(
        "\n| type | true groups | late by | Weir: false, missed | rsigma-eval: false, missed |"
    );
    println!("|---|---|---|---|---|");
    let mut rows = Vec::new();
    for asks in SKEW_RULES {
        let rule = Rule {
            asks,
            seconds: SECONDS,
        };
        let expected = rule.standing(&skewed(SEED, 0));
        let users: BTreeSet<u32> = expected.iter().map(|row| row.user).collect();
        let names: BTreeSet<String> = users.iter().map(|user| Login::name(*user)).collect();
        for skew in SKEWS {
            let logins = skewed(SEED, skew);
            let batches = ours::batches(&logins, 500);
            let standing = ours::run(&rule.texts(), &batches)?.standing(&logins);
            let found: BTreeSet<u32> = standing.iter().map(|row| row.user).collect();
            let theirs = theirs::run_after(&rule.texts(), &batches, 0)?.users;
            let off = [
                found.difference(&users).count(),
                users.difference(&found).count(),
                theirs.difference(&names).count(),
                names.difference(&theirs).count(),
            ];
            println!(
                "| {} | {} | {skew} s | {}, {} | {}, {} |",
                rule.name(),
                users.len(),
                off[0],
                off[1],
                off[2],
                off[3],
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
                "weir": {"false": off[0], "missed": off[1]},
                "rsigma_eval": {"false": off[2], "missed": off[3]},
            }));
        }
    }
    Ok(json!({"seed": SEED, "timespan_s": SECONDS, "rows": rows}))
}
