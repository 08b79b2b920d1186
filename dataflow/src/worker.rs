//! A timely worker's loop: takes epochs from a bounded channel, steps, gives results in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use timely::worker::Worker;
use weir_operators::{Emit, Work};
use weir_schema::Epoch;

use crate::graph::{self, Graph};
use crate::outputs::EpochOutput;
use crate::status::Status;

/// An epoch's work for one worker, or a part of it.
pub struct EpochWork {
    pub epoch: Epoch,
    pub work: Vec<Work>,
    /// Nothing of this epoch follows.
    pub last: bool,
}

/// What a worker has of the world.
pub struct Ends {
    pub work: Receiver<EpochWork>,
    pub done: Sender<Vec<EpochOutput>>,
    /// Where other workers are in other processes: whether these are there.
    pub status: Option<Arc<Status>>,
}

/// Epochs that a worker has begun and not finished. More would not make it faster, only later.
pub const IN_FLIGHT_MAX: usize = 4;

/// How long an idle worker sleeps; it is woken when work comes, so this bounds only a lost wake-up.
const IDLE: Duration = Duration::from_millis(50);

/// Runs the graph until the channel closes and all epochs are done, or nobody listens any more, or
/// another worker is `broken`.
pub fn run(worker: &mut Worker, emit: Emit, ends: &Ends, broken: &AtomicBool) -> Graph {
    let mut graph = graph::build(worker, emit, ends.status.is_some());
    steps(worker, &mut graph, ends, broken);
    graph
}

/// Keeps a worker's part of the graph until the process ends. Other processes would take a closed
/// input for one that has nothing more to say, and conclude without it.
pub fn hold(_graph: Graph) {
    loop {
        std::thread::park();
    }
}

fn steps(worker: &mut Worker, graph: &mut Graph, ends: &Ends, broken: &AtomicBool) {
    let Ends { work, done, status } = ends;
    // What other processes would have to finish, too, is not waited for.
    let is_over = || {
        let over = |status: &Status| status.failed() || status.is_stopping();
        broken.load(Ordering::Acquire) || status.as_deref().is_some_and(over)
    };
    let mut in_flight: VecDeque<Epoch> = VecDeque::new();
    let mut open = true;
    loop {
        while open && in_flight.len() < IN_FLIGHT_MAX {
            match work.try_recv() {
                Ok(next) => {
                    graph.input.advance_to(next.epoch.0);
                    for item in next.work {
                        graph.input.send(item);
                    }
                    if next.last {
                        graph.input.advance_to(next.epoch.0 + 1);
                        in_flight.push_back(next.epoch);
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => open = false,
            }
        }
        if in_flight.is_empty() && !open || is_over() {
            return;
        }
        worker.step_or_park(Some(IDLE));
        while let Some(epoch) = in_flight.front() {
            if graph.probe.less_equal(&epoch.0) {
                break;
            }
            let output = graph.collected.borrow_mut().take_through(*epoch);
            in_flight.pop_front();
            if done.send(output).is_err() {
                return;
            }
        }
    }
}
