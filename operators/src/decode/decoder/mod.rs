//! The decoder of one worker: the rules in force, and the work done under them.

mod batch;
mod control;
mod meter;

use std::collections::{BTreeMap, BTreeSet};

use weir_detect::{Detections, Detector, RuleBook};
use weir_schema::{Control, Epoch, Level, PlanId, RuleVersion, SourceBounds, TimeBounds};

use super::output::DecodeOutput;
use super::{EmitOptions, Work};
use crate::backfills::Backfills;
use crate::correlate::Directive;
use crate::steps::count_step;
use batch::BackfillReader;
use meter::DetectMeter;

/// The state of the decoder of one worker.
///
/// **Invariant.** Every worker applies the same control entries, so the rules, backfills and plan
/// sets are equal on all workers.
pub struct Decoder {
    /// Whether this is the first worker, which alone emits the output of control entries.
    is_first: bool,
    emit: EmitOptions,
    book: RuleBook,
    bounds: TimeBounds,
    source_bounds: SourceBounds,
    /// Entries about conditions so far.
    conditions: u64,
    backfills: Backfills,
    rule_rows: RuleRows,
    /// Silence plans: the value of their facts is the source.
    silences: BTreeSet<PlanId>,
    /// The stages of the plans that read other plans.
    stages: BTreeMap<PlanId, u8>,
    detector: Detector,
    detected: Detections,
    meter: DetectMeter,
}

/// The rows of each plan in the collection of rules, so that a removal retracts exactly these.
#[derive(Default)]
struct RuleRows(BTreeMap<PlanId, PlanRows>);

/// The rows of one plan: the epoch that installed it, and its versions with their levels.
struct PlanRows {
    epoch: Epoch,
    versions: Vec<(RuleVersion, Level)>,
}

impl Decoder {
    pub fn new(is_first: bool, emit: EmitOptions) -> Self {
        Self {
            is_first,
            emit,
            book: RuleBook::new(),
            bounds: TimeBounds::default(),
            source_bounds: SourceBounds::default(),
            conditions: 0,
            backfills: Backfills::default(),
            rule_rows: RuleRows::default(),
            silences: BTreeSet::new(),
            stages: BTreeMap::new(),
            detector: Detector::new(),
            detected: Detections::default(),
            meter: DetectMeter::default(),
        }
    }

    /// Does one item of work in `epoch`.
    pub fn process(&mut self, epoch: u64, work: Work, output: &mut DecodeOutput) {
        count_step();
        match work {
            Work::Control(control) => {
                let mut shared = DecodeOutput::default();
                self.apply_control(Epoch(epoch), &control, &mut shared);
                if self.is_first {
                    output.append(shared);
                }
            }
            Work::FollowerControl(control) => {
                // Rules and settings come from the journal of the process that leads.
                if matches!(*control, Control::Tick { .. } | Control::Heartbeat { .. }) {
                    self.apply_control(Epoch(epoch), &control, output);
                }
            }
            Work::Batch(seq, batch) => self.decode_batch(seq, &batch, None, output),
            Work::StepwiseBackfill => self.backfills.begin_stepwise(Epoch(epoch)),
            Work::Backfill(began, seq, batch) => {
                let backfills = std::mem::take(&mut self.backfills);
                let plans = backfills.plans(began);
                if !plans.is_empty() {
                    let lacks = |plan, time| backfills.lacks(began, plan, time);
                    let reader = BackfillReader {
                        plans,
                        lacks: &lacks,
                    };
                    self.decode_batch(seq, &batch, Some(&reader), output);
                }
                self.backfills = backfills;
            }
            Work::EndBackfill(began) => {
                let plans = self.backfills.finish(began).into_iter();
                if self.is_first {
                    output.directives.extend(plans.map(Directive::EndBackfill));
                }
            }
        }
    }
}
