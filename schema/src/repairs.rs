//! The clock repairs of a journal, and how readers apply them.

use std::sync::Arc;

use crate::clock::ClockRepair;
use crate::control::Control;
use crate::id::{BatchSeq, Epoch};
use crate::journal::{Batch, Entry, SealedEpoch};
use crate::time::Span;

/// The repairs of a journal, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockRepairs(Vec<(Epoch, ClockRepair)>);

impl ClockRepairs {
    /// Adds the repair that `epoch` holds.
    pub fn push(&mut self, epoch: Epoch, repair: ClockRepair) {
        self.0.push((epoch, repair));
    }

    /// Collects the repairs among the entries of a journal, read in order.
    pub fn collect<E>(entries: impl Iterator<Item = Result<Entry, E>>) -> Result<Self, E> {
        let (mut repairs, mut open) = (Self::default(), Vec::new());
        for entry in entries {
            match entry? {
                Entry::Control(Control::ClockRepair(repair)) => open.push(repair),
                Entry::Seal { epoch } => {
                    repairs
                        .0
                        .extend(open.drain(..).map(|repair| (epoch, repair)));
                }
                Entry::Batch(_) | Entry::Control(_) => {}
            }
        }
        Ok(repairs)
    }

    /// The repairs, each with its epoch.
    #[must_use]
    pub fn all(&self) -> &[(Epoch, ClockRepair)] {
        &self.0
    }

    /// The number of repairs.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first `len` repairs.
    #[must_use]
    pub fn first(&self, len: u32) -> Self {
        Self(self.0.iter().take(len as usize).copied().collect())
    }

    /// The repairs that stand in epochs up to `until`.
    #[must_use]
    pub fn through(&self, until: Epoch) -> Self {
        let repairs = self.0.iter().filter(|(epoch, _)| *epoch <= until);
        Self(repairs.copied().collect())
    }

    /// The sum of the shifts for the batch `seq`.
    #[must_use]
    pub fn batch_shift(&self, seq: BatchSeq) -> Span {
        self.sum(|repair| repair.batches_from <= seq && seq < repair.batches_to)
    }

    /// The sum of the shifts for control entries of `epoch`.
    #[must_use]
    pub fn epoch_shift(&self, epoch: Epoch) -> Span {
        self.sum(|repair| repair.from <= epoch && epoch <= repair.to)
    }

    fn sum(&self, applies: impl Fn(&ClockRepair) -> bool) -> Span {
        let repairs = self.0.iter().map(|(_, repair)| repair);
        let shifts = repairs.filter(|repair| applies(repair));
        Span(shifts.fold(0, |sum, repair| sum.saturating_add(repair.shift.0)))
    }

    /// A batch with its repaired receive time.
    #[must_use]
    pub fn repair_batch(&self, seq: BatchSeq, batch: Arc<Batch>) -> Arc<Batch> {
        let shift = self.batch_shift(seq);
        if shift == Span::ZERO {
            return batch;
        }
        let mut repaired = Batch::clone(&batch);
        repaired.received = repaired.received.plus(shift);
        Arc::new(repaired)
    }

    /// An epoch with its repaired receive times.
    #[must_use]
    pub fn repair_epoch(&self, mut sealed: SealedEpoch) -> SealedEpoch {
        if self.0.is_empty() {
            return sealed;
        }
        let shift = self.epoch_shift(sealed.epoch);
        if shift != Span::ZERO {
            let controls = sealed.controls.iter_mut();
            for control in controls.chain(&mut sealed.follower_controls) {
                shift_control(control, shift);
            }
        }
        for (seq, batch) in &mut sealed.batches {
            *batch = self.repair_batch(*seq, Arc::clone(batch));
        }
        sealed
    }
}

/// Shifts the receive time of a control entry that moves the clocks of the graph.
fn shift_control(control: &mut Control, shift: Span) {
    match control {
        Control::Start { received, .. } | Control::Tick { received } => {
            *received = received.plus(shift);
        }
        Control::Condition(condition) => condition.received = condition.received.plus(shift),
        // These have no receive time, or one that moves no clock.
        Control::Heartbeat { .. }
        | Control::RulePut { .. }
        | Control::RuleDisable { .. }
        | Control::RuleSuspend { .. }
        | Control::RuleRemove { .. }
        | Control::RuleDelete { .. }
        | Control::Finish
        | Control::Settings { .. }
        | Control::WhatIfPut { .. }
        | Control::WhatIfPromote { .. }
        | Control::WhatIfDrop { .. }
        | Control::Delivered(_)
        | Control::SelfAlerts(_)
        | Control::Reading { .. }
        | Control::WatermarkHolders(_)
        | Control::ClockJump(_)
        | Control::ClockRepair(_)
        | Control::Ahead { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ReceiveTime;

    fn repair(number: u32, shift: i64) -> ClockRepair {
        ClockRepair {
            number,
            from: Epoch(3),
            to: Epoch(4),
            batches_from: BatchSeq(10),
            batches_to: BatchSeq(12),
            shift: Span::seconds(shift),
            received: ReceiveTime(0),
        }
    }

    /// The receive time of a tick in `epoch`, in seconds, where it was stored as 100.
    fn tick(repairs: &ClockRepairs, epoch: u64) -> i64 {
        let received = ReceiveTime(Span::seconds(100).0);
        let sealed = repairs.repair_epoch(SealedEpoch {
            epoch: Epoch(epoch),
            controls: vec![Control::Tick { received }],
            follower_controls: Vec::new(),
            batches: Vec::new(),
        });
        match sealed.controls[..] {
            [Control::Tick { received }] => received.0 / Span::seconds(1).0,
            _ => panic!("{sealed:?}"),
        }
    }

    #[test]
    fn repairs_reach_their_stretch_alone_and_add_up() {
        let mut repairs = ClockRepairs::default();
        repairs.push(Epoch(7), repair(1, -60));
        assert_eq!(
            [2, 3, 4, 5].map(|epoch| tick(&repairs, epoch)),
            [100, 40, 40, 100]
        );
        let shifts = [9, 10, 11, 12].map(|seq| repairs.batch_shift(BatchSeq(seq)));
        let sixty = Span::seconds(-60);
        assert_eq!(shifts, [Span::ZERO, sixty, sixty, Span::ZERO]);
        // A repair of the other sign undoes it.
        repairs.push(Epoch(8), repair(2, 60));
        assert_eq!(tick(&repairs, 3), 100);
        assert_eq!(repairs.first(1).len(), 1);
        assert_eq!(repairs.through(Epoch(7)).len(), 1);
    }
}
