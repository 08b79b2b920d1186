//! Runs `rsigma-eval` from bytes to alerts: its correlation engine, on this thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use rsigma_eval::{CorrelationConfig, CorrelationEngine, JsonEvent};
use serde_json::Value as Json;
use weir_benchmarks::machine;
use weir_schema::Batch;

/// Result of a run.
pub struct Outcome {
    /// Users for which it fired.
    pub users: BTreeSet<String>,
    /// The same, with the id of the rule.
    pub groups: BTreeSet<(String, String)>,
    pub events: usize,
    pub cpu_s: f64,
    pub wall_s: f64,
}

/// Makes an engine with the rules.
///
/// Its limit on groups, at which it drops the stalest, is lifted. All else is its default, and
/// alerts hold no events.
pub fn load(rules: &[String]) -> Result<CorrelationEngine> {
    let mut engine = CorrelationEngine::new(CorrelationConfig {
        max_state_entries: usize::MAX,
        emit_detections: false,
        ..CorrelationConfig::default()
    });
    let collection = rsigma_parser::parse_sigma_yaml(&rules.join("---\n"))?;
    ensure!(collection.errors.is_empty(), "{:?}", collection.errors);
    engine.add_collection(&collection)?;
    Ok(engine)
}

/// Runs rules over batches; the first `warm` batches do not count.
pub fn run_after(rules: &[String], batches: &[Arc<Batch>], warm: usize) -> Result<Outcome> {
    let mut engine = load(rules)?;
    let mut fired: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut began, mut cpu) = (Instant::now(), machine::thread_cpu_seconds());
    let mut events = 0;
    for (place, batch) in batches.iter().enumerate() {
        if place == warm {
            (began, cpu) = (Instant::now(), machine::thread_cpu_seconds());
            events = 0;
        }
        events += batch.frames.len();
        for frame in &batch.frames {
            let event: Json = serde_json::from_slice(frame)?;
            for result in engine.process_event(&JsonEvent::borrow(&event)) {
                let Some(found) = result.as_correlation() else {
                    continue;
                };
                let Some((_, user)) = found.group_key.first() else {
                    continue;
                };
                let rule = result.header.rule_id.as_deref().unwrap_or_default();
                let known = fired.get(rule).is_some_and(|users| users.contains(user));
                if !known {
                    fired
                        .entry(rule.to_owned())
                        .or_default()
                        .insert(user.clone());
                }
            }
        }
    }
    let (wall_s, cpu_s) = (
        began.elapsed().as_secs_f64(),
        machine::thread_cpu_seconds() - cpu,
    );
    let pairs = || {
        let rules = fired.iter();
        rules.flat_map(|(rule, users)| users.iter().map(move |user| (rule.clone(), user.clone())))
    };
    Ok(Outcome {
        users: pairs().map(|(_, user)| user).collect(),
        groups: pairs().collect(),
        events,
        cpu_s,
        wall_s,
    })
}
