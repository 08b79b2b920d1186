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
    buckets: VecDeque<Bucket>,
}

/// The work of one second.
#[derive(Debug, Default)]
struct Bucket {
    second: u64,
    times: RuleTimes,
    /// Events that the graph judged.
    events: u64,
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

    /// Adds times of an epoch that ended at `now`.
    pub fn record(&mut self, now: Duration, times: &RuleTimes) {
        let bucket = self.bucket(now);
        for (rule, nanos) in &times.0 {
            bucket.times.add(rule, *nanos);
        }
    }

    /// Adds the events of an epoch that ended at `now`.
    pub fn record_events(&mut self, now: Duration, events: u64) {
        let bucket = self.bucket(now);
        bucket.events = bucket.events.saturating_add(events);
    }

    fn bucket(&mut self, now: Duration) -> &mut Bucket {
        let second = now.as_secs();
        self.forget(now);
        match self.buckets.back() {
            Some(last) if last.second >= second => {}
            _ => self.buckets.push_back(Bucket {
                second,
                ..Bucket::default()
            }),
        }
        let last = self.buckets.len() - 1; // At least one is there.
        &mut self.buckets[last]
    }

    /// The wall time of all workers for each event of the window that ends at `now`; infinite if
    /// there was none.
    pub fn wall_time_per_event(&mut self, now: Duration) -> f64 {
        self.forget(now);
        let events: u64 = self.buckets.iter().map(|bucket| bucket.events).sum();
        self.window.as_secs_f64() * self.workers as f64 / events as f64
    }

    /// The share of each rule over the window that ends at `now`: of the time of all workers,
    /// between 0 and 1.
    ///
    /// The time of an epoch counts when the epoch ends, so that of one longer than the window is
    /// cut at 1.
    pub fn shares(&mut self, now: Duration) -> BTreeMap<RuleId, f64> {
        self.forget(now);
        let mut sums = RuleTimes::default();
        for (rule, nanos) in self.buckets.iter().flat_map(|bucket| &bucket.times.0) {
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
        let is_old = |bucket: &Bucket| bucket.second < first;
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
        assert_eq!(shares.wall_time_per_event(at(200)), f64::INFINITY);
        shares.record_events(at(200), 40);
        shares.record_events(at(201), 20);
        assert_eq!(shares.wall_time_per_event(at(201)), 1.0, "2 x 30 s for 60");
    }
}
