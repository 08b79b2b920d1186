//! The verbs of the command line, one module each, and what several of them share.

pub mod cli;

pub mod run;

pub mod check;
pub mod demo;
pub mod init;

pub mod replay;
pub mod state;
pub mod test;
pub mod verify;

pub mod rules;
pub mod what_if;

pub mod explain;
pub mod health;
pub mod send;
pub mod sinks;
pub mod tap;
pub mod top;

pub mod completions;

pub mod client;
pub mod diagnostics;
pub mod input;
pub mod overrides;
pub mod scrape;

#[cfg(test)]
mod hostile;
