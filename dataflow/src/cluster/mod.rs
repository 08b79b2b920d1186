//! A cluster: several processes that run one graph together.
//!
//! ```text
//!             process 0                                     process k
//!  journal ─► LeaderEpochs ─── passed e, with controls ───► FollowerEpochs ◄─ journal
//!                     ◄─────── sealed e ────────────────────┘
//!  workers ◄────────────────── timely: facts, rows ───────► workers
//!  committer, API ──────────── batch n? ──────────────────► batches
//! ```
//!
//! Decision 019 explains why the epochs of the cluster are a function of the journals.

mod batches;
mod epochs;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod join;
mod link;
mod messages;
mod options;
mod wire;

use std::net::TcpStream;
use std::sync::Arc;

use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Hooks};
use weir_schema::Epoch;

pub use join::{JoinError, join};
pub use options::{ClusterOptions, ClusterSecret};

use crate::error::HostError;
use crate::port::{BatchReader, EpochSource};
use crate::status::Status;
use batches::{ClusterBatches, LocalBatches};
use epochs::{FollowerEpochs, LeaderEpochs};
use link::{LossReporter, TimelyLink};
use messages::MessageChannel;

/// Controls where a process's journal seals its epochs.
///
/// The cluster uses it to keep the epochs of all processes in step.
pub trait SealControl: Send + Sync {
    /// The last durable seal.
    fn last_sealed(&self) -> Epoch;
    /// Makes the journal seal no more epochs up to `epoch`. Returns true once all those that it did
    /// seal can be read.
    fn raise_floor(&self, epoch: Epoch) -> bool;
    /// Ends the wait for the next epoch.
    fn wake(&self);
}

/// A process that is connected with all others of its cluster.
pub struct ClusterMember {
    process: usize,
    /// The last epoch of any journal. New epochs are numbered after it.
    last_epoch: Epoch,
    /// Connections for timely, by process; `None` for the own one.
    data: Vec<Option<TcpStream>>,
    messages: Vec<(usize, TcpStream)>,
    batches: Vec<(usize, TcpStream)>,
    status: Arc<Status>,
}

impl ClusterMember {
    /// The last epoch of any journal when the processes connected.
    #[must_use]
    pub const fn last_epoch(&self) -> Epoch {
        self.last_epoch
    }

    /// Returns the reader for the batches that this process may read.
    ///
    /// Process 0 reads the batches of all journals. Any other process reads `own` alone, and from now
    /// on also serves it to process 0.
    pub fn batch_reader(
        &mut self,
        own: Arc<dyn BatchReader>,
    ) -> Result<Arc<dyn BatchReader>, HostError> {
        let links = std::mem::take(&mut self.batches);
        let loss = self.loss_reporter();
        if self.process == 0 {
            return Ok(Arc::new(ClusterBatches::new(own, links, loss)));
        }
        let own = Arc::new(LocalBatches::new(self.process, own));
        for (_, stream) in links {
            batches::serve(stream, Arc::clone(&own), loss.clone())?;
        }
        Ok(own)
    }

    /// Wraps the journal's epochs so that they stay in step with those of all other processes.
    pub(crate) fn epochs(
        &mut self,
        source: Box<dyn EpochSource>,
        seals: Arc<dyn SealControl>,
    ) -> Result<Box<dyn EpochSource>, HostError> {
        let links = std::mem::take(&mut self.messages);
        let messages = MessageChannel::start(links, Arc::clone(&seals), self.loss_reporter())?;
        let last = self.last_epoch;
        if self.process == 0 {
            return Ok(Box::new(LeaderEpochs::new(source, seals, messages, last)));
        }
        let follower = FollowerEpochs::new(self.process, source, seals, messages, last);
        Ok(Box::new(follower))
    }

    /// Builds timely's allocators for the workers, and the guard of its network threads.
    pub(crate) fn allocators(
        &mut self,
        workers: usize,
    ) -> Result<(Vec<AllocatorBuilder>, Box<dyn std::any::Any + Send>), String> {
        let loss = self.loss_reporter();
        let link = |(peer, stream): (usize, Option<TcpStream>)| {
            stream.map(|stream| TimelyLink::new(stream, peer, loss.clone()))
        };
        let links = std::mem::take(&mut self.data);
        let links = links.into_iter().enumerate().map(link).collect();
        let hooks = Hooks::default();
        let local = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), None);
        let network =
            initialize_networking_from_sockets(local, links, self.process, workers, hooks);
        let (builders, guard) = network.map_err(|error| error.to_string())?;
        let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
        Ok((builders, Box::new(guard)))
    }

    pub(crate) fn process(&self) -> u64 {
        self.process as u64
    }

    pub(crate) fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    fn loss_reporter(&self) -> LossReporter {
        LossReporter(Arc::clone(&self.status))
    }
}
