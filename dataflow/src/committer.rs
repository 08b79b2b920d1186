//! The committer thread: merges the results of all workers and writes commits to the ledger.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use weir_operators::AlertTexts;
use weir_schema::{Commit, Epoch};

use crate::backfill::BackfillOutputBuffer;
use crate::epoch::EpochControls;
use crate::error::HostError;
use crate::outage::PortCall;
use crate::outputs::{self, EpochOutput};
use crate::port::{AlertLedger, BatchReader, EpochReport, Observer};
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
}

impl Committer {
    pub fn run(mut self) -> Result<(), HostError> {
        let applied = self.ledger.applied();
        let mut controls: Option<EpochControls> = None;
        while let Some(mut output) = self.next_epoch() {
            // Controls are sent before the work of their epoch, so they have arrived by now.
            loop {
                controls = controls.or_else(|| self.controls.try_recv().ok());
                match controls.take_if(|controls| controls.epoch.0 <= output.epoch) {
                    Some(due) => self.apply(&due),
                    None => break,
                }
            }
            self.buffer.filter(&mut output);
            if output.epoch > applied.0 {
                self.commit(&output)?;
            } else {
                self.notify_observer(&output, None);
            }
            let what_ifs = self.status.what_ifs();
            what_ifs.apply_output(&output, &self.buffer.backfills);
            self.status.finish_epoch(&output);
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
                for part in worker.recv().ok()? {
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

    /// Commits an epoch. Retries a failed commit until it succeeds or the host stops.
    fn commit(&mut self, output: &EpochOutput) -> Result<(), HostError> {
        loop {
            let commit = outputs::build_commit(output, &self.texts, &*self.frames, &*self.ledger);
            let result = commit.and_then(|commit| {
                if let Some(commit) = &commit {
                    self.ledger.commit(commit)?;
                }
                Ok(commit)
            });
            match result {
                Ok(commit) => {
                    self.status.end_outage(PortCall::WriteLedger);
                    self.notify_observer(output, commit.as_ref());
                    return Ok(());
                }
                // The ledger's own faults are transient, so the journal has lost a batch.
                Err(fault) if !fault.is_transient() => {
                    return Err(HostError::ReadJournal(fault));
                }
                Err(fault) if self.status.is_over() => {
                    return Err(HostError::WriteLedger(fault));
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
