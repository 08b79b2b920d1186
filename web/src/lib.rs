//! The HTTP server of Weir: it accepts events, serves alerts and streams their changes.
//!
//! ```text
//! shippers ─ POST events ─► guard ─► intake port ─► (journal)
//! people ─── GET alerts ──► guard ─► alerts port ─► (ledger)
//! sinks ──── GET stream ──► guard ─► outbox signal wakes; alerts port reads from the cursor
//! ```
//!
//! Modules, lowest first: [`ports`]; `problem`, `query`, `metrics`; `bodies`; `state`; then `api`,
//! `collect` and `stream`, which do not know each other; `server` assembles them.
//!
//! Invariants:
//! - Nothing here knows the store, the graph or the journal; it knows only [`ports`].
//! - Every route needs the token, except `server::routes::OPEN_ROUTES`.
//! - A stream holds a cursor, never a queue.

pub mod ports;
pub use ports::WebPorts;

mod problem;
mod query;

mod time;
pub use time::rfc3339;

mod alert_json;
pub use alert_json::{change_json, change_json_as, record_json};

mod metrics;
pub use metrics::WebMetrics;

mod address;
mod bodies;

mod state;
pub use state::{ApiToken, WebOptions};

mod api;
pub use api::what_if_json;

mod collect;
pub use collect::COLLECTOR_ROUTES;
#[doc(hidden)]
pub use collect::fuzz;

mod stream;

mod server;
pub use server::{ROUTES, WebHandle, descriptors_max, serve};
