//! What must hold of any bytes: the targets run it on what the fuzzer makes up, a test of the
//! workspace on the seeds.

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
