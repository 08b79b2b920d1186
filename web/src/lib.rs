//! The HTTP face of Weir: events in, alerts and their corrections out, for people and tools.
//!
//! ```text
//! tools ── POST events ──► guard ──► intake port ──► (journal)
//! people ─ GET alerts ───► guard ──► alerts port ──► (ledger)
//! sinks ── GET stream ───► guard ──► feed port wakes, alerts port is read from the sink's cursor
//! ```
//!
//! Invariants: nothing here knows the store, the graph or the journal, only [`ports`]; every answer
//! but the two health routes needs the token; a stream holds a cursor, never a queue.

pub mod ports;

mod server;
pub use server::{Ports, Token, WebHandle, WebOptions, serve};

mod crowd;
mod guard;
mod problem;
mod query;
mod routes;
mod unread;

mod collect;
pub use collect::COLLECTOR_ROUTES;
#[doc(hidden)]
pub use collect::door;

mod events;

mod alerts;
mod ends;
mod rules;
mod sinks;
mod stream;
mod tap;
mod what_if;
pub use what_if::what_if_json;

mod health;

mod time;
pub use time::rfc3339;

mod base64;
mod wire;
pub use wire::{change_json, change_json_as, record_json};

mod metrics;
pub use metrics::WebMetrics;

pub use routes::ROUTES;
