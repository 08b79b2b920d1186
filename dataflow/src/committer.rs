//! Puts the workers' results of an epoch together and commits them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use weir_operators::Texts;
use weir_schema::{Commit, Epoch};

use crate::feeder::Told;
use crate::held::Held;
use crate::host::HostError;
use crate::outputs::{self, EpochOutput};
use crate::port::{EpochReport, Frames, Ledger, Observer};
use crate::status::Status;

/// How long the committer waits before it tries a failed commit again.
const RETRY: Duration = Duration::from_millis(500);

/// The thread that commits.
pub struct Committer {
    pub texts: Texts,
    pub frames: Arc<dyn Frames>,
    pub ledger: Box<dyn Ledger>,
    pub observer: Box<dyn Observer>,
    pub done: Vec<Receiver<Vec<EpochOutput>>>,
    /// Whole epochs, in order.
    pub ready: VecDeque<EpochOutput>,
    pub controls: Receiver<Told>,
    pub status: Arc<Status>,
    /// Rules that read their past, and what they say meanwhile.
    pub held: Held,
}

impl Committer {
    pub fn run(mut self) -> Result<(), HostError> {
        let applied = self.ledger.applied();
        let mut controls: Option<Told> = None;
        while let Some(mut output) = self.next() {
            // Controls are sent before the work of their epoch, so they are here by now.
            loop {
                controls = controls.or_else(|| self.controls.try_recv().ok());
                match controls.take_if(|told| told.epoch.0 <= output.epoch) {
                    Some(told) => self.follow(&told),
                    None => break,
                }
            }
            self.held.keep_back(&mut output);
            if output.epoch > applied.0 {
                self.commit(&output)?;
            } else {
                self.tell(&output, None);
            }
            self.status.what_ifs().take(&output, &self.held.pasts);
            self.status.note(&output);
        }
        Ok(())
    }

    fn follow(&mut self, told: &Told) {
        let epoch = told.epoch;
        if told.in_steps {
            self.held.pasts.in_steps(epoch);
        }
        for entry in &told.controls {
            let before = self.texts.book().what_ifs().clone();
            let applied = self.texts.apply(entry);
            let book = self.texts.book();
            self.held.follow(&applied);
            let pasts = &mut self.held.pasts;
            pasts.follow(epoch, (&before, book), entry, &applied.changes);
            self.status.what_ifs().follow(epoch, entry, book, pasts);
        }
        for began in &told.through {
            self.held.pasts.through(*began);
        }
    }

    /// The next epoch's results of all workers; `None` once they are gone.
    fn next(&mut self) -> Option<EpochOutput> {
        if self.ready.is_empty() {
            let mut whole: BTreeMap<u64, EpochOutput> = BTreeMap::new();
            for worker in &self.done {
                for part in worker.recv().ok()? {
                    match whole.entry(part.epoch) {
                        Entry::Vacant(entry) => drop(entry.insert(part)),
                        Entry::Occupied(mut entry) => entry.get_mut().merge(part),
                    }
                }
            }
            self.ready.extend(whole.into_values());
        }
        self.ready.pop_front()
    }

    /// Commits an epoch, trying again until it holds or the host stops.
    fn commit(&mut self, output: &EpochOutput) -> Result<(), HostError> {
        loop {
            let commit = outputs::commit(output, &self.texts, &*self.frames, &*self.ledger);
            let done = commit.and_then(|commit| {
                if let Some(commit) = &commit {
                    self.ledger.commit(commit)?;
                }
                Ok(commit)
            });
            match done {
                Ok(commit) => {
                    self.status.hold_up(false);
                    self.tell(output, commit.as_ref());
                    return Ok(());
                }
                Err(fault) if self.status.is_stopping() || self.status.failed() => {
                    return Err(HostError::WriteLedger(fault));
                }
                Err(fault) => {
                    self.status.hold_up(true);
                    self.observer.fault(&fault);
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn tell(&mut self, output: &EpochOutput, commit: Option<&Commit>) {
        self.observer.epoch(&EpochReport {
            epoch: Epoch(output.epoch),
            commit,
            notes: &output.notes,
            clocks: &output.clocks,
            counts: output.counts.clone(),
            state: output.state,
        });
    }
}
