//! Random histories through the correlator and through the oracle: equal after every epoch.
//!
//! Catches wrong windows and ties, lost or invented firings, wrong merges and splits, state lost by
//! forgetting, and settled alerts that lose their version. Each planted fault of `fault.rs` must be
//! caught, which proves that the properties can fail.

mod backfill;
mod cases;
mod history;
mod random_plans;
mod stages;
mod what_if;

use rand::Rng;
use weir_schema::{AlertRow, Epoch, Evidence};

use super::fault::{self, PlantedFault};
use crate::correlate::CorrelatorOutput;
use crate::reference::Reference;
use history::{History, directives, reference_clock, removed_plans};
use random_plans::{KINDS, RULE};
use stages::{RowCounts, Stages, compare};

/// The interesting situations in a set of histories, to prove that the properties meet them.
#[derive(Debug, Default)]
struct Coverage {
    cases: u32,
    /// Facts refused because they are settled.
    refused: u32,
    /// Facts that a rule saw at their receipt because they are settled.
    late: u32,
    /// Epochs with evidence longer than its limit.
    cut: u32,
    // The number of histories in which each of these happened:
    raised: u32,
    retracted: u32,
    merged: u32,
    /// An alert reached over the settled line.
    crossed: u32,
    rule_edits: u32,
}

/// The situations in one history.
#[derive(Default)]
struct HistoryCoverage {
    raised: bool,
    retracted: bool,
    merged: bool,
    crossed: bool,
    rule_edits: bool,
}

impl Coverage {
    fn add(&mut self, history: &HistoryCoverage) {
        self.cases += 1;
        self.raised += u32::from(history.raised);
        self.retracted += u32::from(history.retracted);
        self.merged += u32::from(history.merged);
        self.crossed += u32::from(history.crossed);
        self.rule_edits += u32::from(history.rule_edits);
    }

    fn add_output(&mut self, output: &CorrelatorOutput) {
        let is_cut = |row: &AlertRow| row.evidence.tail.len() == Evidence::ITEMS_MAX;
        self.cut += u32::from(output.rows.iter().any(|(row, _)| is_cut(row)));
        self.refused += output.counts.not_re_evaluated as u32;
        self.late += output.counts.beyond_horizon as u32;
    }
}

/// Plays the history of `seed`. Fails at the first epoch that differs from the oracle.
fn play(seed: u64, only: Option<&'static str>, coverage: &mut Coverage) -> Result<(), String> {
    let mut history = History::new(seed, only);
    let mut stages = Stages::default();
    let mut reference = Reference::default();
    let mut met = HistoryCoverage::default();
    let mut now = 50;
    for epoch in 1..=40 {
        now += history.rng.random_range(0..8);
        let steps = history.plan_steps(epoch);
        met.rule_edits |= epoch > 1 && !steps.is_empty();
        let facts = history.facts(now);
        let line = history.clock.settled;
        let source_times = history.source_times(now);
        for (source, time) in &source_times {
            reference.observe_source(*source, *time);
        }
        let clock = history.advance(now);
        let clocks = clock.map(reference_clock);
        reference.epoch(&steps, &facts, clocks.as_slice());
        let links = history.links(&facts);
        for link in links.iter().flatten() {
            reference.link(*link);
        }
        let staged = history.staged(&facts);
        let directives = directives(&steps, &source_times, clock);
        let output = stages.epoch(Epoch(epoch), &staged, &links, &directives);
        coverage.add_output(&output);
        let mut rows = output.rows.iter().map(|(row, _)| row);
        met.merged |= rows.clone().any(|row| !row.supersedes.is_empty());
        met.crossed |= rows.any(|row| row.first < line && row.last >= line);
        let before = stages.standing.len();
        let RowCounts { added, removed } = stages.add(output, &removed_plans(&steps))?;
        met.raised |= added > 0;
        met.retracted |= removed > added || stages.standing.len() < before;
        compare(epoch, &stages.rows(), &reference.standing())?;
    }
    coverage.add(&met);
    Ok(())
}

fn play_all(seeds: u64, only: Option<&'static str>) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in 0..seeds {
        if let Err(difference) = play(seed, only, &mut coverage) {
            panic!("{only:?}, seed {seed}: {difference}");
        }
    }
    println!("{}: {coverage:?}", only.unwrap_or("all kinds"));
    let share = |n: u32| f64::from(n) / f64::from(coverage.cases);
    assert!(share(coverage.raised) >= 0.3, "{coverage:?}");
    assert!(share(coverage.retracted) >= 0.1, "{coverage:?}");
    // Silences are further apart than their windows: each is an alert of one anchor.
    if only != Some("silence") {
        assert!(share(coverage.merged) >= 0.05, "{coverage:?}");
        assert!(share(coverage.crossed) >= 0.05, "{coverage:?}");
    }
    assert!(share(coverage.rule_edits) >= 0.3, "{coverage:?}");
    coverage
}

#[test]
fn random_histories_equal_the_reference_after_every_epoch() {
    let coverage = play_all(4_000, None);
    assert!(coverage.refused > 1_000, "{coverage:?}");
    assert!(coverage.cut > 1_000, "{coverage:?}");
}

#[test]
fn histories_of_each_kind_equal_the_reference() {
    for name in KINDS {
        play_all(1_000, Some(name));
    }
}

#[test]
fn histories_of_rules_that_are_no_correlation_equal_the_reference() {
    let coverage = play_all(1_000, Some(RULE));
    assert!(coverage.late > 10_000, "{coverage:?}");
}

#[test]
fn histories_of_chains_equal_the_reference() {
    play_all(2_000, Some("chain"));
}

#[test]
fn every_planted_fault_is_caught() {
    for fault in [
        PlantedFault::OpenBound,
        PlantedFault::FactsOnlyToLine,
        PlantedFault::LostSummary,
        PlantedFault::DroppedRetraction,
        PlantedFault::MultiplicityIgnored,
        PlantedFault::WrongTie,
        PlantedFault::StaleWindow,
        PlantedFault::ValueStays,
        PlantedFault::NoInterpolation,
        PlantedFault::EventTwice,
        PlantedFault::AnswerAtTheBound,
        PlantedFault::EarlyConclusion,
        PlantedFault::StaysBlind,
        PlantedFault::NeverTakenOut,
        PlantedFault::FirstMemberOnly,
        PlantedFault::MarkForgotten,
        PlantedFault::LateIsLost,
        PlantedFault::LateJoins,
    ] {
        let only = match fault {
            PlantedFault::NeverTakenOut => Some("chain"),
            PlantedFault::LateIsLost | PlantedFault::LateJoins => Some(RULE),
            _ => None, // Any history may catch the others.
        };
        catch(fault, only);
    }
    for kind in KINDS {
        catch(PlantedFault::WeightIgnored, Some(kind));
    }
    for kind in ["value_sum", "value_avg", "value_median", "value_percentile"] {
        catch(PlantedFault::ValueOnce, Some(kind));
    }
}

/// Fails unless a history differs from the oracle with the fault.
fn catch(fault: PlantedFault, only: Option<&'static str>) {
    fault::plant(Some(fault));
    let caught = (0..2_000).find(|seed| play(*seed, only, &mut Coverage::default()).is_err());
    fault::plant(None);
    let only = only.unwrap_or("all kinds");
    assert!(caught.is_some(), "no history of {only} catches {fault:?}");
    println!("seed {} of {only} catches {fault:?}", caught.unwrap_or(0));
}
