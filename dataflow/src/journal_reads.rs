//! Reads of the journal that are retried while the disk or the system fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_schema::{Batch, BatchSeq, SealedEpoch};

use crate::outage::PortCall;
use crate::port::{BatchReader, EpochSource, PortFault};
use crate::status::Status;

/// First pause before a failed read is repeated. It doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Longest pause: the graph goes on within a second after the disk works again.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// An epoch source whose transient failures are retried.
pub(crate) struct RetriedEpochs {
    pub source: Box<dyn EpochSource>,
    pub status: Arc<Status>,
}

impl EpochSource for RetriedEpochs {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        let source = &mut self.source;
        retry(&self.status, PortCall::ReadEpoch, || source.next(wait))
    }
}

/// A batch reader whose transient failures are retried.
pub(crate) struct RetriedBatches {
    frames: Arc<dyn BatchReader>,
    status: Arc<Status>,
    /// The call as which failures are reported.
    call: PortCall,
}

impl RetriedBatches {
    pub fn new(frames: &Arc<dyn BatchReader>, status: &Arc<Status>, call: PortCall) -> Self {
        Self {
            frames: Arc::clone(frames),
            status: Arc::clone(status),
            call,
        }
    }
}

impl BatchReader for RetriedBatches {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        retry(&self.status, self.call, || self.frames.batch(seq))
    }
}

/// Repeats a read until it succeeds, fails for good, or the graph stops.
fn retry<T>(
    status: &Status,
    call: PortCall,
    mut read: impl FnMut() -> Result<T, PortFault>,
) -> Result<T, PortFault> {
    let mut pause = PAUSE_MIN;
    loop {
        match read() {
            Ok(value) => {
                status.step(call);
                if let Some(outage) = status.end_outage(call) {
                    let seconds = outage.since.elapsed().as_secs();
                    tracing::info!(seconds, "the journal can be read again");
                }
                return Ok(value);
            }
            Err(fault) if fault.is_transient() && !status.is_over() => {
                if status.record_fault(call, &fault, Instant::now()) {
                    tracing::error!(%fault, "cannot read the journal; retrying");
                }
                status.pause(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
            Err(fault) => return Err(fault),
        }
    }
}
