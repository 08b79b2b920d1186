//! Ports: the journal, the graph's progress and the clock that rule management needs.

use std::time::Duration;

use futures_util::future::BoxFuture;
use weir_schema::{Control, Epoch, EventTime, ReceiveTime, WhatIfId};

/// The journal to which edits append.
pub trait ControlJournal: Send + Sync {
    /// Appends control entries; resolves once they are durable.
    fn append(&self, controls: Vec<Control>) -> BoxFuture<'_, Result<(), AppendFailed>>;
}

/// The journal did not accept the control entries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AppendFailed {
    pub message: String,
}

/// How far the graph has come.
pub trait GraphProgress: Send + Sync {
    /// Waits at most `limit` until the graph has applied `epoch`; false if it has not by then.
    fn wait_for(&self, epoch: Epoch, limit: Duration) -> bool;

    /// Whether the graph has failed or is stopping, so that it applies no more epochs.
    fn has_ended(&self) -> bool;

    /// The least watermark of all tenants; `None` before the first event.
    fn watermark(&self) -> Option<EventTime>;

    /// The greatest event time received so far.
    fn greatest(&self) -> Option<EventTime>;

    /// How far the graph is with a what-if; `None` if it has not read its entry yet.
    fn what_if(&self, id: WhatIfId) -> Option<WhatIfStage>;
}

/// How far the graph is with a what-if.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhatIfStage {
    /// Its first result is not derived yet.
    Deriving,
    Running,
    /// It no longer runs; holds the state's public name.
    Ended(&'static str),
}

/// The clock that makes ids of what-ifs unique.
pub trait EditClock: Send + Sync {
    fn now(&self) -> ReceiveTime;
}

/// Where a rule that is added now begins: at the watermark, which all tenants have passed.
pub fn since_now(graph: &dyn GraphProgress) -> EventTime {
    graph.watermark().unwrap_or(EventTime::MIN)
}

/// Where a rule that is stopped now ends: after every event received so far, so that its alerts
/// stand.
pub fn until_now(graph: &dyn GraphProgress) -> EventTime {
    let greatest = graph.greatest().unwrap_or(EventTime::MIN);
    EventTime(greatest.0.saturating_add(1)).max(since_now(graph))
}
