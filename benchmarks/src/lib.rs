//! Benchmarks, and the fact and login streams that only they need.
//!
//! Lines, companies and loads come from `weir-scenario`.

pub mod facts;

pub mod logins;

pub mod machine;

pub mod metrics;

pub mod http;

pub mod server;
