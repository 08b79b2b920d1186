//! Batches of other processes' journals, for texts and explanations.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weir_schema::{Batch, BatchSeq};

use super::link::Loss;
use super::{talk, wire};
use crate::host::HostError;
use crate::port::{Frames, PortFault};
use crate::status::Status;

/// Longest wait for a batch: a journal on a slow disk takes a second to walk to it.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// The longest answer: one entry of a journal, which the journal bounds by half of it.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Batches of one process that are kept for the next look-up, and their bytes: as for blocks of the
/// own journal.
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: usize = 32 << 20;

/// Frames of all journals.
pub struct AllFrames {
    own: Arc<dyn Frames>,
    others: Vec<Other>,
    loss: Loss,
}

struct Other {
    process: usize,
    link: Mutex<Asked>,
}

struct Asked {
    stream: TcpStream,
    kept: VecDeque<(BatchSeq, usize, Arc<Batch>)>,
}

impl AllFrames {
    pub fn new(own: Arc<dyn Frames>, links: Vec<(usize, TcpStream)>, loss: Loss) -> Self {
        let other = |(process, stream)| Other {
            process,
            link: Mutex::new(Asked {
                stream,
                kept: VecDeque::new(),
            }),
        };
        let others = links.into_iter().map(other).collect();
        Self { own, others, loss }
    }
}

impl Frames for AllFrames {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        if seq.process() == 0 {
            return self.own.batch(seq);
        }
        let mut others = self.others.iter();
        let other = others.find(|other| other.process as u64 == seq.process());
        let other = other.ok_or_else(|| PortFault {
            message: format!(
                "there is no process {} to ask for its events",
                seq.process()
            ),
        })?;
        let mut link = other.link.lock().unwrap_or_else(PoisonError::into_inner);
        if self.loss.0.failed() {
            let message = "the cluster has stopped".to_owned();
            return Err(PortFault { message });
        }
        match link.ask(seq) {
            Ok(Ok(batch)) => Ok(batch),
            Ok(Err(message)) => Err(PortFault { message }),
            Err(error) => {
                // What comes after a cut answer could not be read.
                self.loss.tell(other.process, &error);
                let message = error.to_string();
                Err(PortFault { message })
            }
        }
    }
}

impl Asked {
    fn ask(&mut self, seq: BatchSeq) -> std::io::Result<Result<Arc<Batch>, String>> {
        if let Some(at) = self.kept.iter().position(|(kept, ..)| *kept == seq) {
            return Ok(Ok(Arc::clone(&self.kept[at].2)));
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
        self.kept.push_back((seq, bytes.len(), Arc::clone(&batch)));
        let bytes = |kept: &VecDeque<(BatchSeq, usize, Arc<Batch>)>| {
            kept.iter().map(|(_, bytes, _)| bytes).sum::<usize>()
        };
        while self.kept.len() > KEPT_MAX || bytes(&self.kept) > KEPT_BYTES_MAX {
            self.kept.pop_front();
        }
        Ok(Ok(batch))
    }
}

/// Frames of the own journal of a process that does not lead.
pub struct OwnFrames {
    process: u64,
    own: Arc<dyn Frames>,
}

impl OwnFrames {
    pub fn new(process: usize, own: Arc<dyn Frames>) -> Self {
        let process = process as u64;
        Self { process, own }
    }
}

impl Frames for OwnFrames {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        if seq.process() != self.process {
            let message = "only process 0 looks at other journals".to_owned();
            return Err(PortFault { message });
        }
        self.own.batch(BatchSeq(seq.local()))
    }
}

/// Answers process 0 until the connection ends.
pub fn serve(
    mut stream: TcpStream,
    frames: Arc<OwnFrames>,
    status: Arc<Status>,
) -> Result<(), HostError> {
    talk::start("weir-frames", move || {
        loop {
            let asked = wire::receive(&mut stream, 16);
            let asked = asked.and_then(|bytes| wire::decode::<u64>(&bytes));
            let answered = asked.and_then(|local| {
                let batch = frames.own.batch(BatchSeq(local));
                let answer = batch.as_deref().map_err(|fault| &fault.message);
                wire::send(&mut stream, &answer).map(drop)
            });
            if let Err(error) = answered {
                Loss(status).tell(0, &error);
                return;
            }
        }
    })
}
