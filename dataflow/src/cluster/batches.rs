//! Batches of other processes' journals, for texts and explanations.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weir_schema::{Batch, BatchSeq};

use super::link::LossReporter;
use super::wire;
use crate::error::HostError;
use crate::port::{BatchReader, PortFault};
use crate::thread::spawn_detached;

/// Longest wait for a batch: a journal on a slow disk takes a second to find it.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// The longest answer: one journal entry, which the journal limits to half of this.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The longest request: the number of a batch.
const REQUEST_BYTES_MAX: usize = 16;

/// Batches cached for each process, and their bytes: as for blocks of the own journal.
const CACHE_BATCHES_MAX: usize = 64;
const CACHE_BYTES_MAX: usize = 32 << 20;

/// Reads the batches of all journals. Process 0 has it.
pub struct ClusterBatches {
    own: Arc<dyn BatchReader>,
    others: Vec<RemoteJournal>,
    loss: LossReporter,
}

struct RemoteJournal {
    process: usize,
    link: Mutex<BatchLink>,
}

/// The connection to another journal, with a cache of the batches read last.
struct BatchLink {
    stream: TcpStream,
    cache: VecDeque<CachedBatch>,
}

struct CachedBatch {
    seq: BatchSeq,
    bytes: usize,
    batch: Arc<Batch>,
}

impl ClusterBatches {
    pub fn new(
        own: Arc<dyn BatchReader>,
        links: Vec<(usize, TcpStream)>,
        loss: LossReporter,
    ) -> Self {
        let journal = |(process, stream)| RemoteJournal {
            process,
            link: Mutex::new(BatchLink {
                stream,
                cache: VecDeque::new(),
            }),
        };
        let others = links.into_iter().map(journal).collect();
        Self { own, others, loss }
    }
}

impl BatchReader for ClusterBatches {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        if seq.process() == 0 {
            return self.own.batch(seq);
        }
        let mut others = self.others.iter();
        let other = others.find(|other| other.process as u64 == seq.process());
        let other = other.ok_or_else(|| {
            let process = seq.process();
            PortFault::permanent(format!(
                "there is no process {process} to ask for its events"
            ))
        })?;
        let mut link = other.link.lock().unwrap_or_else(PoisonError::into_inner);
        if self.loss.0.failed() {
            return Err(PortFault::permanent("the cluster has stopped"));
        }
        match link.request(seq) {
            Ok(Ok(batch)) => Ok(batch),
            // The other process does not state whether its journal is damaged.
            Ok(Err(message)) => Err(PortFault::transient(message)),
            Err(error) => {
                // After a partial answer the next one could not be read.
                self.loss.report(other.process, &error);
                Err(PortFault::permanent(error.to_string()))
            }
        }
    }
}

impl BatchLink {
    fn request(&mut self, seq: BatchSeq) -> std::io::Result<Result<Arc<Batch>, String>> {
        if let Some(cached) = self.cache.iter().find(|cached| cached.seq == seq) {
            return Ok(Ok(Arc::clone(&cached.batch)));
        }
        self.stream.set_read_timeout(Some(ANSWER_WAIT))?;
        self.stream.set_write_timeout(Some(ANSWER_WAIT))?;
        wire::send(&mut self.stream, &seq.local())?;
        let bytes = wire::receive(&mut self.stream, ANSWER_BYTES_MAX)?;
        let answer: Result<Batch, String> = wire::decode(&bytes)?;
        let batch = match answer {
            Ok(batch) => Arc::new(batch),
            Err(message) => return Ok(Err(message)),
        };
        self.cache.push_back(CachedBatch {
            seq,
            bytes: bytes.len(),
            batch: Arc::clone(&batch),
        });
        while self.cache.len() > CACHE_BATCHES_MAX || self.cached_bytes() > CACHE_BYTES_MAX {
            self.cache.pop_front();
        }
        Ok(Ok(batch))
    }

    fn cached_bytes(&self) -> usize {
        self.cache.iter().map(|cached| cached.bytes).sum()
    }
}

/// Reads the batches of the own journal in a process other than 0.
pub struct LocalBatches {
    process: u64,
    own: Arc<dyn BatchReader>,
}

impl LocalBatches {
    pub fn new(process: usize, own: Arc<dyn BatchReader>) -> Self {
        let process = process as u64;
        Self { process, own }
    }
}

impl BatchReader for LocalBatches {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        if seq.process() != self.process {
            return Err(PortFault::permanent("only process 0 reads other journals"));
        }
        self.own.batch(BatchSeq(seq.local()))
    }
}

/// Starts a thread that answers the requests of process 0 until the connection ends.
pub fn serve(
    mut stream: TcpStream,
    frames: Arc<LocalBatches>,
    loss: LossReporter,
) -> Result<(), HostError> {
    spawn_detached("weir-frames", move || {
        loop {
            let request = wire::receive(&mut stream, REQUEST_BYTES_MAX);
            let request = request.and_then(|bytes| wire::decode::<u64>(&bytes));
            let answered = request.and_then(|local| {
                let batch = frames.own.batch(BatchSeq(local));
                let answer = batch.as_deref().map_err(|fault| &fault.message);
                wire::send(&mut stream, &answer).map(drop)
            });
            if let Err(error) = answered {
                loss.report(0, &error);
                return;
            }
        }
    })
}
