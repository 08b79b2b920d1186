//! The share of the workers' wall time that each rule took of late. Pure: its clock is an argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use weir_schema::{RuleId, RuleTimes};

/// The time of rules in the last seconds, in buckets of a second.
#[derive(Debug)]
pub struct RuleShares {
    window: Duration,
    workers: usize,
    /// Ascending by second.
    buckets: VecDeque<(u64, RuleTimes)>,
}

impl RuleShares {
    #[must_use]
    pub fn new(workers: usize, window: Duration) -> Self {
        Self {
            window: window.max(Duration::from_secs(1)),
            workers: workers.max(1),
            buckets: VecDeque::new(),
        }
    }

    /// Adds the times of an epoch that ended at `now`.
    pub fn record(&mut self, now: Duration, times: &RuleTimes) {
        let second = now.as_secs();
        self.forget(now);
        if self.buckets.back().is_none_or(|(last, _)| *last < second) {
            self.buckets.push_back((second, RuleTimes::default()));
        }
        if let Some((_, bucket)) = self.buckets.back_mut() {
            for (rule, nanos) in &times.0 {
                bucket.add(rule, *nanos);
            }
        }
    }

    /// The share of each rule over the window that ends at `now`: of the time of all workers,
    /// between 0 and 1.
    ///
    /// The time of an epoch counts when the epoch ends, so that of one longer than the window is
    /// cut at 1.
    pub fn shares(&mut self, now: Duration) -> BTreeMap<RuleId, f64> {
        self.forget(now);
        let mut sums = RuleTimes::default();
        for (rule, nanos) in self.buckets.iter().flat_map(|(_, times)| &times.0) {
            sums.add(rule, *nanos);
        }
        let all = self.window.as_nanos() as f64 * self.workers as f64;
        let shares = sums.0.into_iter();
        shares
            .map(|(rule, nanos)| (rule, (nanos as f64 / all).min(1.0)))
            .collect()
    }

    fn forget(&mut self, now: Duration) {
        let first = now.saturating_sub(self.window).as_secs();
        let is_old = |bucket: &(u64, RuleTimes)| bucket.0 < first;
        while self.buckets.front().is_some_and(is_old) {
            self.buckets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W12: a share is one of the time of all workers, over the last window.
    #[test]
    fn a_share_is_of_all_workers_and_of_the_last_window() {
        let mut shares = RuleShares::new(2, Duration::from_secs(30));
        let rule: RuleId = "r".into();
        let at = Duration::from_secs;
        for second in 0..30 {
            let mut times = RuleTimes::default();
            times.add(&rule, 1_000_000_000);
            shares.record(at(100 + second), &times);
        }
        let share = |shares: &mut RuleShares, second| {
            let all = shares.shares(at(second));
            all.get(&rule).map(|share| (share * 100.0).round() as u32)
        };
        assert_eq!(share(&mut shares, 129), Some(50), "one worker of two");
        assert_eq!(share(&mut shares, 145), Some(25));
        assert_eq!(share(&mut shares, 161), None, "gone");
        let mut times = RuleTimes::default();
        times.add(&rule, 300_000_000_000);
        shares.record(at(200), &times);
        assert_eq!(share(&mut shares, 200), Some(100), "one very long epoch");
    }
}
