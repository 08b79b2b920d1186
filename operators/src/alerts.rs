//! Alerts as a differential collection: the rows of correlations, joined with the rules in force.

use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::Stream;
use weir_schema::{AlertRow, Level};

use crate::decode::RuleRow;

/// Joins each standing row with the level of the version that emitted it.
///
/// **Invariant.** The removal of a rule retracts its rule rows, and with them all alerts of the
/// rule, settled or not. The state that windows forget stays here: forgetting retracts nothing.
///
/// **Cost.** One differential join; both arrangements grow with the standing rows.
pub fn alerts<'scope>(
    rows: Stream<'scope, u64, Vec<(Arc<AlertRow>, u64, isize)>>,
    rules: Stream<'scope, u64, Vec<(RuleRow, u64, isize)>>,
) -> VecCollection<'scope, u64, (Arc<AlertRow>, Level)> {
    rows.as_collection()
        .map(|row| ((row.plan, row.plan_epoch, row.version), row))
        .join_map(rules.as_collection(), |_plan, row, level| {
            (Arc::clone(row), *level)
        })
}
