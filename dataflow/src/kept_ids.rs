//! The ids that alerts keep in the ledger although the graph has given them others.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{AlertId, AlertRow};

/// A permutation of alert ids: from those of the graph to those of the ledger.
///
/// An alert that stands in two readings of the journal, under different keys, keeps the id under
/// which it was first told. Since no two ids of the graph share one of the ledger, an alert that
/// gets the freed id later is another alert in the ledger too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptIds {
    ids: BTreeMap<AlertId, AlertId>,
    /// From the ids of the ledger to those of the graph.
    inverse: BTreeMap<AlertId, AlertId>,
}

impl KeptIds {
    /// A permutation from its stored pairs.
    #[must_use]
    pub fn new(ids: BTreeMap<AlertId, AlertId>) -> Self {
        let inverse = ids.iter().map(|(graph, ledger)| (*ledger, *graph));
        let inverse = inverse.collect();
        Self { ids, inverse }
    }

    /// All pairs, from graph to ledger.
    #[must_use]
    pub fn ids(&self) -> &BTreeMap<AlertId, AlertId> {
        &self.ids
    }

    /// The id in the ledger of an alert of the graph.
    #[must_use]
    pub fn id(&self, alert: AlertId) -> AlertId {
        self.ids.get(&alert).copied().unwrap_or(alert)
    }

    /// Gives `alert` of the graph the id `kept`; the alert that had it gets the id freed.
    pub fn keep(&mut self, alert: AlertId, kept: AlertId) {
        let freed = self.id(alert);
        let other = self.inverse.get(&kept).copied().unwrap_or(kept);
        for (graph, ledger) in [(other, freed), (alert, kept)] {
            self.ids.insert(graph, ledger);
            self.inverse.insert(ledger, graph);
        }
    }

    /// The row with the ids of the ledger.
    #[must_use]
    pub fn row(&self, row: &Arc<AlertRow>) -> Arc<AlertRow> {
        let is_own = |alert: &AlertId| self.id(*alert) == *alert;
        if self.ids.is_empty() || (is_own(&row.alert) && row.supersedes.iter().all(is_own)) {
            return Arc::clone(row);
        }
        let mut kept = AlertRow::clone(row);
        kept.alert = self.id(row.alert);
        for alert in &mut kept.supersedes {
            *alert = self.id(*alert);
        }
        Arc::new(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every sequence of four wishes over three ids: no two alerts share an id, and the last wish
    /// for an id holds.
    #[test]
    fn ids_stay_a_permutation() {
        for mut sequence in 0..9_u64.pow(4) {
            let mut kept = KeptIds::default();
            for _ in 0..4 {
                let (alert, id) = (sequence % 3, sequence / 3 % 3);
                sequence /= 9;
                let (alert, id) = (AlertId([0, alert]), AlertId([0, id]));
                kept.keep(alert, id);
                assert_eq!(kept.id(alert), id);
                let ids: BTreeSet<_> = (0..3).map(|n| kept.id(AlertId([0, n]))).collect();
                assert_eq!(ids.len(), 3, "{kept:?}");
                assert_eq!(KeptIds::new(kept.ids().clone()), kept);
            }
        }
    }
}
