//! Seeded generator of companies, loads and intrusions, with the alerts that each must raise.
//!
//! The demo, the tests and the benchmarks send the same traffic. The generator never runs a rule,
//! a parser or the graph: the expected alerts follow from the events that it planted.

pub mod random;

pub mod lines;

pub mod catalogue;

mod scenario;

pub mod company;

mod script;

mod intrusion;

mod near_misses;

mod background;

mod plan;

pub mod load;

pub mod order;

pub use company::Company;
pub use scenario::{
    AgentRecord, DeliveryPayload, DeliveryTransport, ExpectedAlert, ExpectedDetection,
    PlannedDelivery, Scenario,
};
