//! Named threads, and the report of a failure on one of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::error::HostError;
use crate::status::Status;

/// A thread of the host, to be joined.
pub type HostThread = JoinHandle<Result<(), HostError>>;

/// Starts a thread whose error, panic or early end fails the graph.
pub fn spawn_monitored(
    name: &'static str,
    status: &Arc<Status>,
    run: impl FnOnce() -> Result<(), HostError> + Send + 'static,
) -> Result<HostThread, HostError> {
    let status = Arc::clone(status);
    spawn(name, move || {
        let result = catch_unwind(AssertUnwindSafe(run));
        let result = result.unwrap_or(Err(HostError::Panicked(name)));
        match &result {
            Err(error) => {
                tracing::error!(%error, thread = name, "the graph stopped");
                status.fail(&format!("the graph stopped: {error}"));
            }
            Ok(()) if status.is_over() => {}
            Ok(()) => {
                tracing::error!(thread = name, "the graph stopped: the thread ended");
                status.fail(&format!("the graph stopped: the thread {name} ended"));
            }
        }
        result
    })
}

/// Starts a thread that nobody joins: it ends by itself.
pub fn spawn_detached(
    name: &'static str,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), HostError> {
    spawn(name, run).map(drop)
}

/// Starts a named thread.
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, HostError> {
    let builder = Builder::new().name(name.to_owned());
    let started = builder.spawn(run);
    started.map_err(|source| HostError::StartThread { name, source })
}
