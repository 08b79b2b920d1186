//! The parts of the `weir` binary: the server, the verbs and the configuration.
//!
//! It is a library so that tests can run the parts; nothing else uses it.

pub mod config;

pub mod builtin;

pub mod console;
pub mod exit;
pub mod log;
pub mod progress;
pub mod text;

pub mod server;

pub mod verbs;
