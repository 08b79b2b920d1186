//! The parts of the `weir` binary: wiring, and the verbs that people type; a library so that tests
//! can drive them.

pub mod cli;

pub mod cluster;

pub mod config;

pub mod detection;
pub mod token;

pub mod topology;

pub mod opening;

pub mod adapters;
pub mod builtin;
pub mod explain;
pub mod metrics;
pub mod observe;
pub mod responders;
pub mod rule_desk;
pub mod rules;

pub mod completions;
pub mod health;
pub mod init;
pub mod notify;
pub mod past;
pub mod progress;
pub mod run;
pub mod scrape;
pub mod tap;
pub mod top;

pub mod tell;

pub mod replay;

pub mod check;
pub mod demo;
pub mod doors;
pub mod explain_alert;
mod http;
pub mod send;
pub mod sinks;
pub mod trial_metrics;
pub mod verify;
pub mod what_if;
