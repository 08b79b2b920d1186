//! How long does a what-if take to answer over facts that a correlator holds?
//!
//! `what_if [--type NAME] [--facts N] [--seed N]` lets a correlator take in a seeded stream of which
//! nothing is forgotten, then begins a what-if with another threshold (`groups`) and one with another
//! window (`facts`), and prints one line of JSON: seconds until each has said all that it would say.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use weir_benchmarks::facts::{self, FactStream};
use weir_operators::{TenantClock, Correlator, Directive};
use weir_schema::{
    Basis, Bound, Epoch, EventTime, Fact, PlanOutput, Plan, PlanId, PlanKind, RuleVersion, Span,
    WhatIfId,
};

/// Facts of an epoch: they only have to get in.
const EPOCH: usize = 100_000;

fn main() -> Result<()> {
    let (mut name, mut count, mut seed) = ("event_count".to_owned(), 10_000_000_usize, 1_u64);
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next();
        let value = value.with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--type" if facts::TYPES.contains(&value.as_str()) => name = value,
            "--type" => bail!("--type is one of {}", facts::TYPES.join(", ")),
            "--facts" => count = value.parse()?,
            "--seed" => seed = value.parse()?,
            other => bail!("unknown flag {other}"),
        }
    }
    let start = EventTime(1_767_225_600_000_000_000);
    let plan = facts::plan(&name, facts::TIMESPAN);
    let mut stream = FactStream::skewed(seed, start).for_plan(&plan);
    let mut correlator = Correlator::default();
    let mut epoch = Epoch(1);
    correlator.epoch(epoch, &[], &[Directive::Put(Arc::new(plan.clone()))]);
    let (mut latest, mut rows) = (EventTime::MIN, 0_i64);
    for _ in 0..count / EPOCH {
        let slice: Vec<Fact> = stream.by_ref().take(EPOCH).collect();
        latest = slice.iter().map(|fact| fact.time).fold(latest, Ord::max);
        let Some(first) = slice.first() else { break };
        let clock = TenantClock {
            watermark: latest.minus(Span::seconds(60)),
            ..TenantClock::start(first.tenant)
        };
        epoch.0 += 1;
        let said = correlator.epoch(epoch, &slice, &[Directive::Clock(clock)]);
        rows += said.rows.iter().map(|(_, diff)| *diff as i64).sum::<i64>();
    }
    let (groups, bytes) = correlator.size();
    let mut told = Vec::new();
    for basis in [Basis::Groups(plan.id), Basis::Facts(plan.id)] {
        let shadow = Arc::new(candidate(&plan, basis));
        epoch.0 += 1;
        let began = Instant::now();
        let directive = Directive::Shadow {
            plan: Arc::clone(&shadow),
            basis,
        };
        let said = correlator.epoch(epoch, &[], &[directive]);
        let seconds = began.elapsed().as_secs_f64();
        let rows = said.what_ifs.values().flat_map(|tried| &tried.rows);
        told.push(serde_json::json!({
            "from": if matches!(basis, Basis::Groups(_)) { "groups" } else { "facts" },
            "seconds": seconds,
            "facts_per_s": count as f64 / seconds,
            "alerts": rows.map(|(_, diff)| *diff as i64).sum::<i64>(),
        }));
        epoch.0 += 1;
        correlator.epoch(epoch, &[], &[Directive::Remove(shadow.id)]);
    }
    let told = serde_json::json!({
        "benchmark": "what_if",
        "type": name,
        "facts": count,
        "seed": seed,
        "groups": groups,
        "bytes": bytes,
        "alerts": rows,
        "what_ifs": told,
    });
    println!("{told}");
    Ok(())
}

/// The plan with twice the threshold, or with half the window.
fn candidate(plan: &Plan, basis: Basis) -> Plan {
    let mut tried = plan.clone();
    tried.id = PlanId::of(&[b"candidate", format!("{basis:?}").as_bytes()]);
    tried.version = RuleVersion(2);
    tried.output = PlanOutput::WhatIf(WhatIfId(1));
    match (&mut tried.kind, basis) {
        (PlanKind::EventCount { bounds } | PlanKind::ValueCount { bounds }, Basis::Groups(_)) => {
            *bounds = vec![Bound::Gte(2 * facts::COUNT_AT_LEAST)]
        }
        (_, Basis::Facts(_)) => tried.timespan = Span(plan.timespan.0 / 2),
        (_, Basis::Groups(_) | Basis::Journal) => {}
    }
    tried
}
