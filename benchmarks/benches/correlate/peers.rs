//! Weir beside `rsigma-eval`: the same lines, the same rules, the same alerting users.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};
use weir_benchmarks::logins::{Asks, Login, LoginStream, Rule, Shape};
use weir_schema::Batch;

use crate::race::{self, Rounds, Took};
use crate::{ours, theirs};

const SEED: u64 = 11;
/// Lines of a batch, and so events of an epoch.
const BATCH: usize = 1_000;

/// Skewed users: the first has 12 of a hundred logins.
const BUSY: Shape = Shape {
    users: 50_000,
    is_skewed: true,
    per_second: 2_000,
    sources: 1_000,
    is_late: false,
};

/// An engine that is run alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    Weir,
    Rsigma,
}

/// One engine over the counts of [`run`], so that a profile shows it and nothing else.
pub fn alone(engine: Engine, events: usize, rounds: usize) -> Result<Json> {
    let rule = Rule {
        asks: Asks::Count(50),
        seconds: 60,
    };
    let logins: Vec<Login> = LoginStream::new(SEED, BUSY).take(events).collect();
    let batches = ours::batches(&logins, BATCH);
    let mut seconds = 0.0;
    for _ in 0..rounds {
        seconds += match engine {
            Engine::Weir => ours::run_after(&rule.texts(), &batches, 0)?.cpu_s,
            Engine::Rsigma => theirs::run_after(&rule.texts(), &batches, 0)?.cpu_s,
        };
    }
    Ok(json!({"events": events * rounds, "cpu_s": seconds}))
}

/// What of the stream makes it easier or harder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    InOrder,
    OneInTen,
    Late,
    /// In order, parsed and matched before the clock runs.
    Matched,
}

impl Stream {
    const fn name(self) -> &'static str {
        match self {
            Self::InOrder => "in order",
            Self::OneInTen => "in order, one line in ten is a login",
            Self::Late => "1 % late by up to 60 s",
            Self::Matched => "in order, matched already",
        }
    }
}

/// Three types, in order and with one in a hundred late.
pub fn run(events: usize, rounds: usize) -> Result<Json> {
    println!(
        "\n| type | stream | Weir, events per CPU s | rsigma-eval | ratio | alerting users \
         | theirs: false, missed |\n|---|---|---|---|---|---|---|"
    );
    let mut rows = Vec::new();
    for asks in [Asks::Count(50), Asks::Then, Asks::Sources(20)] {
        let rule = Rule { asks, seconds: 60 };
        for stream in [
            Stream::InOrder,
            Stream::OneInTen,
            Stream::Late,
            Stream::Matched,
        ] {
            rows.push(one(&rule, stream, events, rounds)?);
        }
    }
    Ok(json!({"seed": SEED, "epoch": BATCH, "timespan_s": 60, "rows": rows}))
}

fn one(rule: &Rule, stream: Stream, events: usize, rounds: usize) -> Result<Json> {
    let is_late = stream == Stream::Late;
    let shape = Shape { is_late, ..BUSY };
    let logins: Vec<Login> = LoginStream::new(SEED, shape).take(events).collect();
    let mut batches = ours::batches(&logins, BATCH);
    if stream == Stream::OneInTen {
        batches = batches.iter().map(ours::mostly_others).collect();
    }
    let expected = match stream {
        Stream::OneInTen => rule.standing(&logins.iter().step_by(10).copied().collect::<Vec<_>>()),
        _ => rule.standing(&logins),
    };
    let users: BTreeSet<String> = expected.iter().map(|row| Login::name(row.user)).collect();
    let standing = ours::run(&rule.texts(), &batches)?.standing(&logins);
    ensure!(
        standing == expected,
        "{}: an alert differs from the plain loops",
        rule.name()
    );
    let theirs = theirs::run_after(&rule.texts(), &batches, 0)?.users;
    let off = [
        theirs.difference(&users).count(),
        users.difference(&theirs).count(),
    ];
    ensure!(
        is_late || off == [0, 0],
        "{}: in order, users differ: {off:?}",
        rule.name()
    );
    let both = match stream {
        Stream::Matched => crate::facts::race(&rule.texts(), &batches, rounds)?,
        _ => race(&rule.texts(), &batches, batches.len() / 3, rounds)?,
    };
    let [least, ratio, most] = race::ratios(&both);
    println!(
        "| {} | {} | {} | {} | **{ratio:.1}** ({least:.1} to {most:.1}) | {} | {}, {} |",
        rule.name(),
        stream.name(),
        both[0].text(),
        both[1].text(),
        users.len(),
        off[0],
        off[1],
    );
    Ok(json!({
        "type": rule.name(),
        "stream": stream.name(),
        "line_bytes": logins.first().map_or(0, |login| login.line().len()),
        "weir": both[0].json(),
        "rsigma_eval": both[1].json(),
        "ratio": {"min": least, "of_medians": ratio, "max": most},
        "alerting_users": users.len(),
        "alerts": expected.len(),
        "rsigma_eval_false": off[0],
        "rsigma_eval_missed": off[1],
    }))
}

/// Both in turn; the first `warm` batches fill the windows and do not count.
pub fn race(
    rules: &[String],
    batches: &[Arc<Batch>],
    warm: usize,
    rounds: usize,
) -> Result<[Rounds; 2]> {
    race::run(
        rounds,
        || {
            let run = ours::run_after(rules, batches, warm)?;
            let (cpu_s, wall_s) = (run.cpu_s, run.wall_s);
            Ok((run.events, Took { cpu_s, wall_s }))
        },
        || {
            let run = theirs::run_after(rules, batches, warm)?;
            let (cpu_s, wall_s) = (run.cpu_s, run.wall_s);
            Ok((run.events, Took { cpu_s, wall_s }))
        },
    )
}

/// Logins of a user a second, in the curve.
const PER_USER: i64 = 100;

/// Two users, whose windows hold ever more events and ever more distinct values.
pub fn curve(rounds: usize) -> Result<Json> {
    println!(
        "\n| type | window | events in it | distinct values | Weir, events per CPU s | rsigma-eval | ratio |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for (name, sources) in [
        ("few", 10),
        ("many", 1 << 24),
        ("sum", 0),
        ("percentile", 0),
    ] {
        for seconds in [1, 10, 60, 300] {
            let in_window = PER_USER * seconds;
            let distinct = i64::from(sources).min(in_window);
            // Nearly met, so that no engine is done early, and nothing is said.
            let asks = match name {
                "sum" => Asks::Sum(in_window * 600),
                "percentile" => Asks::Percentile(990),
                _ => Asks::Sources(i64::from(sources).min(in_window * 2) as usize + 1),
            };
            let rule = Rule { asks, seconds };
            let shape = Shape {
                users: 2,
                is_skewed: false,
                per_second: 2 * PER_USER,
                sources,
                is_late: false,
            };
            let fill = (2 * in_window) as usize + BATCH;
            let logins = LoginStream::new(SEED, shape).take(fill + 8 * BATCH);
            let batches = ours::batches(&logins.collect::<Vec<_>>(), BATCH);
            let both = race(&rule.texts(), &batches, fill.div_ceil(BATCH), rounds)?;
            let ratio = race::ratios(&both)[1];
            println!(
                "| {} | {seconds} s | {in_window} | {} | {} | {} | **{ratio:.1}** |",
                rule.name(),
                if sources == 0 {
                    "-".to_owned()
                } else {
                    distinct.to_string()
                },
                both[0].text(),
                both[1].text(),
            );
            rows.push(json!({
                "type": rule.name(),
                "timespan_s": seconds,
                "events_in_window": in_window,
                "distinct_values": distinct,
                "weir": both[0].json(),
                "rsigma_eval": both[1].json(),
                "ratio": ratio,
            }));
        }
    }
    Ok(json!({"seed": SEED, "epoch": BATCH, "users": 2, "rows": rows}))
}
