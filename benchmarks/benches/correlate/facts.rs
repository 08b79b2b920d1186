//! Runs only the correlation of both engines; events are parsed and matched before.

use std::sync::Arc;

use anyhow::{Result, ensure};
use rsigma_eval::JsonEvent;
use serde_json::Value as Json;
use weir_benchmarks::logins::START;
use weir_benchmarks::machine;
use weir_detect::{Detections, Detector, RuleBook};
use weir_operators::{Correlator, Directive, TenantClock};
use weir_parse::{Context, Zone};
use weir_schema::{
    Batch, Control, Epoch, EventId, EventTime, Fact, Format, LogSource, Position, Span,
};

use crate::race::{self, Rounds, Timing};
use crate::rsigma;

/// Makes the plans, and the facts of each batch as the graph would.
fn facts(rules: &[String], batches: &[Arc<Batch>]) -> Result<(Vec<Directive>, Vec<Vec<Fact>>)> {
    let mut book = RuleBook::new();
    for text in rules {
        let applied = book.apply(&Control::RulePut {
            text: text.clone(),
            origin: "benchmark".to_owned(),
            since: EventTime::MIN,
        });
        ensure!(applied.diagnostics.is_empty(), "{:?}", applied.diagnostics);
    }
    let plans = book
        .plans()
        .map(|plan| Directive::Install(Arc::new(plan.clone())));
    let plans = plans.collect();
    let (mut detector, mut found) = (Detector::new(), Detections::default());
    let mut all = Vec::new();
    let mut position = 0;
    for batch in batches {
        let declared = batch.logsource.as_deref().unwrap_or_default();
        let logsource: Option<LogSource> = weir_parse::parse_logsource(declared).ok();
        let context = Context {
            format: Format::Json,
            received: batch.received,
            zone: Zone::UTC,
            logsource: logsource.as_ref(),
            time_field: None,
            future_tolerance: Span::seconds(300),
        };
        let tenant = batch.tenant_key();
        let mut facts = Vec::new();
        for frame in &batch.frames {
            let event = weir_parse::decode(frame, &context);
            detector.detect(&book, &event, tenant, None, &mut found);
            position += 1;
            facts.extend(found.facts.iter().map(|draft| Fact {
                plan: draft.plan,
                tenant,
                group: draft.group,
                time: event.time,
                event: EventId::for_frame(batch.source_key(), event.time, frame),
                position: Position(position),
                members: draft.members,
                value: draft.value,
                weight: event.weight,
                received: batch.received,
                time_mark: None,
            }));
        }
        all.push(facts);
    }
    Ok((plans, all))
}

fn time_weir(plans: &[Directive], batches: &[Vec<Fact>]) -> (usize, Timing) {
    let mut correlator = Correlator::default();
    correlator.epoch(Epoch(1), &[], plans);
    let (mut latest, mut rows) = (START, 0);
    let (wall, cpu) = (std::time::Instant::now(), machine::thread_cpu_seconds());
    for (place, facts) in batches.iter().enumerate() {
        latest = facts
            .iter()
            .map(|fact| fact.time)
            .max()
            .unwrap_or(latest)
            .max(latest);
        let directives: Vec<Directive> = facts.first().map_or_else(Vec::new, |fact| {
            let clock = TenantClock {
                watermark: latest.minus(Span::seconds(60)),
                ..TenantClock::start(fact.tenant)
            };
            vec![Directive::Clock(clock)]
        });
        let output = correlator.epoch(Epoch(place as u64 + 2), facts, &directives);
        rows += output.rows.len();
    }
    let timing = Timing {
        cpu_s: machine::thread_cpu_seconds() - cpu,
        wall_s: wall.elapsed().as_secs_f64(),
    };
    std::hint::black_box(rows);
    (batches.iter().map(Vec::len).sum(), timing)
}

fn time_rsigma(rules: &[String], batches: &[Arc<Batch>]) -> Result<(usize, Timing)> {
    let mut engine = rsigma::load(rules)?;
    let mut events: Vec<Json> = Vec::new();
    for batch in batches {
        for frame in &batch.frames {
            events.push(serde_json::from_slice(frame)?);
        }
    }
    let matched: Vec<_> = events
        .iter()
        .map(|event| engine.evaluate(&JsonEvent::borrow(event)))
        .collect();
    let mut fired = 0;
    let (wall, cpu) = (std::time::Instant::now(), machine::thread_cpu_seconds());
    for (event, matched) in events.iter().zip(matched) {
        fired += engine
            .correlate_detections(&JsonEvent::borrow(event), matched)
            .len();
    }
    let timing = Timing {
        cpu_s: machine::thread_cpu_seconds() - cpu,
        wall_s: wall.elapsed().as_secs_f64(),
    };
    std::hint::black_box(fired);
    Ok((events.len(), timing))
}

/// Runs both in turn, over events that are already matched.
pub fn race(rules: &[String], batches: &[Arc<Batch>], rounds: usize) -> Result<[Rounds; 2]> {
    let (plans, facts) = facts(rules, batches)?;
    race::run(
        rounds,
        || Ok(time_weir(&plans, &facts)),
        || time_rsigma(rules, batches),
    )
}
