//! The state of a plan while its backfill takes several epochs.

use std::collections::BTreeMap;

use weir_schema::{EventTime, TenantKey};

use super::slots::GroupSlot;

/// The groups whose evaluation waits for the end of a backfill.
#[derive(Clone, Debug, Default)]
pub struct BackfillBuffer {
    /// The settled line of each tenant when the backfill began.
    lines: BTreeMap<TenantKey, EventTime>,
    /// The groups that received facts since then.
    pub touched: Vec<GroupSlot>,
}

impl BackfillBuffer {
    pub fn new(lines: BTreeMap<TenantKey, EventTime>) -> Self {
        Self {
            lines,
            touched: Vec::new(),
        }
    }

    /// A buffer with the same settled lines and no groups, for a copy of the plan.
    pub fn copy_lines(&self) -> Self {
        Self::new(self.lines.clone())
    }

    /// The settled line of `tenant` when the backfill began.
    pub fn settled_line(&self, tenant: TenantKey) -> Option<EventTime> {
        self.lines.get(&tenant).copied()
    }
}
