//! Alert streams: the outbox as it grows, from a cursor, as server-sent events, NDJSON or FlatBuffers.
//!
//! ```text
//! outbox ──[ROWS_MAX rows a read]──► filter ──► one chunk ──► socket
//!    ▲ read again only when the socket has taken the chunk: a slow listener costs one chunk
//! feed ──[watch, holds one number]──► wakes
//! ```
//!
//! Invariant: a listener is told of every row that it asked for, or that rows have gone.

use std::convert::Infallible;
use std::future::Future;
use std::io::Write as _;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use weir_schema::alert_frame;
use weir_schema::said::{OutboxFilter, OutboxRows};

use crate::ends::{Ending, Why};
use crate::metrics::WebMetrics;
use crate::ports::{Cursor, PortError};
use crate::problem::Problem;
use crate::query::Params;
use crate::server::State;
use crate::wire::change_json_as;

/// Rows of one read and so of one chunk, at most some 5 KiB each.
const ROWS_MAX: usize = 64;
/// A client that was cut waits so long before it comes back.
const RETRY_MS: u32 = 2_000;
/// Where the stream starts, in the answer's head: NDJSON has no other place for it.
const CURSOR_HEADER: &str = "weir-cursor";
/// Where a listener that lacks rows finds every alert as it is.
const CATCH_UP: &str = "/api/v1/alerts?standing=all";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Sse,
    Ndjson,
    /// Frames of `schema/alert.fbs`, each with its length in front.
    Flatbuffers,
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
            Self::Flatbuffers => "flatbuffers",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
            Self::Flatbuffers => alert_frame::MEDIA_TYPE,
        }
    }
}

/// `GET /api/v1/stream/alerts`: NDJSON or FlatBuffers where the client asks for it, else
/// server-sent events.
pub(crate) async fn negotiated(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let accept = request.headers().get(header::ACCEPT);
    let accept = accept
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let others = [Format::Ndjson, Format::Flatbuffers];
    let wanted = others
        .into_iter()
        .find(|format| accept.contains(format.media_type()));
    open(&request, state, wanted.unwrap_or(Format::Sse)).await
}

/// `GET /api/v1/stream/alerts.ndjson`
pub(crate) async fn ndjson(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    open(&request, state, Format::Ndjson).await
}

async fn open(
    request: &HttpRequest,
    state: web::Data<State>,
    format: Format,
) -> Result<HttpResponse, Problem> {
    let params = Params::read(request, &["after", "level", "state", "format"])?;
    let provisional = params.parsed("state", "one of confirmed, all", |text| match text {
        "confirmed" => Some(false),
        "all" => Some(true),
        _ => None, // Any other text is no such word.
    })?;
    let ocsf = params.parsed("format", "one of weir, ocsf", |text| match text {
        "weir" => Some(false),
        "ocsf" if format != Format::Flatbuffers => Some(true),
        _ => None, // Any other text is no such word.
    })?;
    let filter = OutboxFilter {
        level_min: params.level()?,
        provisional: provisional.unwrap_or(false),
        ..OutboxFilter::default()
    };
    let after = read_cursor(request, &params)?;
    let Ok(permit) = state.streams.clone().try_acquire_owned() else {
        return Err(Problem::busy(
            "as many alert streams are open as may be",
            10,
        ));
    };
    let seat = Seat::new(format, &state.metrics, permit);
    let cursor = match after {
        Some(cursor) => cursor,
        None => {
            let alerts = state.ports.alerts.clone();
            web::block(move || alerts.latest()).await??
        }
    };
    let listener = Listener {
        format,
        ocsf: ocsf.unwrap_or(false),
        filter,
        cursor,
        known: cursor,
        greeted: false,
        beat_at: Instant::now() + state.options.heartbeat,
        news: state.ports.feed.subscribe(),
        stopped: state.stopped.clone(),
        ending: Ending::new(format.name(), &state.metrics),
        state,
        _seat: seat,
    };
    Ok(HttpResponse::Ok()
        .content_type(format.media_type())
        .insert_header((CURSOR_HEADER, cursor.to_string()))
        .insert_header(("x-accel-buffering", "no")) // proxies hold nothing back
        .force_close()
        .streaming(futures_util::stream::unfold(listener, Listener::chunk)))
}

/// What a client that comes back sends of itself decides over the address that it was given.
fn read_cursor(request: &HttpRequest, params: &Params) -> Result<Option<Cursor>, Problem> {
    let refused = |place: &str| {
        let detail = format!("{place} is not a cursor; cursors are `<epoch>-<n>`, or 0-0 for all");
        Problem::bad_request(detail)
    };
    match request.headers().get("last-event-id") {
        Some(value) if !value.is_empty() => {
            let cursor = value.to_str().ok().and_then(Cursor::parse);
            cursor
                .map(Some)
                .ok_or_else(|| refused("header `Last-Event-ID`"))
        }
        _ => match params.one("after") {
            Some(text) => Cursor::parse(text)
                .map(Some)
                .ok_or_else(|| refused("`after`")),
            None => Ok(None),
        },
    }
}

/// The right to listen, counted while it is held.
struct Seat {
    format: Format,
    metrics: WebMetrics,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    fn new(format: Format, metrics: &WebMetrics, permit: OwnedSemaphorePermit) -> Self {
        metrics
            .subscribers
            .with_label_values(&[format.name()])
            .inc();
        Self {
            format,
            metrics: metrics.clone(),
            _permit: permit,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.metrics
            .subscribers
            .with_label_values(&[self.format.name()])
            .dec();
    }
}

/// One open stream.
struct Listener {
    format: Format,
    /// Whether changes are told as findings.
    ocsf: bool,
    filter: OutboxFilter,
    /// Everything up to here has been read.
    cursor: Cursor,
    /// The cursor that the client holds; behind `cursor` while rows are withheld.
    known: Cursor,
    greeted: bool,
    beat_at: Instant,
    news: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
    ending: Ending,
    state: web::Data<State>,
    _seat: Seat,
}

/// Rows as they are written, and how far they reach.
struct Read {
    bytes: Vec<u8>,
    said: u64,
    last: Option<Cursor>,
    last_said: Option<Cursor>,
    /// Rows had gone; the bytes begin by saying so.
    has_gap: bool,
    /// There may be more at once.
    full: bool,
}

impl Listener {
    /// The next chunk, or the end.
    async fn chunk(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        self.ending.asked();
        match self.next().await {
            Ok(chunk) => {
                self.ending.handed();
                Some((Ok(chunk), self))
            }
            Err(why) => {
                self.ending.over(why);
                None
            }
        }
    }

    /// Waits for something to say; fails where the server, the feed or the ledger's patience ends.
    async fn next(&mut self) -> Result<Bytes, Why> {
        if !self.greeted {
            self.greeted = true;
            if let Some(hello) = self.greeting() {
                return Ok(hello);
            }
        }
        loop {
            if *self.stopped.borrow() {
                return Err(Why::Stopped);
            }
            // Marked as seen before the read: rows that come meanwhile wake us again.
            self.news.borrow_and_update();
            let read = self.read().await.map_err(|error| {
                tracing::warn!(%error, "an alert stream ends early");
                Why::Failed
            })?;
            self.cursor = read.last.unwrap_or(self.cursor);
            if !read.bytes.is_empty() {
                self.known = read.last_said.unwrap_or(self.known);
                self.count(&read);
                self.rest();
                return Ok(read.bytes.into());
            }
            let more = read.full || self.news.has_changed().unwrap_or(false);
            if more && Instant::now() < self.beat_at {
                continue;
            }
            tokio::select! {
                biased;
                _ = self.stopped.changed() => return Err(Why::Stopped),
                () = tokio::time::sleep_until(self.beat_at) => {
                    let beat = self.heartbeat();
                    self.rest();
                    return Ok(beat);
                }
                changed = self.news.changed() => changed.map_err(|_| Why::Stopped)?,
            }
        }
    }

    fn count(&self, read: &Read) {
        let format = [self.format.name()];
        let metrics = &self.state.metrics;
        metrics.rows.with_label_values(&format).inc_by(read.said);
        if read.has_gap {
            metrics.gaps.with_label_values(&format).inc();
        }
    }

    fn read(&self) -> impl Future<Output = Result<Read, PortError>> + use<> {
        let alerts = self.state.ports.alerts.clone();
        let (filter, format, after) = (self.filter.clone(), self.format, self.cursor);
        let finding = self.ocsf.then(|| self.state.ports.finding.clone());
        let read = web::block(move || {
            let OutboxRows { changes, has_gap } = alerts.outbox(after, ROWS_MAX)?;
            let mut read = Read {
                bytes: Vec::new(),
                said: 0,
                last: changes.last().map(Cursor::of),
                last_said: None,
                has_gap,
                full: changes.len() >= ROWS_MAX,
            };
            if has_gap {
                let to = changes.first().map_or(after, Cursor::of);
                read.bytes = gap(format, after, to);
            }
            for change in &changes {
                let Some(kind) = filter.word(alerts.as_ref(), change)? else {
                    continue;
                };
                let cursor = Cursor::of(change);
                let json = || match &finding {
                    Some(finding) => finding(change, kind),
                    None => change_json_as(change, kind),
                };
                // Writing to memory cannot fail.
                let _ = match format {
                    Format::Sse => {
                        let (event, json) = (kind.name(), json());
                        write!(read.bytes, "id: {cursor}\nevent: {event}\ndata: {json}\n\n")
                    }
                    Format::Ndjson => writeln!(read.bytes, "{}", json()),
                    Format::Flatbuffers => read.bytes.write_all(&alert_frame::encode(change, kind)),
                };
                read.said += 1;
                read.last_said = Some(cursor);
            }
            Ok(read)
        });
        async {
            read.await
                .unwrap_or_else(|error| Err(PortError::Failed(error.to_string())))
        }
    }

    /// An id without data moves the client's cursor and dispatches nothing.
    fn greeting(&self) -> Option<Bytes> {
        match self.format {
            Format::Sse => Some(
                format!("retry: {RETRY_MS}\nid: {}\n\n", self.cursor)
                    .into_bytes()
                    .into(),
            ),
            Format::Ndjson | Format::Flatbuffers => None,
        }
    }

    /// Shows that the stream lives, and moves the client's cursor past what was withheld.
    fn heartbeat(&mut self) -> Bytes {
        let moved = self.cursor != self.known;
        self.known = self.cursor;
        match self.format {
            Format::Sse if moved => format!(":\nid: {}\n\n", self.cursor).into_bytes().into(),
            Format::Sse => Bytes::from_static(b":\n\n"),
            Format::Ndjson => Bytes::from_static(b"\n"),
            // A frame of no length.
            Format::Flatbuffers => Bytes::from_static(&[0; 4]),
        }
    }

    fn rest(&mut self) {
        self.beat_at = Instant::now() + self.state.options.heartbeat;
    }
}

/// Says that the rows behind `from` and before `to` have gone. It carries no id: who is cut off
/// before the next row is told again.
fn gap(format: Format, from: Cursor, to: Cursor) -> Vec<u8> {
    let (first, next) = (from.to_string(), to.to_string());
    match format {
        Format::Sse => {
            let data = json!({ "from": first, "to": next, "catch_up": CATCH_UP });
            format!("event: gap\ndata: {data}\n\n").into_bytes()
        }
        Format::Ndjson => {
            let row = json!({ "change": "gap", "from": first, "to": next, "catch_up": CATCH_UP });
            format!("{row}\n").into_bytes()
        }
        Format::Flatbuffers => alert_frame::encode_gap(from, to),
    }
}
