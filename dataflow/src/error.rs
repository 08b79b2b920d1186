//! Errors of the threads that run the graph.

use crate::port::PortFault;

/// Why the graph could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("cannot start {workers} workers: {reason}")]
    StartWorkers { workers: usize, reason: String },
    #[error("cannot start the thread {name}")]
    StartThread {
        name: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot read the journal: {0}")]
    ReadJournal(PortFault),
    #[error("cannot write the ledger: {0}")]
    WriteLedger(PortFault),
    #[error("the thread {0} panicked")]
    Panicked(&'static str),
}
