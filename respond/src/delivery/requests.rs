//! Requests of people to a sink: show its status and dead letters, resend them, resume.

use tokio::sync::oneshot;
use weir_schema::outbox::Cursor;
use weir_schema::{AlertId, ReceiveTime};

use crate::delivery::queue::SinkDeadLetter;

/// A request to a sink, with the channel for its answer.
pub(crate) enum SinkRequest {
    Status(oneshot::Sender<SinkStatus>),
    DeadLetters(oneshot::Sender<Vec<(AlertId, SinkDeadLetter)>>),
    /// Resends one dead letter, or all. The answer is their number.
    Resend(Option<AlertId>, oneshot::Sender<usize>),
    Resume(oneshot::Sender<()>),
}

/// Status of a sink.
#[derive(Clone, Debug)]
pub struct SinkStatus {
    pub name: String,
    pub kind: &'static str,
    pub target: String,
    pub read: Cursor,
    pub waiting: usize,
    pub dead: usize,
    /// Since when the oldest undelivered row waits.
    pub oldest: Option<ReceiveTime>,
    pub stopped: Option<String>,
    pub last_failure: Option<String>,
}
