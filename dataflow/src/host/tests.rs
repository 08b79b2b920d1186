//! A worker that panics stops the whole graph.

use std::sync::Arc;
use std::time::Duration;

use weir_operators::EmitOptions;
use weir_schema::{
    AlertId, AlertRecord, Batch, BatchSeq, Commit, Control, Epoch, ReceiveTime, SealedEpoch,
};

use super::{Host, HostOptions};
use crate::error::HostError;
use crate::port::{AlertLedger, BatchReader, EpochReport, EpochSource, Observer, PortFault};

/// A broken journal, whose epochs run backwards.
struct DescendingEpochs(u64);

impl EpochSource for DescendingEpochs {
    fn next(&mut self, _wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        self.0 = self.0.saturating_sub(1).max(1);
        let received = ReceiveTime(0);
        Ok(Some(SealedEpoch {
            epoch: Epoch(self.0),
            controls: vec![Control::Tick { received }],
            follower_controls: Vec::new(),
            batches: Vec::new(),
        }))
    }
}

struct EmptyStore;

impl BatchReader for EmptyStore {
    fn batch(&self, _seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        let message = "the store is empty".to_owned();
        Err(PortFault { message })
    }
}

impl AlertLedger for EmptyStore {
    fn applied(&self) -> Epoch {
        Epoch(0)
    }
    fn record(&self, _alert: AlertId) -> Result<Option<AlertRecord>, PortFault> {
        Ok(None)
    }
    fn commit(&mut self, _commit: &Commit) -> Result<(), PortFault> {
        Ok(())
    }
}

impl Observer for EmptyStore {
    fn on_epoch(&mut self, _report: &EpochReport<'_>) {}
    fn on_commit_failed(&mut self, _fault: &PortFault) {}
}

#[test]
fn a_panicking_worker_fails_the_graph_and_stops_the_other_workers() {
    let options = HostOptions {
        workers: 2,
        emit: EmitOptions::default(),
    };
    let (source, frames) = (Box::new(DescendingEpochs(3)), Arc::new(EmptyStore));
    let host = Host::start(
        options,
        source,
        frames,
        Box::new(EmptyStore),
        Box::new(EmptyStore),
    );
    let host = host.expect("two workers start");
    host.status()
        .wait_for(Epoch(u64::MAX), Duration::from_secs(20));
    assert!(host.status().failed());
    let stopped = host.stop();
    assert!(
        matches!(stopped, Err(HostError::Panicked(_))),
        "{stopped:?}"
    );
}
