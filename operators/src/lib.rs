//! The operators of the graph: collections in, collections out. No I/O, no clock, no lock, no actor.


pub mod clock;

pub mod correlate;


pub mod reference;

pub use clock::{Clock, Clocks, clocks};
pub use correlate::{Correlator, Directive, correlate};
