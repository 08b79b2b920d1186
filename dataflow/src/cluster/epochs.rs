//! Keeps the epochs of a journal in step with those of the cluster: each process passes each epoch
//! once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use weir_schema::{BatchSeq, Control, Epoch, SealedEpoch};

use super::SealControl;
use super::messages::{ClusterMessage, MessageChannel, PassedEpoch};
use crate::port::{EpochSource, PortFault};

/// The epochs of process 0. It passes every epoch that any process has sealed, and says so to the
/// others.
pub struct LeaderEpochs {
    own: Box<dyn EpochSource>,
    seals: Arc<dyn SealControl>,
    messages: Arc<MessageChannel>,
    /// The last epoch of any journal at the start.
    initial_epoch: Epoch,
    passed: Epoch,
}

impl LeaderEpochs {
    pub const fn new(
        own: Box<dyn EpochSource>,
        seals: Arc<dyn SealControl>,
        messages: Arc<MessageChannel>,
        initial_epoch: Epoch,
    ) -> Self {
        Self {
            own,
            seals,
            messages,
            initial_epoch,
            passed: Epoch(0),
        }
    }
}

impl EpochSource for LeaderEpochs {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        let target = self.messages.sealed().max(self.initial_epoch);
        let behind = target > self.passed && self.seals.raise_floor(target);
        let wait = if behind { Duration::ZERO } else { wait };
        let next = match self.own.next(wait)? {
            Some(epoch) => epoch,
            // The own journal has no epoch up to `target` left, and will seal none.
            None if behind => empty_epoch(target, Vec::new()),
            None => return Ok(None),
        };
        self.passed = next.epoch;
        let controls = next.controls.iter().cloned().map(ClusterMessage::Control);
        let messages: Vec<ClusterMessage> = controls
            .chain([ClusterMessage::Passed(next.epoch)])
            .collect();
        self.messages.send(&messages);
        Ok(Some(next))
    }
}

/// The epochs of a process other than 0. It reports what it has sealed, and passes the epochs that
/// process 0 has passed: by then it knows all control entries up to them.
pub struct FollowerEpochs {
    process: u64,
    own: Box<dyn EpochSource>,
    seals: Arc<dyn SealControl>,
    messages: Arc<MessageChannel>,
    /// The last epoch reported to process 0; at first the one it passes unasked.
    reported: Epoch,
    /// The next epoch of the own journal, read and not passed.
    own_epoch: Option<SealedEpoch>,
    /// Epochs that process 0 has passed and this one has not.
    passed: VecDeque<PassedEpoch>,
}

impl FollowerEpochs {
    pub const fn new(
        process: usize,
        own: Box<dyn EpochSource>,
        seals: Arc<dyn SealControl>,
        messages: Arc<MessageChannel>,
        initial_epoch: Epoch,
    ) -> Self {
        Self {
            process: process as u64,
            own,
            seals,
            messages,
            reported: initial_epoch,
            own_epoch: None,
            passed: VecDeque::new(),
        }
    }

    /// Reports to process 0 how far the journal is sealed.
    fn report_sealed(&mut self) {
        let sealed = self.seals.last_sealed();
        if sealed > self.reported {
            self.reported = sealed;
            self.messages.send(&[ClusterMessage::Sealed(sealed)]);
        }
    }

    fn read_own_epoch(&mut self, wait: Duration) -> Result<(), PortFault> {
        let read = self.own.next(wait)?;
        self.own_epoch = read.map(|epoch| self.tag(epoch));
        Ok(())
    }

    /// Marks the epoch as a follower's: its control entries change no rules, and its batches carry
    /// the number of the process.
    fn tag(&self, epoch: SealedEpoch) -> SealedEpoch {
        let tag = |(seq, batch): (BatchSeq, _)| (BatchSeq::of(self.process, seq.0), batch);
        SealedEpoch {
            epoch: epoch.epoch,
            controls: Vec::new(),
            follower_controls: epoch.controls,
            batches: epoch.batches.into_iter().map(tag).collect(),
        }
    }

    /// Drops passed epochs without control entries if process 0 has passed a later one, and that is
    /// not after the own epoch.
    fn skip_empty(&mut self) {
        let own = self.own_epoch.as_ref().map(|own| own.epoch);
        while let (Some(first), Some(next)) = (self.passed.front(), self.passed.get(1))
            && first.controls.is_empty()
            && own.is_none_or(|own| next.epoch <= own)
        {
            self.passed.pop_front();
        }
    }
}

impl EpochSource for FollowerEpochs {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        self.report_sealed();
        let mut passed = self.messages.take_passed(Duration::ZERO);
        self.passed.append(&mut passed);
        self.skip_empty();
        if self.own_epoch.is_none() {
            let settled = match self.passed.front() {
                Some(passed) => self.seals.raise_floor(passed.epoch),
                None => false,
            };
            self.read_own_epoch(if settled { Duration::ZERO } else { wait })?;
            self.report_sealed();
            if self.own_epoch.is_none() {
                // The own journal has no epoch up to the passed one.
                let passed = settled.then(|| self.passed.pop_front()).flatten();
                return Ok(passed.map(|passed| empty_epoch(passed.epoch, passed.controls)));
            }
        }
        if self.passed.is_empty() {
            self.passed = self.messages.take_passed(wait);
        }
        let Some(own) = self.own_epoch.as_ref().map(|own| own.epoch) else {
            return Ok(None);
        };
        match self.passed.pop_front_if(|passed| passed.epoch <= own) {
            Some(PassedEpoch { epoch, controls }) if epoch == own => Ok(self
                .own_epoch
                .take()
                .map(|own| SealedEpoch { controls, ..own })),
            Some(PassedEpoch { epoch, controls }) => Ok(Some(empty_epoch(epoch, controls))),
            // Process 0 is ahead of the own epoch: all control entries up to it are known.
            None if !self.passed.is_empty() => Ok(self.own_epoch.take()),
            None => Ok(None),
        }
    }
}

/// An epoch without entries of this journal.
fn empty_epoch(epoch: Epoch, controls: Vec<Control>) -> SealedEpoch {
    SealedEpoch {
        epoch,
        controls,
        follower_controls: Vec::new(),
        batches: Vec::new(),
    }
}
