//! The graph and the threads that run it: sealed epochs in, commits to the ledger out.

mod port;

mod host;

mod feeder;

mod worker;

mod graph;

mod committer;

mod outputs;

mod status;

pub use host::{Host, HostError, HostOptions};
pub use port::{EpochReport, EpochSource, Frames, Ledger, Observer, PortFault};
pub use status::Status;
pub use weir_operators::{BatchNote, Clock, Counts, Emit, Note};
