//! The one seeded generator behind benchmarks, soak runs and demo: lines, facts, and their answers.
//!
//! A generator never runs a rule, a parser or the graph. What it expects follows from what it
//! planted.

pub mod random;

pub mod lines;

pub mod catalogue;

pub mod scenario;

mod script;

mod intrusion;

mod near_misses;

mod background;

pub mod company;

pub mod load;

pub mod facts;

pub mod logins;

pub mod order;

pub mod machine;

pub mod metrics;

pub mod http;

pub mod server;
