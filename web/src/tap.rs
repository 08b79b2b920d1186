//! `GET /api/v1/tap`: what passes a stage, now, filtered and bounded.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use tokio::time::Instant;

use crate::ends::{Ending, Why};
use crate::ports::{Tap, TapQuery, TapStage};
use crate::problem::Problem;
use crate::query::Params;
use crate::server::State;

/// Rows of a tap, unless it asks for fewer.
const ROWS_DEFAULT: usize = 1_000;
const ROWS_MAX: usize = 100_000;
/// A tap ends by itself after so long, unless it asks for less.
const SECONDS_MAX: u64 = 3_600;
const SECONDS_DEFAULT: u64 = 60;
/// How long one look at the journal waits for something to come.
const LOOK: Duration = Duration::from_millis(500);
/// Longest value of a filter.
const FILTER_BYTES_MAX: usize = 1_024;

const PARAMS: [&str; 9] = [
    "stage", "tenant", "source", "rule", "field", "text", "problem", "limit", "seconds",
];

/// Opens a tap; the answer is NDJSON, and its last row says what was left out.
pub(crate) async fn open(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let params = Params::read(&request, &PARAMS)?;
    let (query, seconds) = read_query(&params)?;
    let taps = state.ports.taps.clone();
    let tap = web::block(move || taps.open(query)).await??;
    let listener = Listener {
        tap: Some(tap),
        until: Instant::now() + Duration::from_secs(seconds),
        beat: state.options.heartbeat,
        beat_at: Instant::now() + state.options.heartbeat,
        ending: Ending::new("tap", &state.metrics),
        state,
    };
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header(("x-accel-buffering", "no"))
        .force_close()
        .streaming(futures_util::stream::unfold(listener, Listener::chunk)))
}

fn read_query(params: &Params) -> Result<(TapQuery, u64), Problem> {
    let text = |name: &str| {
        let value = params.one(name).map(str::to_owned);
        match value {
            Some(value) if value.len() > FILTER_BYTES_MAX => Err(Problem::bad_request(format!(
                "parameter {name:?} is longer than {FILTER_BYTES_MAX} bytes"
            ))),
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
                return Err(Problem::bad_request(
                    "parameter \"field\" is not NAME=VALUE",
                ));
            }
        },
    };
    let limit = params.parsed("limit", "a number from 1 to 100000", |text| {
        let limit = text.parse().ok()?;
        (1..=ROWS_MAX).contains(&limit).then_some(limit)
    })?;
    let seconds = params.parsed("seconds", "a number from 1 to 3600", |text| {
        let seconds = text.parse().ok()?;
        (1..=SECONDS_MAX).contains(&seconds).then_some(seconds)
    })?;
    let query = TapQuery {
        stage: stage.unwrap_or(TapStage::Events),
        tenant: text("tenant")?,
        source: text("source")?,
        rule: text("rule")?,
        field,
        text: text("text")?,
        problem: text("problem")?,
        limit: limit.unwrap_or(ROWS_DEFAULT),
    };
    Ok((query, seconds.unwrap_or(SECONDS_DEFAULT)))
}

/// One open tap.
struct Listener {
    /// `None` once its last row is said.
    tap: Option<Box<dyn Tap>>,
    until: Instant,
    beat: Duration,
    beat_at: Instant,
    ending: Ending,
    state: web::Data<State>,
}

impl Listener {
    /// The next chunk, or the end.
    async fn chunk(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        self.ending.asked();
        match self.next().await {
            Ok(text) => {
                match self.tap {
                    Some(_) => self.ending.handed(),
                    None => self.ending.over(Why::Done),
                }
                Some((Ok(text.into()), self))
            }
            Err(why) => {
                self.ending.over(why);
                None
            }
        }
    }

    /// Waits for rows, or for the time to show that it lives.
    async fn next(&mut self) -> Result<String, Why> {
        loop {
            let mut tap = self.tap.take().ok_or(Why::Done)?;
            if *self.state.stopped.borrow() || Instant::now() >= self.until {
                return Ok(tap.end());
            }
            let looked = web::block(move || {
                let rows = tap.next(LOOK);
                (tap, rows)
            });
            let (mut tap, rows) = looked.await.map_err(|_| Why::Stopped)?;
            let rows = rows.map_err(|error| {
                tracing::warn!(%error, "a tap ends early");
                Why::Failed
            })?;
            if tap.is_done() {
                return Ok(rows + &tap.end());
            }
            self.tap = Some(tap);
            if !rows.is_empty() || Instant::now() >= self.beat_at {
                self.beat_at = Instant::now() + self.beat;
                return Ok(if rows.is_empty() { "\n".into() } else { rows });
            }
        }
    }
}
