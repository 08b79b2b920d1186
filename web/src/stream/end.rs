//! Counts why streams and taps end.

use crate::metrics::WebMetrics;

/// Why a stream or tap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndReason {
    /// The server stopped.
    Stopped,
    /// The ledger or the journal could not be read.
    Failed,
    /// The client got everything that it asked for.
    Done,
    /// The client closed the connection.
    Gone,
    /// The connection ended while the client did not read.
    Stalled,
}

impl EndReason {
    const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Done => "done",
            Self::Gone => "gone",
            Self::Stalled => "stalled",
        }
    }
}

/// Follows one stream or tap and counts its end when dropped.
///
/// The HTTP library requests a chunk only while the connection accepts data. A stream that is
/// dropped between a sent chunk and the next request therefore has a stalled client.
pub(super) struct EndRecorder {
    format: &'static str,
    metrics: WebMetrics,
    reason: EndReason,
}

impl EndRecorder {
    pub(super) fn new(format: &'static str, metrics: &WebMetrics) -> Self {
        Self {
            format,
            metrics: metrics.clone(),
            reason: EndReason::Gone,
        }
    }

    /// Records that the HTTP library requests a chunk.
    pub(super) fn chunk_requested(&mut self) {
        self.reason = EndReason::Gone;
    }

    /// Records that a chunk is handed to the HTTP library.
    pub(super) fn chunk_sent(&mut self) {
        self.reason = EndReason::Stalled;
    }

    /// Records that no further chunk follows.
    pub(super) fn finish(&mut self, reason: EndReason) {
        self.reason = reason;
    }
}

impl Drop for EndRecorder {
    fn drop(&mut self) {
        let labels = [self.format, self.reason.name()];
        self.metrics.ends.with_label_values(&labels).inc();
    }
}
