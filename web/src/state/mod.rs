//! The state that all request handlers share.

mod ack_channels;
mod options;

pub(crate) use ack_channels::AckChannels;
pub(crate) use options::WORKERS_MAX;
pub use options::{ApiToken, WebOptions};

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::bodies::BodySlots;
use crate::metrics::WebMetrics;
use crate::ports::WebPorts;

/// Concurrent uploads of journals: each may keep its connection open indefinitely.
const UPLOADS_MAX: usize = 64;

/// The state of a server, one for all of its workers.
pub(crate) struct AppState {
    pub(crate) ports: WebPorts,
    pub(crate) options: WebOptions,
    pub(crate) metrics: WebMetrics,
    /// One permit for each alert stream that may be open.
    pub(crate) streams: Arc<Semaphore>,
    /// Limits the request bodies in memory.
    pub(crate) body_slots: BodySlots,
    /// One permit for each journal that may be uploaded.
    pub(crate) uploads: Semaphore,
    /// The acknowledgement channels of the HTTP Event Collector.
    pub(crate) ack_channels: AckChannels,
    /// Becomes `true` when the server stops.
    pub(crate) stopped: watch::Receiver<bool>,
}

impl AppState {
    pub(crate) fn new(
        ports: WebPorts,
        options: WebOptions,
        metrics: WebMetrics,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let streams_max = options.streams_max.min(Semaphore::MAX_PERMITS);
        Self {
            ports,
            options,
            metrics,
            streams: Arc::new(Semaphore::new(streams_max)),
            body_slots: BodySlots::new(),
            uploads: Semaphore::new(UPLOADS_MAX),
            ack_channels: AckChannels::default(),
            stopped,
        }
    }
}
