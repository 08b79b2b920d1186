//! The loop of a timely worker: reads epochs from a channel, steps the graph, and sends results in
//! order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use timely::worker::Worker;
use weir_operators::{EmitOptions, count_steps_in};
use weir_schema::Epoch;

use crate::epoch::EpochWork;
use crate::graph::{self, Graph};
use crate::outputs::EpochOutput;
use crate::progress::ThreadProgress;
use crate::status::Status;

/// The channels of a worker.
pub struct WorkerChannels {
    pub work: Receiver<EpochWork>,
    pub results: Sender<Vec<EpochOutput>>,
    /// The status of the graph, where other processes run parts of it.
    pub status: Option<Arc<Status>>,
    pub progress: Arc<ThreadProgress>,
}

/// Epochs that a worker has begun and not finished. More would add latency, not throughput.
pub const IN_FLIGHT_MAX: usize = 4;

/// Longest sleep of an idle worker. New work wakes it, so this bounds only a lost wake-up.
const IDLE: Duration = Duration::from_millis(50);

/// Runs the graph until all work is done, the results are no longer read, or the graph fails.
///
/// The work is done once its channel is closed and all epochs are finished. `broken` is set when
/// another worker panicked.
pub fn run(
    worker: &mut Worker,
    emit: EmitOptions,
    channels: &WorkerChannels,
    broken: &AtomicBool,
) -> Graph {
    count_steps_in(Arc::clone(&channels.progress.steps));
    let mut graph = graph::build(worker, emit, channels.status.is_some());
    step_until_done(worker, &mut graph, channels, broken);
    graph
}

/// Keeps a worker's part of the graph until the process ends.
///
/// If the input were dropped, other processes would treat it as complete and draw conclusions
/// without it.
pub fn park_forever(_graph: Graph) -> ! {
    loop {
        std::thread::park();
    }
}

fn step_until_done(
    worker: &mut Worker,
    graph: &mut Graph,
    channels: &WorkerChannels,
    broken: &AtomicBool,
) {
    let WorkerChannels {
        work,
        results,
        status,
        progress,
    } = channels;
    // In a cluster, a stopping worker does not wait for epochs that other processes must finish.
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
            let output = graph.outputs.borrow_mut().take_through(*epoch);
            let epoch = epoch.0;
            in_flight.pop_front();
            if progress.wait(|| results.send(output)).is_err() {
                return;
            }
            progress.finish_epoch(epoch);
        }
    }
}
