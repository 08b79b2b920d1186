//! Answers without a fixed end: alert streams and taps.

mod alert_stream;
pub(crate) mod alerts;
mod end;
mod rows;
pub(crate) mod tap;
