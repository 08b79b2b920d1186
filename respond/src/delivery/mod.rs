//! Delivery: which row of the outbox a sink still has to deliver, and when.
//!
//! ```text
//! Responders (a thread) ──► SinkTask, one a sink ──► DeliveryQueue: order, retries, dead letters
//!                             │ reader: outbox rows     │ checkpoint ──► journal
//!                             └──► Consumer: format and transport
//! ```

pub(crate) mod position;

pub(crate) mod queue;

pub(crate) mod requests;

pub(crate) mod activity;

mod change;

mod reader;

mod consumer;

mod task;

pub(crate) mod responders;

#[cfg(test)]
mod tests;
