//! Checks of properties that must hold for any bytes.
//!
//! The targets run them on the input of the fuzzer, and a test of the workspace on the seeds.

pub mod answers;
pub mod collect;
pub mod damage;
pub mod files;
pub mod framing;
pub mod journal;
pub mod parse;
pub mod rules;
pub mod settings;
pub mod values;
