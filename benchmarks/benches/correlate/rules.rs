//! Measures a thousand correlations over two hundred selections: the cost of each further rule.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};
use weir_benchmarks::logins::{LoginStream, StreamShape};
use weir_scenario::random::scatter;
use weir_schema::Batch;

use crate::race;
use crate::{peers, rsigma, weir};

const SEED: u64 = 13;
const SELECTIONS: u64 = 200;

/// Rules that match one action each, and five correlations of each rule.
fn texts(selections: u64) -> Vec<String> {
    let mut texts = Vec::new();
    for at in 0..selections {
        texts.push(format!(
            "title: action {at}\nid: 7a1c0000-0000-4000-8000-{at:012}\nname: action_{at}\nlogsource:\n    \
             product: bench\n    service: login\ndetection:\n    selection:\n        action: action-{at:03}\n    \
             condition: selection\nlevel: informational\n"
        ));
    }
    for at in 0..selections {
        let next = (at + 1) % selections;
        let kinds = [
            (
                "event_count",
                1,
                "user",
                60,
                "\n    condition:\n        gte: 12",
            ),
            (
                "event_count",
                1,
                "host",
                300,
                "\n    condition:\n        gte: 90",
            ),
            (
                "value_count",
                1,
                "user",
                300,
                "\n    condition:\n        field: source_ip\n        gte: 30",
            ),
            ("temporal_ordered", 2, "user", 120, ""),
            (
                "value_sum",
                1,
                "host",
                600,
                "\n    condition:\n        field: bytes\n        gte: 90000",
            ),
        ];
        for (place, (kind, members, by, seconds, condition)) in kinds.into_iter().enumerate() {
            let members: String = [at, next][..members]
                .iter()
                .map(|member| format!("\n        - action_{member}"))
                .collect();
            texts.push(format!(
                "title: {kind} of {at}\nid: 7a1c0000-0000-4000-9{place:03}-{at:012}\nname: c_{at}_{place}\n\
                 correlation:\n    type: {kind}\n    rules:{members}\n    group-by:\n        - {by}\n    \
                 timespan: {seconds}s{condition}\nlevel: medium\n"
            ));
        }
    }
    texts
}

/// Makes logins that have an action each.
fn batches(events: usize) -> Vec<Arc<Batch>> {
    let shape = StreamShape {
        users: 50_000,
        is_skewed: true,
        per_second: 500,
        sources: 1_000,
        is_late: false,
    };
    let line = |login: weir_benchmarks::logins::Login| {
        let action = scatter(login.session ^ SEED) % SELECTIONS;
        let line = login.line();
        let line = line.strip_suffix('}').unwrap_or(&line);
        format!("{line},\"action\":\"action-{action:03}\"}}")
    };
    let frames: Vec<String> = LoginStream::new(SEED, shape)
        .take(events)
        .map(line)
        .collect();
    frames.chunks(1_000).map(weir::batch_of).collect()
}

pub fn run(events: usize, rounds: usize) -> Result<Json> {
    println!(
        "\n| selections, correlations | Weir, events per CPU s | rsigma-eval | ratio | alerting groups |"
    );
    println!("|---|---|---|---|---|");
    let batches = batches(events);
    let mut rows = Vec::new();
    for selections in [2, 20, SELECTIONS] {
        let texts = texts(selections);
        let groups = weir::run(&texts, &batches)?.groups();
        let rsigma_groups: BTreeSet<_> = rsigma::run_after(&texts, &batches, 0)?.groups;
        ensure!(
            groups == rsigma_groups.len(),
            "{selections} selections: Weir has {groups} alerting groups, rsigma-eval {}",
            rsigma_groups.len()
        );
        let both = peers::race(&texts, &batches, batches.len() / 3, rounds)?;
        let [least, ratio, most] = race::ratios(&both);
        println!(
            "| {selections}, {} | {} | {} | **{ratio:.1}** ({least:.1} to {most:.1}) | {groups} |",
            selections * 5,
            both[0].text(),
            both[1].text(),
        );
        rows.push(json!({
            "selections": selections,
            "correlations": selections * 5,
            "weir": both[0].json(),
            "rsigma_eval": both[1].json(),
            "ratio": {"min": least, "of_medians": ratio, "max": most},
            "alerting_groups": groups,
        }));
    }
    Ok(json!({"seed": SEED, "rows": rows}))
}
