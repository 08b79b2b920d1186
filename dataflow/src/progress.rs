//! The progress of the graph's threads, as the server's watch reads it.
//!
//! A thread counts its steps. It stalls if it counts none while it has work, and waits for no other
//! thread. A failed call that will be repeated is a step, too.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A thread of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GraphThread {
    /// Reads the journal.
    Feeder,
    /// Runs the operators; by index.
    Worker(usize),
    /// Writes the ledger.
    Committer,
}

/// The progress of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadReport {
    pub thread: GraphThread,
    /// Counts up with each step.
    pub steps: u64,
    /// The last epoch that it finished.
    pub epoch: u64,
    /// Epochs before it. `None` while it has no work, or waits for another thread.
    pub backlog: Option<u64>,
}

/// The counters of one thread. Only that thread changes them.
#[derive(Debug, Default)]
pub(crate) struct ThreadProgress {
    pub steps: Arc<AtomicU64>,
    epoch: AtomicU64,
    waits: AtomicBool,
}

impl ThreadProgress {
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub fn finish_epoch(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Release);
        self.step();
    }

    /// Runs a call that waits for another thread.
    pub fn wait<T>(&self, call: impl FnOnce() -> T) -> T {
        self.waits.store(true, Ordering::Release);
        let result = call();
        self.step();
        self.waits.store(false, Ordering::Release);
        result
    }

    fn report(
        &self,
        thread: GraphThread,
        backlog: impl FnOnce(u64) -> Option<u64>,
    ) -> ThreadReport {
        let waits = self.waits.load(Ordering::Acquire);
        let epoch = self.epoch.load(Ordering::Acquire);
        ThreadReport {
            thread,
            steps: self.steps.load(Ordering::Relaxed),
            epoch,
            backlog: backlog(epoch).filter(|_| !waits),
        }
    }
}

/// The counters of all threads of the graph.
#[derive(Debug, Default)]
pub(crate) struct GraphThreads {
    pub feeder: ThreadProgress,
    pub committer: ThreadProgress,
    /// Set once the workers start.
    pub workers: OnceLock<Vec<Arc<ThreadProgress>>>,
}

impl GraphThreads {
    /// The threads of the graph. Where workers depend on other processes, they are left out.
    pub fn threads(&self, clustered: bool) -> Vec<ThreadReport> {
        let some = |backlog: u64| (backlog > 0).then_some(backlog);
        // The feeder looks for epochs all the time.
        let feeder = self.feeder.report(GraphThread::Feeder, |_| Some(0));
        let mut threads = vec![feeder];
        let workers = self.workers.get().map_or(&[][..], Vec::as_slice);
        let mut computed = feeder.epoch;
        for (index, worker) in workers.iter().enumerate() {
            let before = |done: u64| some(feeder.epoch.saturating_sub(done));
            let worker = worker.report(GraphThread::Worker(index), before);
            computed = computed.min(worker.epoch);
            if !clustered {
                threads.push(worker);
            }
        }
        // It waits for the workers whenever it has no epoch of theirs.
        let before = |done: u64| Some(computed.saturating_sub(done).max(1));
        threads.push(self.committer.report(GraphThread::Committer, before));
        threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_a_backlog_only_while_it_waits_for_no_other() {
        let progress = GraphThreads::default();
        let worker = Arc::new(ThreadProgress::default());
        assert!(progress.workers.set(vec![Arc::clone(&worker)]).is_ok());
        let backlogs = || {
            progress
                .threads(false)
                .iter()
                .map(|t| t.backlog)
                .collect::<Vec<_>>()
        };
        progress.committer.wait(|| {
            assert_eq!(backlogs(), [Some(0), None, None]);
            progress.feeder.finish_epoch(5);
            assert_eq!(backlogs(), [Some(0), Some(5), None]);
            worker.finish_epoch(3);
            assert_eq!(backlogs(), [Some(0), Some(2), None]);
            worker.wait(|| assert_eq!(backlogs(), [Some(0), None, None]));
        });
        assert_eq!(backlogs(), [Some(0), Some(2), Some(3)]);
        progress.feeder.wait(|| assert_eq!(backlogs()[0], None));
        assert_eq!(
            progress.threads(true).len(),
            2,
            "the workers of a cluster are left out"
        );
    }
}
