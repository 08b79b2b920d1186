//! Compares Weir with `rsigma-eval`: the same lines and rules give the same alerting users.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};
use weir_benchmarks::logins::{Login, LoginCondition, LoginRule, LoginStream, StreamShape};
use weir_schema::Batch;

use crate::race::{self, Rounds, Timing};
use crate::{rsigma, weir};

const SEED: u64 = 11;
/// Lines of a batch, which are the events of an epoch.
const BATCH: usize = 1_000;

/// Skewed users: the first has 12 % of all logins.
const BUSY: StreamShape = StreamShape {
    users: 50_000,
    is_skewed: true,
    per_second: 2_000,
    sources: 1_000,
    is_late: false,
};

/// An engine to run alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    Weir,
    Rsigma,
}

/// Runs one engine alone over the count rule of [`run`], for a profiler.
pub fn alone(engine: Engine, events: usize, rounds: usize) -> Result<Json> {
    let rule = LoginRule {
        condition: LoginCondition::Count(50),
        seconds: 60,
    };
    let logins: Vec<Login> = LoginStream::new(SEED, BUSY).take(events).collect();
    let batches = weir::batches(&logins, BATCH);
    let mut seconds = 0.0;
    for _ in 0..rounds {
        seconds += match engine {
            Engine::Weir => weir::run_after(&rule.texts(), &batches, 0)?.cpu_s,
            Engine::Rsigma => rsigma::run_after(&rule.texts(), &batches, 0)?.cpu_s,
        };
    }
    Ok(json!({"events": events * rounds, "cpu_s": seconds}))
}

/// Kind of stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    InOrder,
    OneInTen,
    Late,
    /// In order; parsing and matching are not measured.
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

/// Compares three types over all kinds of stream.
pub fn run(events: usize, rounds: usize) -> Result<Json> {
    println!(
        "\n| type | stream | Weir, events per CPU s | rsigma-eval | ratio | alerting users \
         | theirs: false, missed |\n|---|---|---|---|---|---|---|"
    );
    let mut rows = Vec::new();
    for condition in [
        LoginCondition::Count(50),
        LoginCondition::Then,
        LoginCondition::Sources(20),
    ] {
        let rule = LoginRule {
            condition,
            seconds: 60,
        };
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

fn one(rule: &LoginRule, stream: Stream, events: usize, rounds: usize) -> Result<Json> {
    let is_late = stream == Stream::Late;
    let shape = StreamShape { is_late, ..BUSY };
    let logins: Vec<Login> = LoginStream::new(SEED, shape).take(events).collect();
    let mut batches = weir::batches(&logins, BATCH);
    if stream == Stream::OneInTen {
        batches = batches.iter().map(weir::mostly_others).collect();
    }
    let expected = match stream {
        Stream::OneInTen => rule.standing(&logins.iter().step_by(10).copied().collect::<Vec<_>>()),
        _ => rule.standing(&logins),
    };
    let users: BTreeSet<String> = expected.iter().map(|row| Login::name(row.user)).collect();
    let standing = weir::run(&rule.texts(), &batches)?.standing(&logins);
    ensure!(
        standing == expected,
        "{}: an alert differs from the plain loops",
        rule.name()
    );
    let found = rsigma::run_after(&rule.texts(), &batches, 0)?.users;
    let wrong = [
        found.difference(&users).count(),
        users.difference(&found).count(),
    ];
    ensure!(
        is_late || wrong == [0, 0],
        "{}: in order, users differ: {wrong:?}",
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
        wrong[0],
        wrong[1],
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
        "rsigma_eval_false": wrong[0],
        "rsigma_eval_missed": wrong[1],
    }))
}

/// Runs both in turn. The first `warm` batches fill the windows and do not count.
pub fn race(
    rules: &[String],
    batches: &[Arc<Batch>],
    warm: usize,
    rounds: usize,
) -> Result<[Rounds; 2]> {
    race::run(
        rounds,
        || {
            let run = weir::run_after(rules, batches, warm)?;
            let (cpu_s, wall_s) = (run.cpu_s, run.wall_s);
            Ok((run.events, Timing { cpu_s, wall_s }))
        },
        || {
            let run = rsigma::run_after(rules, batches, warm)?;
            let (cpu_s, wall_s) = (run.cpu_s, run.wall_s);
            Ok((run.events, Timing { cpu_s, wall_s }))
        },
    )
}

/// Logins of a user per second, in the curve.
const PER_USER: i64 = 100;

/// Compares windows of two users with more and more events and distinct values.
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
            rows.push(curve_row(name, sources, seconds, rounds)?);
        }
    }
    Ok(json!({"seed": SEED, "epoch": BATCH, "users": 2, "rows": rows}))
}

fn curve_row(name: &str, sources: u32, seconds: i64, rounds: usize) -> Result<Json> {
    let in_window = PER_USER * seconds;
    let distinct = i64::from(sources).min(in_window);
    // Just not met, so that no engine can stop early and none raises an alert.
    let condition = match name {
        "sum" => LoginCondition::Sum(in_window * 600),
        "percentile" => LoginCondition::Percentile(990),
        _ => LoginCondition::Sources(i64::from(sources).min(in_window * 2) as usize + 1),
    };
    let rule = LoginRule { condition, seconds };
    let shape = StreamShape {
        users: 2,
        is_skewed: false,
        per_second: 2 * PER_USER,
        sources,
        is_late: false,
    };
    let fill = (2 * in_window) as usize + BATCH;
    let logins = LoginStream::new(SEED, shape).take(fill + 8 * BATCH);
    let batches = weir::batches(&logins.collect::<Vec<_>>(), BATCH);
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
    Ok(json!({
        "type": rule.name(),
        "timespan_s": seconds,
        "events_in_window": in_window,
        "distinct_values": distinct,
        "weir": both[0].json(),
        "rsigma_eval": both[1].json(),
        "ratio": ratio,
    }))
}
