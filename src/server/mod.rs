//! The server: its parts in flow order, and the adapters that join the crates to one another.

pub mod topology;

pub mod parts;

pub mod opening;

pub mod ledger;
pub mod quarantine;

pub mod adapters;
pub mod web_ports;

pub mod listeners;

pub mod observers;
pub mod printer;

pub mod sinks;

pub mod taps;

pub mod descriptors;
pub mod explain;

pub mod budget;
pub mod health;
pub mod unread;

pub mod clock;
pub mod clock_metrics;
pub mod clock_watch;
pub mod conditions;

pub mod run_marks;
pub mod stop_guard;
pub mod stopping;

pub mod backfill;

pub mod cluster;
pub mod derive;
pub mod edits_ahead;
pub mod elsewhere;
pub mod graph_ports;

pub mod metrics;
pub mod what_if_metrics;

pub mod notify;
pub mod signals;
pub mod token;
