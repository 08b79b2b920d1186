//! Alerts as a differential collection: what correlations say, joined with the rules that stand.
//!
//! A rule's removal takes its row away, and with it every alert of the rule, settled or not. What
//! windows forget stays here: forgetting takes nothing back.

use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::Stream;
use weir_schema::{AlertRow, Level};

use crate::decode::RuleRow;

/// The alerts that stand, each with the level of the version that said it.
pub fn alerts<'scope>(
    rows: Stream<'scope, u64, Vec<(Arc<AlertRow>, u64, isize)>>,
    rules: Stream<'scope, u64, Vec<(RuleRow, u64, isize)>>,
) -> VecCollection<'scope, u64, (Arc<AlertRow>, Level)> {
    rows.as_collection()
        .map(|row| ((row.plan, row.placed, row.version), row))
        .join_map(rules.as_collection(), |_plan, row, level| {
            (Arc::clone(row), *level)
        })
}
