//! Reads the journal epoch by epoch and gives every worker its part.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use weir_operators::{Work, bears_on_others};
use weir_schema::{BatchSeq, Control, Epoch, EventTime, RuleChange, SealedEpoch};

use crate::backfill::{Queue, Step};
use crate::host::HostError;
use crate::port::{EpochSource, Frames};
use crate::status::Status;
use crate::worker::EpochWork;

/// Batches of the past that are handed to a new rule at a time.
const BACKFILL_BATCHES: usize = 64;

/// How long the feeder waits for an epoch before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(100);

/// The thread that feeds the workers.
pub struct Feeder {
    pub source: Box<dyn EpochSource>,
    pub frames: Arc<dyn Frames>,
    pub workers: Vec<(Sender<EpochWork>, Thread)>,
    pub controls: Sender<Told>,
    pub status: Arc<Status>,
    /// Whose journal it is, where several processes make the graph; else 0.
    pub process: u64,
    /// The epoch before.
    pub last: Epoch,
    /// Batches of the epochs fed so far.
    pub batches: u64,
    /// Ids and names of rules that bear on others: those see the past anew once they are removed.
    pub wide: BTreeSet<String>,
    /// The past that rules are still to see.
    pub past: Queue,
    /// Whether a past is handed on in one epoch however long it is: when each process of a cluster
    /// has read its part, no other one knows.
    pub whole: bool,
}

/// What the committer learns of an epoch, before the workers have its work.
pub struct Told {
    pub epoch: Epoch,
    pub controls: Vec<Control>,
    /// The past of what is put comes in steps.
    pub in_steps: bool,
    /// The pasts of these epochs are read with it.
    pub through: Vec<Epoch>,
}

impl Feeder {
    pub fn run(mut self) -> Result<(), HostError> {
        while !self.status.is_stopping() && !self.status.failed() {
            let next = self.source.next(WAIT).map_err(HostError::ReadJournal)?;
            let Some(epoch) = next else { continue };
            if !self.feed(epoch)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives every worker its part of an epoch; false once nobody takes it.
    fn feed(&mut self, sealed: SealedEpoch) -> Result<bool, HostError> {
        let Some(backfill) = self.backfill(&sealed) else {
            return Ok(false);
        };
        let epoch = sealed.epoch;
        let (step, in_steps) = self.step(&sealed, backfill);
        let mut parts = self.parts();
        if in_steps {
            parts.iter_mut().for_each(|part| part.push(Work::InSteps));
        }
        for control in &sealed.controls {
            let control = Arc::new(control.clone());
            for part in &mut parts {
                part.push(Work::Control(Arc::clone(&control)));
            }
        }
        let told = Told {
            epoch,
            controls: sealed.controls,
            in_steps,
            through: step.through.clone(),
        };
        let any = !told.controls.is_empty() || !told.through.is_empty();
        if any && self.controls.send(told).is_err() {
            return Ok(false);
        }
        for control in sealed.heard {
            parts[0].push(Work::Heard(Arc::new(control)));
        }
        for some in step.batches.chunks(BACKFILL_BATCHES) {
            for (began, seq) in some {
                let batch = self.frames.batch(*seq).map_err(HostError::ReadJournal)?;
                self.status.backfilling.step(*began, batch.frames.len());
                self.part(&mut parts, *seq)
                    .push(Work::Backfill(*began, *seq, batch));
            }
            let part = std::mem::replace(&mut parts, self.parts());
            if !self.send(epoch, part, false) {
                return Ok(false);
            }
        }
        for began in step.through {
            self.status.backfilling.ends(began, epoch);
            let through = |part: &mut Vec<Work>| part.push(Work::Through(began));
            parts.iter_mut().for_each(through);
        }
        for (seq, batch) in sealed.batches {
            self.batches = self.batches.max(seq.local() + 1);
            self.part(&mut parts, seq).push(Work::Batch(seq, batch));
        }
        self.last = epoch;
        Ok(self.send(epoch, parts, true))
    }

    /// What of the past this epoch hands on, and whether more of what its own rules are to see
    /// follows. The end of the input, as of a replay of files, waits for all of it.
    fn step(&mut self, sealed: &SealedEpoch, backfill: Vec<(BatchSeq, u32)>) -> (Step, bool) {
        let epoch = sealed.epoch;
        let any = !backfill.is_empty();
        if any {
            self.status.backfilling.begin(epoch, backfill.len());
        }
        self.past.add(epoch, backfill);
        let own = sealed.batches.iter();
        let own = own.map(|(_, batch)| batch.frames.len() as u64).sum();
        let all = self.whole || sealed.controls.contains(&Control::Finish);
        let step = self.past.step(own, all);
        let in_steps = any && !step.through.contains(&epoch);
        (step, in_steps)
    }

    fn parts(&self) -> Vec<Vec<Work>> {
        vec![Vec::new(); self.workers.len()]
    }

    /// The part of the worker that decodes the batch `seq`.
    fn part<'p>(&self, parts: &'p mut [Vec<Work>], seq: BatchSeq) -> &'p mut Vec<Work> {
        let worker = seq.0 % self.workers.len() as u64;
        &mut parts[worker as usize]
    }

    fn send(&self, epoch: Epoch, parts: Vec<Vec<Work>>, last: bool) -> bool {
        let workers = self.workers.iter().zip(parts);
        workers.into_iter().all(|((sender, thread), work)| {
            let sent = sender.send(EpochWork { epoch, work, last }).is_ok();
            thread.unpark();
            sent
        })
    }

    /// The batches before this epoch that its new rules must see: those with an event at or after
    /// their `since`. All epochs before must be through, so that it is known which those are;
    /// `None` if the host stops before that.
    fn backfill(&mut self, sealed: &SealedEpoch) -> Option<Vec<(BatchSeq, u32)>> {
        let Some(since) = past(&sealed.controls, &mut self.wide) else {
            return Some(Vec::new());
        };
        while !self.status.wait_for(self.last, WAIT) {
            if self.status.is_stopping() || self.status.failed() {
                return None;
            }
        }
        // What lies before the settled line is not evaluated any more.
        let settled = self.status.clocks().iter().map(|clock| clock.settled).min();
        let since = settled.map_or(since, |settled| since.max(settled));
        let batches = self.status.batches_since(since, self.batches);
        let own = |(seq, events): (BatchSeq, u32)| (BatchSeq::of(self.process, seq.0), events);
        Some(batches.into_iter().map(own).collect())
    }
}

/// From which event time on the plans that are new by these entries see events, where there are any.
/// `wide` takes in the rules that bear on others, tried ones with them: they may be promoted.
fn past(controls: &[Control], wide: &mut BTreeSet<String>) -> Option<EventTime> {
    for control in controls {
        match control {
            Control::RulePut { text, .. } => wide.extend(bears_on_others(text)),
            Control::WhatIfPut { changes, .. } => {
                let put = |change: &RuleChange| match change {
                    RuleChange::Put { text, .. } => bears_on_others(text),
                    RuleChange::Remove { .. } => Vec::new(),
                };
                wide.extend(changes.iter().flat_map(put));
            }
            _ => {}
        }
    }
    let frees = |change: &RuleChange| match change {
        RuleChange::Remove { rule } => wide.contains(rule),
        RuleChange::Put { .. } => false,
    };
    let since = controls.iter().filter_map(|control| match control {
        Control::RulePut { since, .. } | Control::Settings { since, .. } => Some(*since),
        Control::WhatIfPut {
            since,
            changes,
            from_journal: true,
            ..
        } => Some(match changes.iter().any(frees) {
            true => EventTime::MIN,
            false => *since,
        }),
        Control::RuleRemove { rule } if wide.contains(rule) => Some(EventTime::MIN),
        // What stops may set something else free from there on.
        Control::RuleDisable { until, .. } => Some(*until),
        _ => None,
    });
    since.min()
}

impl Drop for Feeder {
    /// Wakes the workers once nothing more can come, so that they end at once.
    fn drop(&mut self) {
        for (sender, thread) in self.workers.drain(..) {
            drop(sender);
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_schema::WhatIfId;

    #[test]
    fn what_a_removal_sets_free_sees_the_past_be_it_tried_or_promoted() {
        let correlation = "title: C\nid: c\ncorrelation: {type: event_count, rules: [a], \
                           timespan: 5m, condition: {gte: 3}}\n";
        let put = RuleChange::Put {
            text: correlation.to_owned(),
            origin: "test.yml".to_owned(),
        };
        let remove = RuleChange::Remove {
            rule: "c".to_owned(),
        };
        let since = EventTime(9);
        let tried = |change: &RuleChange, from_journal| Control::WhatIfPut {
            id: WhatIfId(1),
            changes: vec![change.clone()],
            since,
            from_journal,
        };
        let promote = Control::WhatIfPromote { id: WhatIfId(1) };
        let cases = [
            (
                "nothing of it is known",
                vec![],
                remove.control(since),
                None,
            ),
            (
                "it was put",
                vec![put.control(since)],
                remove.control(since),
                Some(EventTime::MIN),
            ),
            (
                "it was promoted",
                vec![tried(&put, true), promote],
                remove.control(since),
                Some(EventTime::MIN),
            ),
            (
                "its removal is tried",
                vec![put.control(since)],
                tried(&remove, true),
                Some(EventTime::MIN),
            ),
            ("it is tried", vec![], tried(&put, true), Some(since)),
            ("what is tried is held", vec![], tried(&put, false), None),
        ];
        for (name, before, control, expected) in cases {
            let mut wide = BTreeSet::new();
            past(&before, &mut wide);
            assert_eq!(past(&[control], &mut wide), expected, "{name}");
        }
    }
}
