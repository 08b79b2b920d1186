//! Reference operators: what must stand, computed by plain loops over everything that was admitted.
//!
//! Each file is the oracle of one operator. An oracle is written from the definitions, for clarity
//! alone: its only state is its input, nothing is incremental and nothing is forgotten. It imports
//! only schema and shares no code with the operator that it judges.

mod conditions;
mod correlate;

pub use conditions::{StandingCondition, standing_conditions};
pub use correlate::{PlanStep, Reference, ReferenceClock, StandingAlert};
