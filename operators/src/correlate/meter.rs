//! The working time of the plans of one correlator, by samples.
//!
//! A group is evaluated in a microsecond, which is not much more than two readings of a clock. So
//! of many groups only some are measured, and the time of all is shared out in their proportion.

use std::collections::BTreeMap;

use weir_schema::{PlanOutput, RuleTimes, Stopwatch};

use super::plan_table::PlanTable;
use super::slots::PlanSlot;

/// Most measured items of one round: two readings each, so some microseconds in all.
const SAMPLES_MAX: usize = 64;

/// Times are reported when they add up to this, or every so many epochs.
const REPORT_NANOS: u64 = 5_000_000;
const REPORT_EVERY_EPOCHS: u64 = 16;

/// Measures the plans of one correlator; without a stopwatch it does nothing.
#[derive(Debug, Default)]
pub struct PlanMeter {
    stopwatch: Option<Stopwatch>,
    nanos: BTreeMap<PlanSlot, u64>,
    total: u64,
    /// The buffer of the next round.
    weights: PlanWeights,
}

/// A weight for each plan, by slot: facts are too many to look each one's plan up in a map.
#[derive(Debug, Default)]
struct PlanWeights {
    weights: Vec<u64>,
    /// The plans whose weight is not zero.
    plans: Vec<PlanSlot>,
}

impl PlanWeights {
    fn add(&mut self, plan: PlanSlot, weight: u64) {
        let at = plan.0 as usize;
        if at >= self.weights.len() {
            self.weights.resize(at + 1, 0);
        }
        if self.weights[at] == 0 && weight > 0 {
            self.plans.push(plan);
        }
        self.weights[at] += weight;
    }

    fn drain(&mut self) -> impl Iterator<Item = (PlanSlot, u64)> {
        let weights = &mut self.weights;
        let plans = self.plans.drain(..);
        plans.map(|plan| (plan, std::mem::take(&mut weights[plan.0 as usize])))
    }
}

/// One round of items that are measured together.
#[derive(Debug)]
pub struct MeterRound {
    started: u64,
    /// The number of items of which one is measured.
    step: usize,
    /// The next item to measure.
    next: usize,
    item: usize,
    sampled: PlanWeights,
}

impl PlanMeter {
    pub fn new(stopwatch: Option<Stopwatch>) -> Self {
        Self {
            stopwatch,
            ..Self::default()
        }
    }

    /// Begins a round of `items`, none of which need be of the same plan.
    ///
    /// `turn` changes from round to round, so that each item is measured in some of them.
    pub fn begin(&mut self, items: usize, turn: u64) -> Option<MeterRound> {
        let stopwatch = self.stopwatch.filter(|_| items > 0)?;
        let step = items.div_ceil(SAMPLES_MAX);
        Some(MeterRound {
            started: stopwatch.read(),
            step,
            next: (turn % step as u64) as usize,
            item: 0,
            sampled: std::mem::take(&mut self.weights),
        })
    }

    /// The reading before the next item of the round, if that one is measured.
    pub fn start(&self, round: &mut Option<MeterRound>) -> Option<u64> {
        let round = round.as_mut()?;
        let item = round.item;
        round.item += 1;
        if item != round.next {
            return None;
        }
        round.next += round.step;
        Some(self.stopwatch?.read())
    }

    /// Ends the item that began at the reading `started`.
    pub fn stop(&self, round: &mut Option<MeterRound>, plan: PlanSlot, started: u64) {
        if let (Some(round), Some(stopwatch)) = (round, self.stopwatch) {
            // At least 1, so that each item has a weight.
            let nanos = stopwatch.read().saturating_sub(started).max(1);
            round.sampled.add(plan, nanos);
        }
    }

    /// Adds weight to a plan without a reading of its own.
    pub fn weigh(round: &mut Option<MeterRound>, plan: PlanSlot, weight: u64) {
        if let Some(round) = round {
            round.sampled.add(plan, weight);
        }
    }

    /// Ends a round: its whole time is shared out in proportion to the samples.
    pub fn end(&mut self, round: Option<MeterRound>) {
        let (Some(mut round), Some(stopwatch)) = (round, self.stopwatch) else {
            return;
        };
        let all = stopwatch.read().saturating_sub(round.started);
        let sampled: u64 = round.sampled.weights.iter().sum();
        for (plan, weight) in round.sampled.drain() {
            let nanos = u128::from(all) * u128::from(weight) / u128::from(sampled.max(1));
            *self.nanos.entry(plan).or_default() += nanos as u64;
        }
        self.total += all;
        self.weights = round.sampled;
    }

    /// Takes the times by rule, if they are worth a report. Plans of what-ifs have no part in them.
    pub fn report(&mut self, epoch: u64, plans: &PlanTable) -> Option<RuleTimes> {
        let is_due = self.total >= REPORT_NANOS || epoch.is_multiple_of(REPORT_EVERY_EPOCHS);
        if !is_due || self.nanos.is_empty() {
            return None;
        }
        self.total = 0;
        let mut times = RuleTimes::default();
        for (slot, nanos) in std::mem::take(&mut self.nanos) {
            let plan = plans.get(slot).map(|state| &state.plan);
            let live = plan.filter(|plan| !matches!(plan.output, PlanOutput::WhatIf(_)));
            if let Some(plan) = live {
                times.add(&plan.rule, nanos);
            }
        }
        Some(times).filter(|times| !times.0.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
        static READINGS: Cell<u64> = const { Cell::new(0) };
    }

    fn read() -> u64 {
        READINGS.with(|readings| readings.set(readings.get() + 1));
        NOW.with(Cell::get)
    }

    fn pass(nanos: u64) {
        NOW.with(|now| now.set(now.get() + nanos));
    }

    /// Runs rounds of items, each with a plan and the time that it takes.
    fn measure(items: &[(u32, u64)], rounds: u64) -> BTreeMap<PlanSlot, u64> {
        let mut meter = PlanMeter::new(Some(Stopwatch(read)));
        for turn in 0..rounds {
            let mut round = meter.begin(items.len(), turn);
            for (plan, nanos) in items {
                let started = meter.start(&mut round);
                pass(*nanos);
                if let Some(started) = started {
                    meter.stop(&mut round, PlanSlot(*plan), started);
                }
            }
            meter.end(round);
        }
        meter.nanos
    }

    #[test]
    fn a_few_items_are_measured_exactly() {
        let nanos = measure(&[(0, 100), (1, 900), (0, 50)], 1);
        assert_eq!(
            nanos,
            BTreeMap::from([(PlanSlot(0), 150), (PlanSlot(1), 900)])
        );
    }

    /// W12: the measure costs a bounded number of readings, and no time gets lost.
    #[test]
    fn of_many_items_some_are_measured_and_the_time_of_all_is_shared_out() {
        let mut items = vec![(0, 100); 10_000];
        items[77] = (1, 1_000_000);
        READINGS.with(|readings| readings.set(0));
        let rounds = 157; // As many as one step has items.
        let nanos = measure(&items, rounds);
        assert!(READINGS.with(Cell::get) <= rounds * (2 * 64 + 2));
        let all: u64 = nanos.values().sum();
        let spent = rounds * (9_999 * 100 + 1_000_000);
        assert!(all.abs_diff(spent) <= 2 * rounds, "{all} of {spent}");
        assert!(
            nanos[&PlanSlot(1)] > 0,
            "each item is measured in some round"
        );
    }
}
