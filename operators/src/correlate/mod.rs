//! Exact correlation in event time: facts, plans and clocks in; changes of alert rows out.
//!
//! A fact records that an event matches a member of a plan. The facts of a plan are divided into
//! groups; each group is evaluated by itself, at the anchors that new facts can change.
//!
//! | term | meaning here |
//! |---|---|
//! | anchor | an event at which the trailing window of a plan is evaluated |
//! | firing | an anchor at which the condition holds |
//! | episode | firing anchors whose gaps are no longer than the timespan: one alert |
//! | settled line | event time before which nothing changes any more |
//! | stage | plans whose facts pass through the same number of other plans |
//! | shadow | a plan of a what-if, run beside the live plans |

// The operator, and what it exchanges with its neighbours.
mod directive;
mod operator;
mod output;
mod stage_update;

// The correlator: all plans and groups of a worker.
mod correlator;

mod alert_emitter;
mod calendar;
mod chain_report;
mod group_store;
mod meter;
mod plan_table;

// One group, and the evaluation of its windows.
mod condition;
mod episode;
mod evidence;
mod extra_weights;
mod group;
mod marked_times;
mod members;
mod order;
mod percentile;
mod run;
mod values;
mod window_cache;

// Small types that the others share.
mod backfill_buffer;
mod chain_state;
mod fault;
mod pending;
mod range;
mod shard;
mod slots;

#[cfg(test)]
mod tests;

pub use correlator::{Correlator, GROUPS_MAX};
pub use directive::Directive;
pub use operator::{CorrelateNote, CorrelateStreams, correlate};
pub use output::{CorrelationCounts, CorrelatorOutput, WhatIfOutput};
pub use shard::{SHARDS, route};
pub use stage_update::StageUpdate;
