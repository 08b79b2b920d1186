//! `GET /api/v1/tap`: live rows of a pipeline stage, filtered and limited.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use tokio::time::Instant;

use super::end::{EndReason, EndRecorder};
use crate::ports::{Tap, TapQuery, TapStage};
use crate::problem::ProblemDetails;
use crate::query::QueryParams;
use crate::state::AppState;

/// Default number of rows after which a tap ends.
const ROWS_DEFAULT: usize = 1_000;
const ROWS_MAX: usize = 100_000;
/// Maximum duration of a tap.
const SECONDS_MAX: u64 = 3_600;
/// Default duration of a tap.
const SECONDS_DEFAULT: u64 = 60;
/// Longest wait of one read for rows.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// Longest value of a filter.
const FILTER_BYTES_MAX: usize = 1_024;

const PARAMS: [&str; 9] = [
    "stage", "tenant", "source", "rule", "field", "text", "problem", "limit", "seconds",
];

/// Opens a tap. The answer is NDJSON; its last row counts the rows that were skipped.
pub(crate) async fn open(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let params = QueryParams::read(&request, &PARAMS)?;
    let (query, duration) = (read_query(&params)?, read_duration(&params)?);
    let taps = state.ports.taps.clone();
    let tap = web::block(move || taps.open(query)).await??;
    let stream = TapStream {
        tap: Some(tap),
        until: Instant::now() + duration,
        heartbeat_at: Instant::now() + state.options.heartbeat,
        end: EndRecorder::new("tap", &state.metrics),
        state,
    };
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header(("x-accel-buffering", "no"))
        .force_close()
        .streaming(futures_util::stream::unfold(stream, TapStream::chunk)))
}

fn read_query(params: &QueryParams) -> Result<TapQuery, ProblemDetails> {
    let text = |name: &str| {
        let value = params.one(name).map(str::to_owned);
        match value {
            Some(value) if value.len() > FILTER_BYTES_MAX => Err(ProblemDetails::bad_request(
                format!("parameter {name:?} is longer than {FILTER_BYTES_MAX} bytes"),
            )),
            value => Ok(value),
        }
    };
    let stage = params.parsed(
        "stage",
        "one of frames, events, matches, facts, alerts",
        TapStage::parse,
    )?;
    let field = match text("field")? {
        None => None,
        Some(field) => match field.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => {
                return Err(ProblemDetails::bad_request(
                    "parameter \"field\" is not NAME=VALUE",
                ));
            }
        },
    };
    let limit = params.parsed("limit", "a number from 1 to 100000", |text| {
        let limit = text.parse().ok()?;
        (1..=ROWS_MAX).contains(&limit).then_some(limit)
    })?;
    Ok(TapQuery {
        stage: stage.unwrap_or(TapStage::Events),
        tenant: text("tenant")?,
        source: text("source")?,
        rule: text("rule")?,
        field,
        text: text("text")?,
        problem: text("problem")?,
        limit: limit.unwrap_or(ROWS_DEFAULT),
    })
}

fn read_duration(params: &QueryParams) -> Result<Duration, ProblemDetails> {
    let seconds = params.parsed("seconds", "a number from 1 to 3600", |text| {
        let seconds = text.parse().ok()?;
        (1..=SECONDS_MAX).contains(&seconds).then_some(seconds)
    })?;
    Ok(Duration::from_secs(seconds.unwrap_or(SECONDS_DEFAULT)))
}

/// One open tap.
struct TapStream {
    /// `None` once its last row was returned.
    tap: Option<Box<dyn Tap>>,
    until: Instant,
    heartbeat_at: Instant,
    end: EndRecorder,
    state: web::Data<AppState>,
}

impl TapStream {
    /// Returns the next chunk; `None` at the end.
    async fn chunk(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        self.end.chunk_requested();
        match self.next().await {
            Ok(text) => {
                match self.tap {
                    Some(_) => self.end.chunk_sent(),
                    None => self.end.finish(EndReason::Done),
                }
                Some((Ok(text.into()), self))
            }
            Err(reason) => {
                self.end.finish(reason);
                None
            }
        }
    }

    /// Waits for rows or for the time of a heartbeat; fails when the tap ends.
    async fn next(&mut self) -> Result<String, EndReason> {
        loop {
            let mut tap = self.tap.take().ok_or(EndReason::Done)?;
            if *self.state.stopped.borrow() || Instant::now() >= self.until {
                return Ok(tap.end());
            }
            let read = web::block(move || {
                let rows = tap.next(READ_TIMEOUT);
                (tap, rows)
            });
            let (mut tap, rows) = read.await.map_err(|_| EndReason::Stopped)?;
            let rows = rows.map_err(|error| {
                tracing::warn!(%error, "reading a tap failed; it ends early");
                EndReason::Failed
            })?;
            if tap.is_done() {
                return Ok(rows + &tap.end());
            }
            self.tap = Some(tap);
            if !rows.is_empty() || Instant::now() >= self.heartbeat_at {
                self.heartbeat_at = Instant::now() + self.state.options.heartbeat;
                return Ok(if rows.is_empty() { "\n".into() } else { rows });
            }
        }
    }
}
