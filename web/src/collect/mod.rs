//! Takes events in by the protocols that shippers have anyway: Splunk's HTTP Event Collector,
//! Elasticsearch's bulk requests, OTLP logs, and journald's uploads.
//!
//! ```text
//! request ─► unpack (bounded) ─► cut into frames ─► sorter: batches by source ─► intake port ─► answer
//! ```
//!
//! Each answers in its protocol's words, once what it took in is durable. What a shipper asks before
//! it sends is answered so that it goes on; nothing of it is kept.

mod auth;
mod bulk;
pub mod door;
mod elastic;
mod hec;
mod journald;
mod otlp;
mod refusal;
mod sorter;
mod unpack;

pub(crate) use auth::{Dialect, OwnWords, Presented};
pub(crate) use hec::Channels;
pub(crate) use journald::UPLOADS_MAX;
pub(crate) use refusal::Refusal;
pub(crate) use sorter::mark_deliveries;
pub(crate) use unpack::read;

use std::time::Duration;

use actix_web::web::{self, ServiceConfig, get, post, resource};
use actix_web::{HttpRequest, Route};
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};

use crate::events;
use crate::server::State;
use sorter::{Sender, Sorter, source_name};

/// Longest body of events, unpacked.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;

/// Short bodies that are read at once: settings, rules, questions for acknowledgements.
pub(crate) const SMALL_BODIES_MAX: usize = 16;

/// A request waits so long for a place among the bodies.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);

/// What line feeds part, without the CR before them.
pub(crate) fn lines_of(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr(b'\n', text);
        rest = end.and_then(|end| text.get(end + 1..));
        let line = text.get(..end.unwrap_or(text.len()))?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

/// Every route of the collectors, by method and pattern. Tests walk it; `docs/collectors.md`
/// describes each.
pub const COLLECTOR_ROUTES: [(&str, &str); 22] = [
    ("POST", "/services/collector"),
    ("POST", "/services/collector/event"),
    ("POST", "/services/collector/event/1.0"),
    ("POST", "/services/collector/raw"),
    ("POST", "/services/collector/raw/1.0"),
    ("POST", "/services/collector/ack"),
    ("GET", "/services/collector/health"),
    ("GET", "/services/collector/health/1.0"),
    ("POST", "/_bulk"),
    ("POST", "/{index}/_bulk"),
    ("GET", "/"),
    ("GET", "/_license"),
    ("GET", "/_xpack"),
    ("GET", "/_cluster/health"),
    ("PUT", "/_index_template/{name}"),
    ("PUT", "/_component_template/{name}"),
    ("PUT", "/_template/{name}"),
    ("PUT", "/_ilm/policy/{name}"),
    ("PUT", "/_ingest/pipeline/{name}"),
    ("PUT", "/_data_stream/{name}"),
    ("POST", "/v1/logs"),
    ("POST", "/upload"),
];

pub(crate) fn configure(config: &mut ServiceConfig) {
    for path in [
        "/services/collector",
        "/services/collector/event",
        "/services/collector/event/1.0",
    ] {
        config.service(resource(path).route(post().to(hec::event)));
    }
    for path in ["/services/collector/raw", "/services/collector/raw/1.0"] {
        config.service(resource(path).route(post().to(hec::raw)));
    }
    for path in [
        "/services/collector/health",
        "/services/collector/health/1.0",
    ] {
        config.service(resource(path).route(get().to(hec::health)));
    }
    config.service(resource("/services/collector/ack").route(post().to(hec::ack)));
    for path in ["/_bulk", "/{index}/_bulk"] {
        let bulk = resource(path).route(post().to(bulk::bulk));
        config.service(bulk.route(web::put().to(bulk::bulk)));
    }
    // The body of an answer to HEAD stays here; its headers are what is asked for.
    let asked = |path, route: fn(Route) -> Route| {
        resource(path).route(route(get())).route(route(web::head()))
    };
    config
        .service(asked("/", |route| route.to(elastic::root)))
        .service(asked("/_license", |route| route.to(elastic::license)))
        .service(asked("/_xpack", |route| route.to(elastic::xpack)))
        .service(asked("/_cluster/health", |route| route.to(elastic::health)));
    for path in elastic::SETTINGS {
        let settings = resource(path).route(web::put().to(elastic::put));
        let settings = settings.route(post().to(elastic::put));
        let settings = settings.route(get().to(elastic::absent));
        config.service(settings.route(web::head().to(elastic::absent)));
    }
    config.service(resource("/v1/logs").route(post().to(otlp::logs)));
    config.service(resource("/upload").route(post().to(journald::upload)));
}

/// By which protocol a body came; the label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Events,
    Hec,
    Bulk,
    Otlp,
    Journald,
}

impl Way {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Hec => "hec",
            Self::Bulk => "bulk",
            Self::Otlp => "otlp",
            Self::Journald => "journald",
        }
    }
}

/// What came of a body whose events are durable.
struct Taken<T> {
    /// What cutting it said besides.
    said: T,
    events: usize,
}

/// A parameter of the query, whatever else stands there: shippers send parameters of their own.
fn parameter(request: &HttpRequest, name: &str) -> Option<String> {
    let query = request.query_string();
    let pairs = web::Query::<Vec<(String, String)>>::from_query(query).ok()?;
    let mut pairs = pairs.into_inner().into_iter();
    pairs
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
}

fn sender(request: &HttpRequest, state: &State) -> Result<Sender, Refusal> {
    let source = parameter(request, "source").filter(|name| !name.is_empty());
    Ok(Sender {
        tenant: state.options.tenant.clone(),
        peer: request.peer_addr().map(|address| address.ip().to_string()),
        received: events::receive_time(),
        source: source.map(|name| source_name(&name, "http")),
        key: events::read_key(request)?,
    })
}

/// Reads a body, has it cut, and journals its events. What `cut` pushes before it fails is not
/// journaled: a body that is refused is refused whole.
async fn take<T: Send + 'static>(
    way: Way,
    request: &HttpRequest,
    body: web::Payload,
    state: &State,
    cut: impl FnOnce(&[u8], &mut Sorter) -> Result<T, Refusal> + Send + 'static,
) -> Result<Taken<T>, Refusal> {
    let taken = take_counted(way, request, body, state, cut).await;
    if let Err(refusal) = &taken {
        state.metrics.collect.body_refused(way, refusal.reason());
    }
    taken
}

async fn take_counted<T: Send + 'static>(
    way: Way,
    request: &HttpRequest,
    body: web::Payload,
    state: &State,
    cut: impl FnOnce(&[u8], &mut Sorter) -> Result<T, Refusal> + Send + 'static,
) -> Result<Taken<T>, Refusal> {
    let mut sorter = Sorter::new(sender(request, state)?);
    let _place = place(request, state).await?;
    let body = read(request, body, BODY_BYTES_MAX).await?;
    let cutting = move || {
        let said = cut(&body, &mut sorter);
        let batches = match &said {
            Ok(_) => sorter.finish(&body),
            Err(_) => Vec::new(),
        };
        (said, sorter, batches)
    };
    let (said, sorter, batches) = web::block(cutting).await?;
    let counts = &state.metrics.collect;
    counts.received(way, sorter.received());
    let said = said.inspect_err(|refusal| {
        counts.refused(way, refusal.reason(), sorter.received());
    })?;
    for (reason, events) in sorter.refused() {
        counts.refused(way, reason, events);
    }
    let events = sorter.events();
    if !batches.is_empty() {
        let accepted = state.ports.intake.submit(batches).await;
        let accepted = accepted.map_err(Refusal::from).inspect_err(|refusal| {
            counts.refused(way, refusal.reason(), events);
        })?;
        counts.accepted(way, accepted.repeated, events);
    }
    Ok(Taken { said, events })
}

/// Reads a short body: few at a time, since unpacking one takes 8 MiB however short it is.
pub(crate) async fn read_small(
    request: &HttpRequest,
    body: web::Payload,
    state: &State,
    most: usize,
) -> Result<bytes::Bytes, Refusal> {
    let place = tokio::time::timeout(PLACE_TIMEOUT, state.small_bodies.acquire()).await;
    let Ok(Ok(_place)) = place else {
        return Err(Refusal::NoPlace);
    };
    read(request, body, most).await
}

/// A place among the bodies that are read, of its sender's share.
pub(crate) struct Place<'s> {
    _place: SemaphorePermit<'s>,
    _of_share: OwnedSemaphorePermit,
}

/// Waits for a place among the bodies that are read: among those of its own address first, so that
/// nobody else waits behind them.
pub(crate) async fn place<'s>(
    request: &HttpRequest,
    state: &'s State,
) -> Result<Place<'s>, Refusal> {
    let address = request.peer_addr().map(|address| address.ip());
    let waiting = async {
        let of_share = state.shares_of_bodies.share(address).acquire_owned().await;
        let place = state.bodies.acquire().await;
        Some(Place {
            _of_share: of_share.ok()?,
            _place: place.ok()?,
        })
    };
    let place = tokio::time::timeout(PLACE_TIMEOUT, waiting).await;
    place.ok().flatten().ok_or(Refusal::NoPlace)
}
