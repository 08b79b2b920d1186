//! The path of a whole body: read it, split it into events, journal them, count everything.

use actix_web::{HttpRequest, web};

use super::batcher::SourceBatcher;
use super::request::BodySender;
use crate::bodies::{BODY_BYTES_MAX, BodyError, read_body};
use crate::metrics::Protocol;
use crate::state::AppState;

/// The result of a body whose accepted events are durable.
pub(super) struct IngestedBody<T> {
    /// The value that splitting the body returned.
    pub(super) output: T,
    /// Number of accepted events.
    pub(super) events: usize,
}

/// Reads a body, splits it into events with `split`, and journals them.
///
/// If `split` fails, none of the events that it pushed are journaled: the body is refused whole.
pub(super) async fn ingest<T: Send + 'static>(
    protocol: Protocol,
    request: &HttpRequest,
    body: web::Payload,
    state: &AppState,
    split: impl FnOnce(&[u8], &mut SourceBatcher) -> Result<T, BodyError> + Send + 'static,
) -> Result<IngestedBody<T>, BodyError> {
    let ingested = ingest_events(protocol, request, body, state, split).await;
    if let Err(error) = &ingested {
        let counts = &state.metrics.collect;
        counts.count_body_refused(protocol, error.reason());
    }
    ingested
}

async fn ingest_events<T: Send + 'static>(
    protocol: Protocol,
    request: &HttpRequest,
    body: web::Payload,
    state: &AppState,
    split: impl FnOnce(&[u8], &mut SourceBatcher) -> Result<T, BodyError> + Send + 'static,
) -> Result<IngestedBody<T>, BodyError> {
    let mut batcher = SourceBatcher::new(BodySender::read(request, state)?);
    let address = request.peer_addr().map(|address| address.ip());
    let _slot = state.body_slots.acquire(address).await?;
    let body = read_body(request, body, BODY_BYTES_MAX).await?;
    let split = move || {
        let output = split(&body, &mut batcher);
        let batches = match &output {
            Ok(_) => batcher.finish(&body),
            Err(_) => Vec::new(),
        };
        (output, batcher, batches)
    };
    let (output, batcher, batches) = web::block(split).await?;
    let counts = &state.metrics.collect;
    counts.count_received(protocol, batcher.received());
    let output = output.inspect_err(|error| {
        counts.count_refused(protocol, error.reason(), batcher.received());
    })?;
    for (reason, events) in batcher.refused() {
        counts.count_refused(protocol, reason, events);
    }
    let events = batcher.events();
    if !batches.is_empty() {
        let receipt = state.ports.intake.submit(batches).await;
        let receipt = receipt.map_err(BodyError::from).inspect_err(|error| {
            counts.count_refused(protocol, error.reason(), events);
        })?;
        counts.count_accepted(protocol, receipt, events);
    }
    Ok(IngestedBody { output, events })
}
