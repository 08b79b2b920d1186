//! Outages of the ports: which port fails, since when and why. Health checks read them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::port::PortFault;

/// Pause between two log lines about the same outage.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// A call of the graph that can fail for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortCall {
    /// The feeder reads epochs, and batches for backfills.
    ReadEpoch,
    /// The committer reads batches, for the texts of alerts.
    ReadEvidence,
    /// The committer writes the ledger.
    WriteLedger,
}

/// A call that has failed since its last success, and is being retried.
#[derive(Clone, Debug)]
pub struct Outage {
    pub call: PortCall,
    pub since: Instant,
    /// The last failure.
    pub message: String,
    logged: Instant,
}

/// The outages at present, at most one for each call.
#[derive(Debug, Default)]
pub(crate) struct Outages(Mutex<BTreeMap<PortCall, Outage>>);

impl Outages {
    /// Records a failure at `now`. Returns whether to log it: the first one, then one a minute.
    pub fn record(&self, call: PortCall, fault: &PortFault, now: Instant) -> bool {
        let mut outages = self.lock();
        let Some(outage) = outages.get_mut(&call) else {
            let message = fault.message.clone();
            let (since, logged) = (now, now);
            let outage = Outage {
                call,
                since,
                message,
                logged,
            };
            outages.insert(call, outage);
            return true;
        };
        outage.message.clone_from(&fault.message);
        let is_due = now.saturating_duration_since(outage.logged) >= LOG_EVERY;
        if is_due {
            outage.logged = now;
        }
        is_due
    }

    /// Removes the outage of a call that succeeded.
    pub fn end(&self, call: PortCall) -> Option<Outage> {
        self.lock().remove(&call)
    }

    /// The outage that has lasted longest.
    pub fn longest(&self) -> Option<Outage> {
        let outages = self.lock();
        outages.values().min_by_key(|outage| outage.since).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PortCall, Outage>> {
        // Entries are replaced whole, so a panic elsewhere leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_logged_once_a_minute_and_ends_with_a_success() {
        let outages = Outages::default();
        let start = Instant::now();
        let fault = PortFault::transient("input/output error");
        let record = |seconds| {
            let now = start + Duration::from_secs(seconds);
            outages.record(PortCall::ReadEpoch, &fault, now)
        };
        let logged: Vec<bool> = [0, 1, 59, 60, 61, 120].map(record).to_vec();
        assert_eq!(logged, [true, false, false, true, false, true]);
        let later = start + Duration::from_secs(3);
        assert!(outages.record(PortCall::WriteLedger, &fault, later));
        let longest = outages.longest().expect("two outages");
        assert_eq!((longest.call, longest.since), (PortCall::ReadEpoch, start));
        outages.end(PortCall::ReadEpoch);
        let left = outages.longest().expect("one outage");
        assert_eq!((left.call, left.since), (PortCall::WriteLedger, later));
        outages.end(PortCall::WriteLedger);
        assert!(outages.longest().is_none());
    }
}
