//! The feeder thread: reads the journal epoch by epoch, and sends each worker its part.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use weir_operators::Work;
use weir_schema::{BatchSeq, Control, Epoch, SealedEpoch};

use crate::backfill::{BackfillQueue, BackfillStep, backfill_start};
use crate::epoch::{EpochControls, EpochWork};
use crate::error::HostError;
use crate::pace::Pace;
use crate::port::{BatchReader, EpochSource, PortFault};
use crate::status::Status;

/// Backfill batches that the feeder reads before it sends them to the workers.
const BACKFILL_BATCHES: usize = 64;

/// Longest wait for an epoch; then the feeder checks whether it must stop.
const WAIT: Duration = Duration::from_millis(100);

/// The state of the feeder thread.
pub struct Feeder {
    pub source: Box<dyn EpochSource>,
    pub frames: Arc<dyn BatchReader>,
    /// Channel to each worker, and its thread, to wake it.
    pub workers: Vec<(Sender<EpochWork>, Thread)>,
    pub controls: Sender<EpochControls>,
    pub status: Arc<Status>,
    /// The process whose journal this is; 0 without a cluster.
    pub process: u64,
    /// The last epoch that was sent.
    pub last: Epoch,
    /// Number of batches in the epochs that were sent.
    pub batches: u64,
    /// Ids and names of rules that affect others. Once such a rule is removed, the others read all
    /// events again.
    pub affecting_rules: BTreeSet<String>,
    pub backfills: BackfillQueue,
    /// Whether other processes share the epochs. Then an epoch reads a whole backfill, however long
    /// it is, since no process knows when the others have read their parts; and none waits for the
    /// graph, since an epoch is done only when all processes have sent it.
    pub clustered: bool,
    pub pace: Pace,
}

/// The work of one epoch, by worker.
type WorkParts = Vec<Vec<Work>>;

impl Feeder {
    pub fn run(mut self) -> Result<(), HostError> {
        while !self.status.is_stopping() && !self.status.failed() {
            if !self.has_room() {
                continue;
            }
            let next = match self.source.next(WAIT) {
                Ok(next) => next,
                Err(fault) => return self.read_failed(fault),
            };
            let Some(epoch) = next else { continue };
            if !self.feed(epoch)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits a moment for the graph if enough epochs wait in it; false if they still do.
    fn has_room(&mut self) -> bool {
        self.pace.done(Instant::now(), self.status.epoch());
        let Some(epoch) = self.pace.awaited().filter(|_| !self.clustered) else {
            return true;
        };
        let progress = &self.status.threads.feeder;
        progress.wait(|| self.status.wait_for(epoch, WAIT));
        false
    }

    /// Sends each worker its part of an epoch; false if the other threads are gone.
    fn feed(&mut self, sealed: SealedEpoch) -> Result<bool, HostError> {
        let Some(backfill) = self.backfill_batches(&sealed) else {
            return Ok(false);
        };
        let epoch = sealed.epoch;
        let batches = sealed.batches.iter();
        let events = batches.map(|(_, batch)| batch.frames.len() as u64).sum();
        let (step, stepwise) = self.backfill_step(&sealed, events, backfill);
        let mut parts = self.empty_parts();
        push_controls(&mut parts, &sealed, stepwise);
        let controls = EpochControls {
            epoch,
            controls: sealed.controls,
            stepwise,
            completed: step.completed.clone(),
        };
        let any = !controls.controls.is_empty() || !controls.completed.is_empty();
        let progress = &self.status.threads.feeder;
        if any && progress.wait(|| self.controls.send(controls)).is_err() {
            return Ok(false);
        }
        for control in sealed.follower_controls {
            parts[0].push(Work::FollowerControl(Arc::new(control)));
        }
        for chunk in step.batches.chunks(BACKFILL_BATCHES) {
            if let Err(fault) = self.push_backfill(&mut parts, chunk) {
                self.read_failed(fault)?;
                return Ok(false);
            }
            let part = std::mem::replace(&mut parts, self.empty_parts());
            if !self.send(epoch, part, false) {
                return Ok(false);
            }
        }
        for start in step.completed {
            self.status.backfills.set_last_epoch(start, epoch);
            for part in &mut parts {
                part.push(Work::EndBackfill(start));
            }
        }
        for (seq, batch) in sealed.batches {
            self.batches = self.batches.max(seq.local() + 1);
            self.part(&mut parts, seq).push(Work::Batch(seq, batch));
        }
        self.last = epoch;
        self.pace.sent(Instant::now(), epoch, events);
        let sent = self.send(epoch, parts, true);
        progress.finish_epoch(epoch.0);
        Ok(sent)
    }

    /// A transient fault comes this far only when the graph stops: then it is no error.
    fn read_failed(&self, fault: PortFault) -> Result<(), HostError> {
        if fault.is_transient() && self.status.is_over() {
            return Ok(());
        }
        Err(HostError::ReadJournal(fault))
    }

    fn push_backfill(
        &self,
        parts: &mut WorkParts,
        batches: &[(Epoch, BatchSeq)],
    ) -> Result<(), PortFault> {
        for (start, seq) in batches {
            let batch = self.frames.batch(*seq)?;
            self.status.backfills.add_batch(*start, batch.frames.len());
            self.part(parts, *seq)
                .push(Work::Backfill(*start, *seq, batch));
        }
        Ok(())
    }

    /// Queues the `backfill` of this epoch's rules. Returns the part of the queue that the epoch
    /// reads, and whether the backfill of its own rules continues after it.
    ///
    /// The end of the input, as in a replay of files, reads everything that is left.
    fn backfill_step(
        &mut self,
        sealed: &SealedEpoch,
        own_events: u64,
        backfill: Vec<(BatchSeq, u32)>,
    ) -> (BackfillStep, bool) {
        let epoch = sealed.epoch;
        let any = !backfill.is_empty();
        if any {
            self.status.backfills.begin(epoch, backfill.len());
        }
        self.backfills.add(epoch, backfill);
        let all = self.clustered || sealed.controls.contains(&Control::Finish);
        let step = self.backfills.step(own_events, all);
        let stepwise = any && !step.completed.contains(&epoch);
        (step, stepwise)
    }

    fn empty_parts(&self) -> WorkParts {
        vec![Vec::new(); self.workers.len()]
    }

    /// The part of the worker that decodes the batch `seq`.
    fn part<'p>(&self, parts: &'p mut [Vec<Work>], seq: BatchSeq) -> &'p mut Vec<Work> {
        let worker = seq.0 % self.workers.len() as u64;
        &mut parts[worker as usize]
    }

    fn send(&self, epoch: Epoch, parts: WorkParts, last: bool) -> bool {
        let workers = self.workers.iter().zip(parts);
        workers.into_iter().all(|((sender, thread), work)| {
            let part = EpochWork { epoch, work, last };
            let progress = &self.status.threads.feeder;
            let sent = progress.wait(|| sender.send(part)).is_ok();
            thread.unpark();
            sent
        })
    }

    /// The earlier batches that the new rules of this epoch must see: those with an event at or after
    /// the rules' start. `None` if the host stops before all earlier epochs are done; only then are
    /// the event times of their batches known.
    fn backfill_batches(&mut self, sealed: &SealedEpoch) -> Option<Vec<(BatchSeq, u32)>> {
        let Some(since) = backfill_start(&sealed.controls, &mut self.affecting_rules) else {
            return Some(Vec::new());
        };
        let progress = &self.status.threads.feeder;
        while !progress.wait(|| self.status.wait_for(self.last, WAIT)) {
            if self.status.is_stopping() || self.status.failed() {
                return None;
            }
        }
        // Events before the settled line are no longer evaluated.
        let settled = self.status.clocks().iter().map(|clock| clock.settled).min();
        let since = settled.map_or(since, |settled| since.max(settled));
        let batches = self.status.batches_since(since, self.batches);
        let own = |(seq, events): (BatchSeq, u32)| (BatchSeq::of(self.process, seq.0), events);
        Some(batches.into_iter().map(own).collect())
    }
}

/// Gives every worker the control entries of an epoch.
fn push_controls(parts: &mut WorkParts, sealed: &SealedEpoch, stepwise: bool) {
    if stepwise {
        for part in parts.iter_mut() {
            part.push(Work::StepwiseBackfill);
        }
    }
    for control in &sealed.controls {
        let control = Arc::new(control.clone());
        for part in parts.iter_mut() {
            part.push(Work::Control(Arc::clone(&control)));
        }
    }
}

impl Drop for Feeder {
    /// Closes the workers' channels and wakes the workers, so that they end at once.
    fn drop(&mut self) {
        for (sender, thread) in self.workers.drain(..) {
            drop(sender);
            thread.unpark();
        }
    }
}
