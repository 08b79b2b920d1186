//! Judges whether alerts are late, and whether a sink is stuck. Pure: its clock is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_respond::SinkActivityReport;

/// Alerts that are late, with hysteresis: late above the bound, and until below half of it.
#[derive(Debug)]
pub struct Lateness {
    /// `None`: alerts are never late.
    bound: Option<Duration>,
    is_late: bool,
}

impl Lateness {
    /// A bound of zero disables it.
    #[must_use]
    pub fn new(bound: Duration) -> Self {
        Self {
            bound: Some(bound).filter(|bound| !bound.is_zero()),
            is_late: false,
        }
    }

    /// Judges the age of the oldest event without results. Returns whether alerts are late.
    pub fn judge(&mut self, behind: Duration) -> bool {
        self.is_late = self.bound.is_some_and(|bound| {
            let bound = if self.is_late { bound / 2 } else { bound };
            behind > bound
        });
        self.is_late
    }
}

/// A sink is stuck if it ends no delivery for this long, though rows wait and its consumer is not
/// known to be down. No delivery takes as long: each attempt has a limit.
pub const SINK_STUCK_AFTER: Duration = Duration::from_secs(120);

/// Finds stuck sinks.
#[derive(Debug, Default)]
pub struct SinkWatch {
    /// By sink: its attempts, and since when it has made none though it should.
    sinks: BTreeMap<String, (u64, Duration)>,
}

impl SinkWatch {
    /// Looks at all sinks at `now`. Returns the stuck ones, each with its waiting alerts.
    pub fn look(&mut self, now: Duration, sinks: &[SinkActivityReport]) -> Vec<(String, usize)> {
        let mut stuck = Vec::new();
        for sink in sinks {
            let known = self.sinks.get(&sink.sink).copied();
            let should_send = sink.waiting > 0 && !sink.is_consumer_down;
            let since = known.filter(|(attempts, _)| *attempts == sink.attempts && should_send);
            let since = since.map_or(now, |(_, since)| since);
            self.sinks.insert(sink.sink.clone(), (sink.attempts, since));
            if now.saturating_sub(since) >= SINK_STUCK_AFTER {
                stuck.push((sink.sink.clone(), sink.waiting));
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// W8, W15: late alerts are seen, and do not flap.
    #[test]
    fn alerts_are_late_above_the_bound_and_until_half_of_it() {
        let mut lateness = Lateness::new(seconds(30));
        let ages = [0, 30, 31, 29, 16, 31, 15, 16, 30, 31];
        let late = [
            false, false, true, true, true, true, false, false, false, true,
        ];
        assert_eq!(ages.map(|age| lateness.judge(seconds(age))), late);
        assert!(!Lateness::new(seconds(0)).judge(seconds(u64::MAX)));
    }

    fn sink(attempts: u64, waiting: usize, is_consumer_down: bool) -> SinkActivityReport {
        SinkActivityReport {
            sink: "pager".to_owned(),
            turns: 1,
            attempts,
            waiting,
            is_consumer_down,
        }
    }

    /// W15: a stuck sink is seen; a consumer that is down is not a stuck sink.
    #[test]
    fn a_sink_is_stuck_if_it_sends_nothing_to_a_consumer_that_works() {
        let mut watch = SinkWatch::default();
        for now in 0..120 {
            assert!(watch.look(seconds(now), &[sink(5, 3, false)]).is_empty());
        }
        let stuck = [("pager".to_owned(), 3)];
        assert_eq!(watch.look(seconds(120), &[sink(5, 3, false)]), stuck);
        assert!(watch.look(seconds(121), &[sink(6, 2, false)]).is_empty());
        for now in 121..1_000 {
            assert!(watch.look(seconds(now), &[sink(7, 9, true)]).is_empty());
        }
        for now in 1_000..2_000 {
            assert!(watch.look(seconds(now), &[sink(8, 0, false)]).is_empty());
        }
    }
}
