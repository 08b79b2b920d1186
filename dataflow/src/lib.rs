//! The graph and the threads that run it: sealed epochs in, commits to the ledger out.

mod graph;
mod host;
mod outputs;
mod port;
mod worker;

pub use host::{Host, HostError, HostOptions, Status};
pub use port::{EpochReport, EpochSource, Frames, Ledger, Observer, PortFault};
pub use weir_operators::{BatchNote, Clock, Counts, Emit, Note};
