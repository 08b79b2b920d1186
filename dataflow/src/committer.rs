//! The committer thread: merges the results of all workers and writes commits to the ledger.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use weir_operators::AlertTexts;
use weir_schema::{Commit, Control, Epoch, READING_NUMBER};

use crate::backfill::BackfillOutputBuffer;
use crate::epoch::EpochControls;
use crate::error::HostError;
use crate::kept_ids::KeptIds;
use crate::outage::PortCall;
use crate::outputs::{self, EpochOutput};
use crate::port::{AlertLedger, BatchReader, EpochReport, Observer, PortFault, PortFaultKind};
use crate::reading::{ReadingChange, ReadingCommit};
use crate::status::Status;

/// Pause before a failed commit is retried.
const RETRY: Duration = Duration::from_millis(500);

/// The state of the committer thread.
pub struct Committer {
    pub texts: AlertTexts,
    pub frames: Arc<dyn BatchReader>,
    pub ledger: Box<dyn AlertLedger>,
    pub observer: Box<dyn Observer>,
    /// Results of each worker.
    pub outputs: Vec<Receiver<Vec<EpochOutput>>>,
    /// Merged epochs, in order.
    pub ready: VecDeque<EpochOutput>,
    pub controls: Receiver<EpochControls>,
    pub status: Arc<Status>,
    pub buffer: BackfillOutputBuffer,
    /// Ids of the ledger that the graph does not have; read before the first commit.
    pub kept: Option<KeptIds>,
}

impl Committer {
    pub fn run(mut self) -> Result<(), HostError> {
        let applied = self.ledger.applied();
        let mut reading = ReadingChange::needed(&*self.ledger);
        let mut controls: Option<EpochControls> = None;
        while let Some(mut output) = self.next_epoch() {
            // Controls are sent before the work of their epoch, so they have arrived by now.
            let mut is_reading_recorded = false;
            loop {
                controls = controls.or_else(|| self.controls.try_recv().ok());
                match controls.take_if(|controls| controls.epoch.0 <= output.epoch) {
                    Some(due) => {
                        is_reading_recorded |= due.epoch > applied && records_reading(&due);
                        self.apply(&due);
                    }
                    None => break,
                }
            }
            self.buffer.filter(&mut output);
            if let Some(mut change) = reading.take() {
                change.follow(&output);
                if change.is_due(output.epoch, is_reading_recorded) {
                    self.change_reading(&output, &change)?;
                } else {
                    self.notify_observer(&output, None);
                    reading = Some(change);
                }
            } else if output.epoch > applied.0 {
                self.commit(&output)?;
            } else {
                self.notify_observer(&output, None);
            }
            let what_ifs = self.status.what_ifs();
            what_ifs.apply_output(&output, &self.buffer.backfills);
            self.status.finish_epoch(&output);
            self.status.threads.committer.finish_epoch(output.epoch);
        }
        Ok(())
    }

    /// Applies control entries to the rule texts, the backfills and the what-ifs.
    fn apply(&mut self, controls: &EpochControls) {
        let epoch = controls.epoch;
        if controls.stepwise {
            self.buffer.backfills.begin_stepwise(epoch);
        }
        for entry in &controls.controls {
            let before = self.texts.book().what_ifs().clone();
            let update = self.texts.apply(entry);
            let book = self.texts.book();
            self.buffer.apply(&update);
            let backfills = &mut self.buffer.backfills;
            backfills.apply(epoch, &before, book, entry, &update.changes);
            let what_ifs = self.status.what_ifs();
            what_ifs.apply_control(epoch, entry, book, backfills);
        }
        for start in &controls.completed {
            self.buffer.backfills.finish(*start);
        }
    }

    /// Receives the next epoch's results of all workers; `None` once the workers are gone.
    fn next_epoch(&mut self) -> Option<EpochOutput> {
        if self.ready.is_empty() {
            let mut merged: BTreeMap<u64, EpochOutput> = BTreeMap::new();
            for worker in &self.outputs {
                let progress = &self.status.threads.committer;
                for part in progress.wait(|| worker.recv()).ok()? {
                    match merged.entry(part.epoch) {
                        Entry::Vacant(entry) => drop(entry.insert(part)),
                        Entry::Occupied(mut entry) => entry.get_mut().merge(part),
                    }
                }
            }
            self.ready.extend(merged.into_values());
        }
        self.ready.pop_front()
    }

    /// Commits an epoch.
    fn commit(&mut self, output: &EpochOutput) -> Result<(), HostError> {
        self.retry(output, |this| {
            let kept = match &mut this.kept {
                Some(kept) => kept,
                none => none.insert(this.ledger.kept_ids()?),
            };
            let (texts, frames, ledger) = (&this.texts, &*this.frames, &mut this.ledger);
            let step = || this.status.step(PortCall::WriteLedger);
            let commit = outputs::build_commit(output, texts, frames, &**ledger, kept, step)?;
            if let Some(commit) = &commit {
                ledger.commit(commit)?;
            }
            Ok(commit)
        })
    }

    /// Commits the differences between the ledger, which is of another reading, and this one.
    fn change_reading(
        &mut self,
        output: &EpochOutput,
        change: &ReadingChange,
    ) -> Result<(), HostError> {
        self.retry(output, |this| {
            let (texts, frames, ledger) = (&this.texts, &*this.frames, &mut this.ledger);
            let epoch = Epoch(output.epoch);
            let ReadingCommit { commit, kept } = change.commit(epoch, texts, frames, &**ledger)?;
            ledger.change_reading(&commit, &kept)?;
            this.kept = Some(kept);
            Ok(Some(commit))
        })
    }

    /// Repeats a failed commit until it succeeds or the host stops.
    fn retry(
        &mut self,
        output: &EpochOutput,
        mut commit: impl FnMut(&mut Self) -> Result<Option<Commit>, PortFault>,
    ) -> Result<(), HostError> {
        loop {
            match commit(self) {
                Ok(commit) => {
                    self.status.end_outage(PortCall::WriteLedger);
                    self.notify_observer(output, commit.as_ref());
                    return Ok(());
                }
                Err(fault)
                    if fault.kind == PortFaultKind::NeedsRestart || self.status.is_over() =>
                {
                    return Err(HostError::WriteLedger(fault));
                }
                // The ledger's other faults are transient, so the journal has lost a batch.
                Err(fault) if !fault.is_transient() => {
                    return Err(HostError::ReadJournal(fault));
                }
                Err(fault) => {
                    let now = Instant::now();
                    self.status.record_fault(PortCall::WriteLedger, &fault, now);
                    self.observer.on_commit_failed(&fault);
                    self.status.pause(RETRY);
                }
            }
        }
    }

    fn notify_observer(&mut self, output: &EpochOutput, commit: Option<&Commit>) {
        self.observer.on_epoch(&EpochReport {
            epoch: Epoch(output.epoch),
            commit,
            notes: &output.notes,
            clocks: &output.clocks,
            counts: output.counts.clone(),
            state: output.state,
        });
    }
}

/// Whether an epoch records the reading number of this binary.
fn records_reading(controls: &EpochControls) -> bool {
    let number = READING_NUMBER;
    controls.controls.contains(&Control::Reading { number })
}
