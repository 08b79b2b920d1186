//! Why a stream or a tap came to its end, counted when it is dropped.

use crate::metrics::WebMetrics;

/// Why an answer without an end of its own is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The server stops.
    Stopped,
    /// The ledger, or the journal, could not be read.
    Failed,
    /// It has said all that was asked for.
    Done,
    /// The other end has gone.
    Gone,
    /// The connection ended while the other end was not taking what there was for it.
    Stalled,
}

impl Why {
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

/// Follows one answer to its end. The HTTP library asks for chunks while the connection takes them:
/// one that is not asked for another has a reader that does not read.
pub(crate) struct Ending {
    format: &'static str,
    metrics: WebMetrics,
    why: Why,
}

impl Ending {
    pub(crate) fn new(format: &'static str, metrics: &WebMetrics) -> Self {
        let metrics = metrics.clone();
        let why = Why::Gone;
        Self {
            format,
            metrics,
            why,
        }
    }

    /// Another chunk is asked for.
    pub(crate) fn asked(&mut self) {
        self.why = Why::Gone;
    }

    /// A chunk is handed over.
    pub(crate) fn handed(&mut self) {
        self.why = Why::Stalled;
    }

    /// There will be no other.
    pub(crate) fn over(&mut self, why: Why) {
        self.why = why;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let labels = [self.format, self.why.name()];
        self.metrics.ends.with_label_values(&labels).inc();
    }
}
