//! The epochs of a process's journal among those of all: each process passes each epoch, once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use weir_schema::{BatchSeq, Control, Epoch, SealedEpoch};

use super::Pace;
use super::talk::{Talk, Word};
use crate::port::{EpochSource, PortFault};

/// Process 0's epochs. It passes all that others have sealed, and tells them.
pub struct Lead {
    own: Box<dyn EpochSource>,
    pace: Arc<dyn Pace>,
    talk: Arc<Talk>,
    /// The last epoch of any journal, at the start.
    greatest: Epoch,
    passed: Epoch,
}

impl Lead {
    pub const fn new(
        own: Box<dyn EpochSource>,
        pace: Arc<dyn Pace>,
        talk: Arc<Talk>,
        greatest: Epoch,
    ) -> Self {
        Self {
            own,
            pace,
            talk,
            greatest,
            passed: Epoch(0),
        }
    }
}

impl EpochSource for Lead {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        let wanted = self.talk.sealed().max(self.greatest);
        let behind = wanted > self.passed && self.pace.promise(wanted);
        let wait = if behind { Duration::ZERO } else { wait };
        let next = match self.own.next(wait)? {
            Some(epoch) => epoch,
            // Nothing up to `wanted` is left, and nothing will be.
            None if behind => empty(wanted, Vec::new()),
            None => return Ok(None),
        };
        self.passed = next.epoch;
        let controls = next.controls.iter().cloned().map(Word::Control);
        let words: Vec<Word> = controls.chain([Word::Passed(next.epoch)]).collect();
        self.talk.say(&words);
        Ok(Some(next))
    }
}

/// The epochs of a process that does not lead. It tells what it has sealed, and passes what process
/// 0 has passed: by then it knows the control entries up to there.
pub struct Follow {
    process: u64,
    own: Box<dyn EpochSource>,
    pace: Arc<dyn Pace>,
    talk: Arc<Talk>,
    /// Process 0 goes there without being asked.
    told: Epoch,
    /// Of its own journal, read and not passed.
    held: Option<SealedEpoch>,
    /// What process 0 has passed and this one has not.
    passed: VecDeque<(Epoch, Vec<Control>)>,
}

impl Follow {
    pub const fn new(
        process: usize,
        own: Box<dyn EpochSource>,
        pace: Arc<dyn Pace>,
        talk: Arc<Talk>,
        greatest: Epoch,
    ) -> Self {
        Self {
            process: process as u64,
            own,
            pace,
            talk,
            told: greatest,
            held: None,
            passed: VecDeque::new(),
        }
    }

    /// Tells process 0 how far the journal goes.
    fn tell(&mut self) {
        let sealed = self.pace.last_sealed();
        if sealed > self.told {
            self.told = sealed;
            self.talk.say(&[Word::Sealed(sealed)]);
        }
    }

    fn hold(&mut self, wait: Duration) -> Result<(), PortFault> {
        let read = self.own.next(wait)?;
        self.held = read.map(|epoch| self.own_of(epoch));
        Ok(())
    }

    /// Its control entries are heard and do not govern; its batches say whose they are.
    fn own_of(&self, epoch: SealedEpoch) -> SealedEpoch {
        let tag = |(seq, batch): (BatchSeq, _)| (BatchSeq::of(self.process, seq.0), batch);
        SealedEpoch {
            epoch: epoch.epoch,
            controls: Vec::new(),
            heard: epoch.controls,
            batches: epoch.batches.into_iter().map(tag).collect(),
        }
    }

    /// Leaves out what only says how far process 0 is, where it is further already.
    fn skip(&mut self) {
        let own = self.held.as_ref().map(|held| held.epoch);
        while let (Some((_, controls)), Some((next, _))) = (self.passed.front(), self.passed.get(1))
            && controls.is_empty()
            && own.is_none_or(|own| *next <= own)
        {
            self.passed.pop_front();
        }
    }
}

impl EpochSource for Follow {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        self.tell();
        self.passed.append(&mut self.talk.passed(Duration::ZERO));
        self.skip();
        if self.held.is_none() {
            let settled = match self.passed.front() {
                Some((epoch, _)) => self.pace.promise(*epoch),
                None => false,
            };
            self.hold(if settled { Duration::ZERO } else { wait })?;
            self.tell();
            if self.held.is_none() {
                // Nothing of its own comes up to there.
                let passed = settled.then(|| self.passed.pop_front()).flatten();
                return Ok(passed.map(|(epoch, controls)| empty(epoch, controls)));
            }
        }
        if self.passed.is_empty() {
            self.passed = self.talk.passed(wait);
        }
        let Some(own) = self.held.as_ref().map(|held| held.epoch) else {
            return Ok(None);
        };
        match self.passed.pop_front_if(|(epoch, _)| *epoch <= own) {
            Some((epoch, controls)) if epoch == own => Ok(self
                .held
                .take()
                .map(|held| SealedEpoch { controls, ..held })),
            Some((epoch, controls)) => Ok(Some(empty(epoch, controls))),
            // Process 0 is behind it: all control entries up to it are known.
            None if !self.passed.is_empty() => Ok(self.held.take()),
            None => Ok(None),
        }
    }
}

/// An epoch of which this journal has nothing.
fn empty(epoch: Epoch, controls: Vec<Control>) -> SealedEpoch {
    SealedEpoch {
        epoch,
        controls,
        heard: Vec::new(),
        batches: Vec::new(),
    }
}
