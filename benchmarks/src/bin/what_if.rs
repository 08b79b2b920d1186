//! Benchmark of what-ifs: the time to answer over the facts of a correlator.
//!
//! `what_if [--type NAME] [--facts N] [--seed N]` fills a correlator from a seeded stream; nothing
//! is forgotten. Then it starts one what-if with another threshold (`groups`), and one with another
//! window (`facts`). It prints one line of JSON with the seconds until each is complete.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::json;
use weir_benchmarks::facts::{self, FactStream};
use weir_operators::{Correlator, Directive, TenantClock};
use weir_schema::{
    Basis, Bound, Epoch, EventTime, Fact, Plan, PlanId, PlanKind, PlanOutput, RuleVersion, Span,
    WhatIfId,
};

/// Facts per epoch, while the correlator is filled.
const EPOCH: usize = 100_000;

struct Options {
    name: String,
    count: usize,
    seed: u64,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            name: "event_count".to_owned(),
            count: 10_000_000,
            seed: 1,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            let value = arguments.next();
            let value = value.with_context(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--type" if facts::TYPES.contains(&value.as_str()) => options.name = value,
                "--type" => bail!("--type is one of {}", facts::TYPES.join(", ")),
                "--facts" => options.count = value.parse()?,
                "--seed" => options.seed = value.parse()?,
                other => bail!("unknown flag {other}"),
            }
        }
        Ok(options)
    }
}

fn main() -> Result<()> {
    let options = Options::parse()?;
    let plan = facts::plan(&options.name, facts::TIMESPAN);
    let mut correlator = Correlator::default();
    let mut epoch = Epoch(1);
    let rows = fill(&mut correlator, &plan, &options, &mut epoch);
    let (groups, bytes) = correlator.size();
    let mut results = Vec::new();
    for basis in [Basis::Groups(plan.id), Basis::Facts(plan.id)] {
        let shadow = Arc::new(candidate(&plan, basis));
        epoch.0 += 1;
        let began = Instant::now();
        let directive = Directive::Shadow {
            plan: Arc::clone(&shadow),
            basis,
        };
        let output = correlator.epoch(epoch, &[], &[directive]);
        let seconds = began.elapsed().as_secs_f64();
        let rows = output.what_ifs.values().flat_map(|what_if| &what_if.rows);
        results.push(json!({
            "from": if matches!(basis, Basis::Groups(_)) { "groups" } else { "facts" },
            "seconds": seconds,
            "facts_per_s": options.count as f64 / seconds,
            "alerts": rows.map(|(_, diff)| *diff as i64).sum::<i64>(),
        }));
        epoch.0 += 1;
        correlator.epoch(epoch, &[], &[Directive::Remove(shadow.id)]);
    }
    let result = json!({
        "benchmark": "what_if",
        "type": options.name,
        "facts": options.count,
        "seed": options.seed,
        "groups": groups,
        "bytes": bytes,
        "alerts": rows,
        "what_ifs": results,
    });
    println!("{result}");
    Ok(())
}

/// Fills the correlator with facts. Returns the number of alerts.
fn fill(correlator: &mut Correlator, plan: &Plan, options: &Options, epoch: &mut Epoch) -> i64 {
    let start = EventTime(1_767_225_600_000_000_000);
    let mut stream = FactStream::skewed(options.seed, start).for_plan(plan);
    correlator.epoch(*epoch, &[], &[Directive::Install(Arc::new(plan.clone()))]);
    let (mut latest, mut rows) = (EventTime::MIN, 0_i64);
    for _ in 0..options.count / EPOCH {
        let slice: Vec<Fact> = stream.by_ref().take(EPOCH).collect();
        latest = slice.iter().map(|fact| fact.time).fold(latest, Ord::max);
        let Some(first) = slice.first() else { break };
        let clock = TenantClock {
            watermark: latest.minus(Span::seconds(60)),
            ..TenantClock::start(first.tenant)
        };
        epoch.0 += 1;
        let output = correlator.epoch(*epoch, &slice, &[Directive::Clock(clock)]);
        rows += output
            .rows
            .iter()
            .map(|(_, diff)| *diff as i64)
            .sum::<i64>();
    }
    rows
}

/// Returns the plan with twice the threshold, or with half the window.
fn candidate(plan: &Plan, basis: Basis) -> Plan {
    let mut candidate = plan.clone();
    candidate.id = PlanId::of(&[b"candidate", format!("{basis:?}").as_bytes()]);
    candidate.version = RuleVersion(2);
    candidate.output = PlanOutput::WhatIf(WhatIfId(1));
    match (&mut candidate.kind, basis) {
        (PlanKind::EventCount { bounds } | PlanKind::ValueCount { bounds }, Basis::Groups(_)) => {
            *bounds = vec![Bound::Gte(2 * facts::COUNT_AT_LEAST)]
        }
        (_, Basis::Facts(_)) => candidate.timespan = Span(plan.timespan.0 / 2),
        (_, Basis::Groups(_) | Basis::Journal) => {}
    }
    candidate
}
