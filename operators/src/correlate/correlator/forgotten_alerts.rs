//! Alerts that were forgotten while a what-if ran; its promotion still has to replace their rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{AlertId, AlertRow};

use crate::correlate::shard::shard_of;

/// Most forgotten alerts of one plan in one shard of its groups.
///
/// Further ones are counted, and their rows stay as they are. The limit is per shard because then
/// any number of workers retains the same alerts.
const SHARD_ALERTS_MAX: usize = 2_000;

/// The forgotten alerts of a shadow, and those of the plan that it copies.
#[derive(Debug, Default)]
pub(super) struct ForgottenAlerts {
    /// Rows of the live plan.
    pub live: ForgottenRows,
    /// Rows of the shadow.
    pub own: ForgottenRows,
}

/// Forgotten rows by alert, limited per shard.
#[derive(Debug, Default)]
pub(super) struct ForgottenRows {
    pub rows: BTreeMap<AlertId, Arc<AlertRow>>,
    shard_counts: BTreeMap<usize, usize>,
}

impl ForgottenRows {
    /// Retains a row. Returns false if its shard has too many.
    pub fn insert(&mut self, row: &Arc<AlertRow>) -> bool {
        if let Some(known) = self.rows.get_mut(&row.alert) {
            known.clone_from(row);
            return true;
        }
        let count = self.shard_counts.entry(shard_of(&row.group)).or_default();
        if *count >= SHARD_ALERTS_MAX {
            return false;
        }
        *count += 1;
        self.rows.insert(row.alert, Arc::clone(row));
        true
    }
}
