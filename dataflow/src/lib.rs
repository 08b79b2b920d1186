//! The graph and the threads that run it: sealed epochs in, commits to the ledger out.

mod port;

mod host;

mod feeder;

mod worker;

mod graph;

mod committer;

mod outputs;

mod cluster;

mod backfill;
mod held;
mod what_if;

mod status;

pub use backfill::Backfill;
#[doc(hidden)]
pub use cluster::door;
pub use cluster::{ClusterOptions, JoinError, Member, Pace, Secret, join};
pub use host::{Host, HostError, HostOptions};
pub use port::{EpochReport, EpochSource, Frames, Ledger, Observer, PortFault};
pub use status::Status;
pub use weir_operators::{BatchNote, Clock, Counts, Emit, Note};
pub use what_if::{Difference, Differing, WHAT_IF_ROWS_MAX, WhatIfReport, WhatIfState, WhatIfs};
