//! The routes of the API that read and change alerts, rules, what-ifs, sinks and sources.

pub(crate) mod alerts;
pub(crate) mod health;
mod rule_update;
pub(crate) mod rules;
pub(crate) mod sinks;
pub(crate) mod sources;
pub(crate) mod what_if;

pub use what_if::what_if_json;
