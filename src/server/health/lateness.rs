//! Judges whether alerts are late, and whether a sink is stuck. Pure: its clock is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_respond::SinkActivityReport;
use weir_schema::ReceiveTime;

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

/// A sink is stuck if an alert waits this long for it, and until none waits for half as long. It is
/// idle if it ends no delivery for this long, though rows wait and its consumer is not known to be
/// down: no delivery takes as long, since each attempt has a limit.
pub const SINK_STUCK_AFTER: Duration = Duration::from_secs(120);

/// A sink whose alerts wait too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckSink {
    pub sink: String,
    pub waiting: usize,
    /// How long the oldest alert has waited.
    pub oldest: Duration,
    /// The consumer has stopped it.
    pub is_stopped: bool,
    /// It attempts nothing, though its consumer is not known to be down. That is a fault of Weir.
    pub is_idle: bool,
}

impl StuckSink {
    /// The waiting alerts, in words.
    #[must_use]
    pub fn details(&self) -> String {
        let (waiting, oldest) = (self.waiting, self.oldest.as_secs());
        match self.is_stopped {
            true => format!("its consumer has stopped it; {waiting} alerts wait"),
            false => format!("{waiting} alerts wait, the oldest for {oldest} s"),
        }
    }
}

/// Finds stuck sinks.
#[derive(Debug, Default)]
pub struct SinkWatch {
    sinks: BTreeMap<String, WatchedSink>,
}

/// The memory of the watch about a sink.
#[derive(Clone, Copy, Debug)]
struct WatchedSink {
    attempts: u64,
    /// Since when it has made no attempt though it should.
    since: Duration,
    is_late: bool,
}

impl SinkWatch {
    /// Looks at all sinks at `now`, which is `wall` on the clock of the sinks.
    pub fn look(
        &mut self,
        now: Duration,
        wall: ReceiveTime,
        sinks: &[SinkActivityReport],
    ) -> Vec<StuckSink> {
        let looks = sinks.iter().map(|sink| self.look_at(now, wall, sink));
        looks.flatten().collect()
    }

    fn look_at(
        &mut self,
        now: Duration,
        wall: ReceiveTime,
        sink: &SinkActivityReport,
    ) -> Option<StuckSink> {
        let known = self.sinks.get(&sink.sink).copied();
        let should_send = sink.waiting > 0 && !sink.is_consumer_down;
        let since = known.filter(|known| known.attempts == sink.attempts && should_send);
        let since = since.map_or(now, |known| known.since);
        let oldest = sink
            .waits_since
            .map_or(0, |since| wall.0.saturating_sub(since.0));
        let oldest = Duration::from_nanos(u64::try_from(oldest).unwrap_or(0));
        let bound = match known.is_some_and(|known| known.is_late) {
            true => SINK_STUCK_AFTER / 2,
            false => SINK_STUCK_AFTER,
        };
        let watched = WatchedSink {
            attempts: sink.attempts,
            since,
            is_late: oldest >= bound,
        };
        self.sinks.insert(sink.sink.clone(), watched);
        let is_idle = now.saturating_sub(since) >= SINK_STUCK_AFTER;
        (watched.is_late || is_idle || sink.is_stopped).then(|| StuckSink {
            sink: sink.sink.clone(),
            waiting: sink.waiting,
            oldest,
            is_stopped: sink.is_stopped,
            is_idle,
        })
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
            waits_since: None,
            is_stopped: false,
        }
    }

    fn wall(second: i64) -> ReceiveTime {
        ReceiveTime(second * 1_000_000_000)
    }

    /// W15: a sink that does nothing is seen; a consumer that is down is no fault of Weir.
    #[test]
    fn a_sink_is_idle_if_it_sends_nothing_to_a_consumer_that_works() {
        let mut watch = SinkWatch::default();
        let mut look = |second, sink| watch.look(seconds(second), wall(0), &[sink]);
        for now in 0..120 {
            assert_eq!(look(now, sink(5, 3, false)), vec![]);
        }
        let stuck = look(120, sink(5, 3, false));
        let found: Vec<_> = stuck.iter().map(|s| (s.waiting, s.is_idle)).collect();
        assert_eq!(found, [(3, true)]);
        assert_eq!(look(121, sink(6, 2, false)), vec![]);
        for now in 121..1_000 {
            assert_eq!(look(now, sink(7, 9, true)), vec![]);
        }
        for now in 1_000..2_000 {
            assert_eq!(look(now, sink(8, 0, false)), vec![]);
        }
    }

    /// W15: what counts is how long alerts wait, whether the sink is paused, fails, or is slow.
    #[test]
    fn a_sink_is_stuck_while_its_oldest_alert_waits_too_long() {
        for is_consumer_down in [false, true] {
            let mut watch = SinkWatch::default();
            let mut is_stuck = |second: u64, oldest: Option<i64>| {
                let mut sink = sink(second, 3, is_consumer_down);
                let now = 1_000 + i64::try_from(second).unwrap();
                sink.waits_since = oldest.map(|age| wall(now - age));
                let stuck = watch.look(seconds(second), wall(now), &[sink]);
                assert!(stuck.iter().all(|stuck| !stuck.is_idle));
                !stuck.is_empty()
            };
            let ages = [
                None,
                Some(0),
                Some(119),
                Some(120),
                Some(60),
                Some(59),
                Some(119),
            ];
            let stuck = [false, false, false, true, true, false, false];
            let found = (0..).zip(ages).map(|(second, age)| is_stuck(second, age));
            assert_eq!(found.collect::<Vec<_>>(), stuck);
            // The clock was set back.
            assert!(!is_stuck(10, Some(-500)));
        }
    }

    #[test]
    fn a_sink_that_its_consumer_stopped_is_stuck_at_once() {
        let mut stopped = sink(1, 2, true);
        stopped.is_stopped = true;
        stopped.waits_since = Some(wall(9));
        let stuck = SinkWatch::default().look(seconds(0), wall(10), &[stopped]);
        let details: Vec<_> = stuck.iter().map(StuckSink::details).collect();
        assert_eq!(details, ["its consumer has stopped it; 2 alerts wait"]);
    }
}
