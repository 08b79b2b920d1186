//! The graph and the threads that run it: sealed epochs in, commits to the ledger out.

mod port;

mod outage;

mod pace;

mod journal_reads;

mod host;

mod feeder;

mod worker;

mod graph;

mod committer;

mod outputs;

mod kept_ids;

mod reading;

mod backfill;

mod what_if;

mod progress;

mod status;

mod cluster;

mod epoch;
mod error;
mod thread;

pub use backfill::BackfillProgress;
#[doc(hidden)]
pub use cluster::fuzz;
pub use cluster::{ClusterMember, ClusterOptions, ClusterSecret, JoinError, SealControl, join};
pub use error::HostError;
pub use host::{Host, HostOptions};
pub use kept_ids::KeptIds;
pub use outage::{Outage, PortCall};
pub use port::{
    AlertLedger, BatchReader, EpochReport, EpochSource, Observer, PortFault, PortFaultKind,
};
pub use progress::{GraphThread, ThreadReport};
pub use status::Status;
pub use weir_operators::{BatchNote, CorrelationCounts, EmitOptions, Note, TenantClock};
pub use what_if::{
    AlertDifference, WHAT_IF_ROWS_MAX, WhatIfDifference, WhatIfReport, WhatIfState, WhatIfs,
};
