//! Several processes that make one graph: how they find each other, and what they tell each other.
//!
//! ```text
//!             process 0                                  process k
//!  journal ─► Lead ─── passed e, with its controls ────► Follow ◄─ journal
//!               ◄───── sealed e ──────────────────────────┘
//!  workers ◄─────────── timely: facts, rows ───────────► workers
//!  committer, API ───── batch n? ──────────────────────► frames
//! ```
//!
//! Decision 019 says why an epoch of all is a function of the journals.

#[doc(hidden)]
pub mod door;
mod frames;
mod join;
mod link;
mod pace;
mod talk;
mod wire;

use std::net::TcpStream;
use std::sync::Arc;

use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Hooks};
use weir_schema::Epoch;

pub use join::{ClusterOptions, JoinError, Secret, join};

use crate::host::HostError;
use crate::port::{EpochSource, Frames};
use crate::status::Status;
use link::{Link, Loss};
use talk::Talk;

/// What a cluster needs of a process's journal besides the epochs in it.
pub trait Pace: Send + Sync {
    /// The last durable seal.
    fn last_sealed(&self) -> Epoch;
    /// No epoch up to `epoch` is sealed from now on; true once all that were can be read.
    fn promise(&self, epoch: Epoch) -> bool;
    /// Ends the wait for the next epoch.
    fn wake(&self);
}

/// A process that has found the others; each knows how far the journals of all go.
pub struct Member {
    process: usize,
    /// The last epoch of any journal: new ones are numbered behind it.
    greatest: Epoch,
    /// By process; none to itself.
    data: Vec<Option<TcpStream>>,
    talk: Vec<(usize, TcpStream)>,
    frames: Vec<(usize, TcpStream)>,
    status: Arc<Status>,
}

impl Member {
    /// The last epoch of any journal.
    #[must_use]
    pub const fn greatest(&self) -> Epoch {
        self.greatest
    }

    /// Frames of all journals, where this process leads; else of its own, which the leader can ask
    /// for from here on. Positions tell whose they are.
    pub fn frames(&mut self, own: Arc<dyn Frames>) -> Result<Arc<dyn Frames>, HostError> {
        let links = std::mem::take(&mut self.frames);
        let loss = self.loss();
        if self.process == 0 {
            return Ok(Arc::new(frames::AllFrames::new(own, links, loss)));
        }
        let own = Arc::new(frames::OwnFrames::new(self.process, own));
        for (_, stream) in links {
            frames::serve(stream, Arc::clone(&own), Arc::clone(&self.status))?;
        }
        Ok(own)
    }

    /// The journal's epochs among those of all processes.
    pub(crate) fn epochs(
        &mut self,
        source: Box<dyn EpochSource>,
        pace: Arc<dyn Pace>,
    ) -> Result<Box<dyn EpochSource>, HostError> {
        let links = std::mem::take(&mut self.talk);
        let talk = Talk::start(links, Arc::clone(&pace), self.loss())?;
        if self.process == 0 {
            let lead = pace::Lead::new(source, pace, talk, self.greatest);
            return Ok(Box::new(lead));
        }
        let follow = pace::Follow::new(self.process, source, pace, talk, self.greatest);
        Ok(Box::new(follow))
    }

    /// What timely makes its workers of.
    pub(crate) fn allocators(
        &mut self,
        workers: usize,
    ) -> Result<(Vec<AllocatorBuilder>, Box<dyn std::any::Any + Send>), String> {
        let loss = self.loss();
        let link = |(peer, stream): (usize, Option<TcpStream>)| {
            stream.map(|stream| Link::new(stream, peer, loss.clone()))
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

    fn loss(&self) -> Loss {
        Loss(Arc::clone(&self.status))
    }
}
