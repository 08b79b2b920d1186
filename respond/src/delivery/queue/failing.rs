//! Failing alerts: when they are retried, and when they are given up or dropped.

use weir_schema::{AlertId, ReceiveTime};

use super::{DEAD_MAX, DeliveryQueue, FAILING_IN_FLIGHT_MAX, FAILING_MAX, PendingAlert, ROWS_MAX};
use crate::failure::{DeliveryFailure, PERMANENT_TRIES_MAX};

/// Alerts that a failure cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueLosses {
    /// They became dead letters.
    pub given_up: Vec<AlertId>,
    /// They were permanent refusals, and are no longer dead letters. Only the ledger has them.
    pub dropped: Vec<AlertId>,
}

/// Number of pending alerts, and of their rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueLoad {
    pub alerts: usize,
    pub rows: usize,
}

impl QueueLoad {
    /// Whether failing alerts have reached one of their limits.
    pub(super) fn is_full(self) -> bool {
        self.alerts >= FAILING_MAX || self.rows >= ROWS_MAX
    }
}

impl PendingAlert {
    /// Whether its first row has failed.
    pub(super) fn is_failing(&self) -> bool {
        self.tries > 0
    }

    /// Whether the consumer refuses this alert and accepts others.
    fn is_refused(&self) -> bool {
        self.refusals >= PERMANENT_TRIES_MAX
            || (self.is_singled_out && self.tries >= PERMANENT_TRIES_MAX)
    }
}

impl DeliveryQueue {
    fn load(&self, is_failing: bool) -> QueueLoad {
        let alerts = self.pending.values();
        let alerts = alerts.filter(|alert| alert.is_failing() == is_failing);
        alerts.fold(QueueLoad::default(), |load, alert| QueueLoad {
            alerts: load.alerts + 1,
            rows: load.rows + alert.rows.len(),
        })
    }

    pub(super) fn new_load(&self) -> QueueLoad {
        self.load(false)
    }

    pub(super) fn failing_load(&self) -> QueueLoad {
        self.load(true)
    }

    /// Whether another failing alert may be in flight.
    pub(super) fn may_retry(&self) -> bool {
        let alerts = self.pending.values();
        let retried = alerts.filter(|alert| alert.in_flight && alert.is_failing());
        retried.count() < FAILING_IN_FLIGHT_MAX
    }

    /// Schedules the row in flight for another attempt, or gives its alert up. `jitter`, from 0
    /// to 1, spreads the retries of different alerts.
    pub(crate) fn fail(
        &mut self,
        alert: AlertId,
        now: ReceiveTime,
        failure: &DeliveryFailure,
        jitter: f64,
    ) -> QueueLosses {
        let mut losses = QueueLosses::default();
        let Some(pending) = self.pending.get_mut(&alert) else {
            return losses;
        };
        pending.in_flight = false;
        (pending.keeps_delay, pending.advanced) = (pending.advanced, false);
        pending.is_singled_out |= std::mem::take(&mut pending.is_passed_over);
        pending.tries = pending.tries.saturating_add(1);
        pending.refusals += u32::from(failure.is_permanent);
        let delay = self.retry.delay(pending.tries, jitter);
        pending.due = now.plus(delay.max(failure.bounded_pause()));
        let too_old = pending.since.plus(self.retry.age_max) <= now;
        let too_often = pending.tries >= self.retry.tries_max;
        let is_permanent = pending.refusals >= PERMANENT_TRIES_MAX;
        self.apply_failure(failure, now);
        if failure.gone {
            return losses;
        }
        if too_old || too_often || is_permanent {
            self.give_up_into(alert, &failure.reason, &mut losses);
        }
        if self.failing_load().is_full()
            && let Some(refused) = self.longest_refused()
        {
            self.give_up_into(refused, "it fails while others are accepted", &mut losses);
        }
        losses
    }

    /// The alert that has failed most often while the consumer accepted others.
    fn longest_refused(&self) -> Option<AlertId> {
        let alerts = self.pending.iter();
        let refused = alerts.filter(|(_, alert)| !alert.in_flight && alert.is_refused());
        let longest = refused.max_by_key(|(_, alert)| (alert.rows.len(), alert.tries));
        longest.map(|(id, _)| *id)
    }

    /// Gives an alert up if the dead letters have room for it, or can drop a permanent refusal.
    fn give_up_into(&mut self, alert: AlertId, reason: &str, losses: &mut QueueLosses) {
        let is_refused = self
            .pending
            .get(&alert)
            .is_some_and(PendingAlert::is_refused);
        if self.dead.len() >= DEAD_MAX && !is_refused && self.oldest_refusal().is_none() {
            return;
        }
        self.give_up(alert, reason, is_refused);
        losses.given_up.push(alert);
        if self.dead.len() > DEAD_MAX
            && let Some(oldest) = self.oldest_refusal()
        {
            self.drop_letter(oldest);
            losses.dropped.push(oldest);
        }
    }
}
