//! The watermark and the settled line of each tenant, from the event times of its sources.
//!
//! The watermark `W` is the least, over the live sources, of (greatest credible event time) -
//! lateness; it never falls. A source counts from when it first reached `W`, or from its first
//! event where its configuration says so: else an old event of a new sender would hold everybody
//! else's alerts back. The settled line is `A` = `W` - horizon. Both are functions of the
//! journal: "now" is the greatest receive time in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use timely::dataflow::Stream;
use weir_schema::{EventTime, ReceiveTime, SourceKey, TenantKey, TimeBounds};

use crate::epochs::process_epochs;

/// Most sources of a tenant that hold the watermark one by one; further ones share one place.
pub const SOURCES_MAX: usize = 65_536;

/// A tenant's position in event time at the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TenantClock {
    pub tenant: TenantKey,
    /// The event time up to which all events are believed to have arrived.
    pub watermark: EventTime,
    /// The event time before which nothing changes any more.
    pub settled: EventTime,
    /// Sources that do not hold the watermark because they sent nothing for too long ...
    pub idle: u32,
    /// ... or because they are too far behind the furthest source.
    pub lagging: u32,
}

impl TenantClock {
    /// The clock before any event.
    #[must_use]
    pub const fn start(tenant: TenantKey) -> Self {
        Self {
            tenant,
            watermark: EventTime::MIN,
            settled: EventTime::MIN,
            idle: 0,
            lagging: 0,
        }
    }
}

/// An input of the clocks. The order within an epoch does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Observation {
    Bounds(TimeBounds),
    /// The journal was written at this time.
    Now(ReceiveTime),
    /// A batch of a source, with its greatest credible event time.
    SourceTime {
        tenant: TenantKey,
        source: SourceKey,
        time: EventTime,
        received: ReceiveTime,
    },
    /// A source has nothing older than `time` to send. Received at the time of its epoch.
    Heartbeat {
        tenant: TenantKey,
        source: SourceKey,
        time: EventTime,
    },
    /// Input ends.
    Finish,
    /// Whether to report source times from now on: some silence plan exists.
    ReportSourceTimes(bool),
    /// The sources that [`Observation::Holder`] named no longer hold the watermark at once.
    ClearHolders,
    /// A source holds the watermark from its first event on.
    Holder {
        tenant: TenantKey,
        source: SourceKey,
    },
}

/// An output of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ClockUpdate {
    Clock(TenantClock),
    /// The event time up to which a source was observed. Emitted while a silence plan exists.
    SourceTime(SourceKey, EventTime),
}

impl ClockUpdate {
    #[must_use]
    pub fn clock(self) -> Option<TenantClock> {
        match self {
            Self::Clock(clock) => Some(clock),
            Self::SourceTime(..) => None,
        }
    }
}

/// The clocks of all tenants. Pure: [`clocks`] feeds it epoch by epoch.
///
/// **Invariant.** Watermarks and settled lines never fall. The order of observations within an
/// epoch has no effect.
///
/// **Cost.** An epoch costs O(log sources) per observation, plus one pass over all sources.
#[derive(Debug)]
pub struct TenantClocks {
    bounds: TimeBounds,
    now: ReceiveTime,
    finished: bool,
    tenants: BTreeMap<TenantKey, Tenant>,
    /// The sources that hold the watermark from their first event on.
    holders: BTreeSet<(TenantKey, SourceKey)>,
    /// The sources observed in this epoch; `None` unless source times are reported.
    observed: Option<BTreeSet<(TenantKey, SourceKey)>>,
}

#[derive(Debug)]
struct Tenant {
    clock: TenantClock,
    sources: BTreeMap<SourceKey, SourcePosition>,
}

/// The greatest event time and receive time of a source.
#[derive(Clone, Copy, Debug)]
struct SourcePosition {
    greatest: EventTime,
    received: ReceiveTime,
    /// Whether it has reached the watermark, and so may hold it back.
    holds: bool,
}

impl Default for TenantClocks {
    fn default() -> Self {
        Self {
            bounds: TimeBounds::default(),
            now: ReceiveTime::MIN,
            finished: false,
            tenants: BTreeMap::new(),
            holders: BTreeSet::new(),
            observed: None,
        }
    }
}

impl TenantClocks {
    /// Processes the observations of an epoch.
    ///
    /// Returns the reported source times, then the clocks that moved, in order of tenant.
    pub fn epoch(&mut self, mut observations: Vec<Observation>) -> Vec<ClockUpdate> {
        observations.sort_unstable();
        let receipts = observations
            .iter()
            .filter_map(|observation| match observation {
                Observation::Now(now) => Some(*now),
                Observation::SourceTime { received, .. } => Some(*received),
                Observation::Bounds(_)
                | Observation::Heartbeat { .. }
                | Observation::Finish
                | Observation::ReportSourceTimes(_)
                | Observation::ClearHolders
                | Observation::Holder { .. } => None,
            });
        self.now = receipts.fold(self.now, ReceiveTime::max);
        for observation in observations {
            match observation {
                Observation::Bounds(bounds) => self.bounds = bounds,
                Observation::Now(_) => {}
                Observation::Finish => self.finished = true,
                Observation::ReportSourceTimes(report) => self.report_source_times(report),
                Observation::ClearHolders => self.holders.clear(),
                Observation::Holder { tenant, source } => {
                    self.holders.insert((tenant, source));
                }
                Observation::SourceTime {
                    tenant,
                    source,
                    time,
                    received,
                } => self.observe(tenant, source, time, received),
                Observation::Heartbeat {
                    tenant,
                    source,
                    time,
                } => {
                    let credible = self.now.plus(self.bounds.future_tolerance);
                    let time = time.min(EventTime(credible.0));
                    self.observe(tenant, source, time, self.now);
                }
            }
        }
        let (bounds, now, finished) = (self.bounds, self.now, self.finished);
        let mut updates = self.source_times();
        let holders = &self.holders;
        let moved = |tenant: &mut Tenant| {
            tenant.admit_holders(&bounds, holders);
            tenant.advance(&bounds, now, finished)
        };
        let clocks = self.tenants.values_mut().filter_map(moved);
        updates.extend(clocks.map(ClockUpdate::Clock));
        updates
    }

    /// Starts to report source times, with those of all known sources, or stops.
    fn report_source_times(&mut self, report: bool) {
        let all = |(tenant, known): (&TenantKey, &Tenant)| {
            let tenant = *tenant;
            let sources: Vec<_> = known.sources.keys().map(|key| (tenant, *key)).collect();
            sources
        };
        let known = || self.tenants.iter().flat_map(all).collect();
        self.observed = report.then(known);
    }

    /// The times of the sources observed in this epoch, if they are reported.
    fn source_times(&mut self) -> Vec<ClockUpdate> {
        let observed = self.observed.as_mut().map(std::mem::take);
        let observed = observed.unwrap_or_default();
        let times = observed.into_iter().filter_map(|(tenant, source)| {
            let position = self.tenants.get(&tenant)?.sources.get(&source)?;
            Some(ClockUpdate::SourceTime(source, position.greatest))
        });
        times.collect()
    }

    fn observe(&mut self, key: TenantKey, source: SourceKey, time: EventTime, at: ReceiveTime) {
        let tenant = self.tenants.entry(key).or_insert_with(|| Tenant {
            clock: TenantClock::start(key),
            sources: BTreeMap::new(),
        });
        let full = tenant.sources.len() >= SOURCES_MAX && !tenant.sources.contains_key(&source);
        let source = if full { SourceKey(0) } else { source };
        let position = tenant.sources.entry(source).or_insert(SourcePosition {
            greatest: time,
            received: at,
            holds: false,
        });
        position.greatest = position.greatest.max(time);
        position.received = position.received.max(at);
        if let Some(observed) = &mut self.observed {
            observed.insert((key, source));
        }
    }
}

impl Tenant {
    /// Lets the sources that reached the watermark hold it from now on, and those in `holders`.
    fn admit_holders(&mut self, bounds: &TimeBounds, holders: &BTreeSet<(TenantKey, SourceKey)>) {
        let Self { clock, sources } = self;
        for (key, source) in sources.iter_mut().filter(|(_, source)| !source.holds) {
            source.holds = source.greatest.minus(bounds.lateness) >= clock.watermark
                || holders.contains(&(clock.tenant, *key));
        }
    }

    /// Moves the clock. Returns it if it changed.
    fn advance(
        &mut self,
        bounds: &TimeBounds,
        now: ReceiveTime,
        finished: bool,
    ) -> Option<TenantClock> {
        let furthest = self.sources.values().map(|source| source.greatest).max()?;
        let old = self.clock;
        let watermark = if finished {
            Some(furthest)
        } else if bounds.live {
            let slowest = self.slowest(bounds, now, furthest);
            slowest.map(|slowest| slowest.minus(bounds.lateness))
        } else {
            None
        };
        if let Some(watermark) = watermark {
            self.clock.watermark = old.watermark.max(watermark);
            let settled = bounds.horizon.map_or(EventTime::MIN, |horizon| {
                self.clock.watermark.minus(horizon)
            });
            self.clock.settled = old.settled.max(settled);
        }
        (self.clock != old).then_some(self.clock)
    }

    /// The least event time of the live sources. Counts the sources that are not live.
    fn slowest(
        &mut self,
        bounds: &TimeBounds,
        now: ReceiveTime,
        furthest: EventTime,
    ) -> Option<EventTime> {
        let mut slowest: Option<EventTime> = None;
        (self.clock.idle, self.clock.lagging) = (0, 0);
        for source in self.sources.values() {
            if source.received.plus(bounds.idle) < now {
                self.clock.idle += 1;
            } else if source.greatest.plus(bounds.lag_max) < furthest {
                self.clock.lagging += 1;
            } else if source.holds {
                let time = source.greatest;
                slowest = Some(slowest.map_or(time, |least| least.min(time)));
            }
        }
        slowest
    }
}

/// Computes the clock updates at the end of each epoch. One worker keeps all clocks.
///
/// See [`TenantClocks`] for what it computes, its invariant and its cost.
pub fn clocks<'scope>(
    observations: Stream<'scope, u64, Vec<Observation>>,
) -> Stream<'scope, u64, Vec<ClockUpdate>> {
    let mut clocks = TenantClocks::default();
    process_epochs(observations, "Clocks", move |_epoch, observations| {
        clocks.epoch(observations)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantKey = TenantKey(1);

    const HOLDER: Observation = Observation::Holder {
        tenant: TENANT,
        source: SourceKey(2),
    };

    fn observed(source: u64, time_s: i64, received_s: i64) -> Observation {
        Observation::SourceTime {
            tenant: TENANT,
            source: SourceKey(source),
            time: EventTime(time_s * 1_000_000_000),
            received: ReceiveTime(received_s.saturating_mul(1_000_000_000)),
        }
    }

    fn heartbeat(source: u64, time_s: i64) -> Observation {
        Observation::Heartbeat {
            tenant: TENANT,
            source: SourceKey(source),
            time: EventTime(time_s * 1_000_000_000),
        }
    }

    fn now(seconds: i64) -> Observation {
        Observation::Now(ReceiveTime(seconds * 1_000_000_000))
    }

    /// The watermark in seconds after each epoch; `None` before the first.
    fn watermarks(epochs: &[&[Observation]]) -> Vec<Option<i64>> {
        let mut clocks = TenantClocks::default();
        let mut latest = None;
        let mut play = |epoch: &&[Observation]| {
            let moved = clocks.epoch(epoch.to_vec());
            let seconds = |clock: TenantClock| clock.watermark.0.div_euclid(1_000_000_000);
            latest = moved
                .into_iter()
                .find_map(ClockUpdate::clock)
                .map(seconds)
                .or(latest);
            latest
        };
        epochs.iter().map(&mut play).collect()
    }

    #[test]
    fn watermark_follows_slowest_live_source_and_never_falls() {
        // Lateness 60 s, idle after 300 s, at most 3,600 s behind.
        let cases: &[(&str, &[&[Observation]], &[Option<i64>])] = &[
            ("one source", &[&[observed(1, 1000, 1000)]], &[Some(940)]),
            (
                "the slower of two sources holds the watermark",
                &[&[observed(1, 1000, 1000), observed(2, 900, 1000)]],
                &[Some(840)],
            ),
            (
                "a new slow source does not move the watermark back",
                &[&[observed(1, 1000, 1000)], &[observed(2, 500, 1001)]],
                &[Some(940), Some(940)],
            ),
            (
                "an idle source releases the watermark",
                &[
                    &[observed(1, 1000, 1000), observed(2, 900, 1000)],
                    &[observed(1, 1400, 1400)],
                ],
                &[Some(840), Some(1340)],
            ),
            (
                "a tick releases an idle source; nothing moves while all are idle",
                &[
                    &[observed(1, 1000, 1200), observed(2, 900, 1000)],
                    &[now(1301)],
                    &[now(9000)],
                ],
                &[Some(840), Some(940), Some(940)],
            ),
            (
                "a heartbeat keeps a quiet source live",
                &[&[observed(1, 1000, 1000)], &[now(2000), heartbeat(1, 1990)]],
                &[Some(940), Some(1930)],
            ),
            (
                "a source too far behind releases the watermark",
                &[&[observed(1, 10_000, 1000), observed(2, 900, 1000)]],
                &[Some(9940)],
            ),
            (
                "the end of input advances to the furthest source",
                &[&[observed(1, 1000, 1000), Observation::Finish]],
                &[Some(1000)],
            ),
        ];
        check(cases);
    }

    /// W11: an old event of a new source holds no watermark.
    #[test]
    fn a_source_holds_the_watermark_once_it_has_reached_it() {
        let cases: &[(&str, &[&[Observation]], &[Option<i64>])] = &[
            (
                "a new source behind the watermark holds nothing, however often it sends",
                &[
                    &[observed(1, 4000, 4000)],
                    &[observed(1, 4100, 4100), observed(2, 520, 4100)],
                    &[observed(1, 4200, 4200), observed(2, 620, 4200)],
                ],
                &[Some(3940), Some(4040), Some(4140)],
            ),
            (
                "a source that has reached the watermark holds it from then on",
                &[
                    &[observed(1, 4000, 4000)],
                    &[observed(2, 3000, 4001)],
                    &[observed(2, 4000, 4002), observed(1, 4100, 4002)],
                    &[observed(2, 4010, 4003), observed(1, 4200, 4003)],
                ],
                &[Some(3940), Some(3940), Some(3940), Some(3950)],
            ),
            (
                "a declared holder holds the watermark from its first event",
                &[
                    &[observed(1, 4000, 4000), HOLDER],
                    &[observed(1, 4100, 4100), observed(2, 3900, 4100)],
                    &[observed(1, 4200, 4200), Observation::ClearHolders],
                    &[observed(2, 3990, 4201)],
                    &[observed(1, 4300, 4300), observed(2, 4010, 4300)],
                ],
                &[Some(3940), Some(3940), Some(3940), Some(3940), Some(3950)],
            ),
        ];
        check(cases);
    }

    fn check(cases: &[(&str, &[&[Observation]], &[Option<i64>])]) {
        for (name, epochs, expected) in cases {
            assert_eq!(watermarks(epochs), *expected, "{name}");
        }
    }

    #[test]
    fn count_idle_and_lagging_sources() {
        let mut clocks = TenantClocks::default();
        clocks.epoch(vec![
            observed(1, 10_000, 1000),
            observed(2, 900, 1000),
            observed(3, 9_000, 600),
        ]);
        let moved = clocks.epoch(vec![now(1001)]);
        assert!(moved.is_empty(), "nothing changed: {moved:?}");
        let moved = clocks.epoch(vec![now(1301)]);
        assert_eq!(moved.len(), 1, "all sources are idle now");
        let counts = |moved: &[ClockUpdate]| {
            let clock = moved.iter().find_map(|moved| moved.clock());
            clock.map(|clock| (clock.idle, clock.lagging))
        };
        assert_eq!(counts(&moved), Some((3, 0)));
        let moved = clocks.epoch(vec![observed(1, 10_001, 1302), observed(2, 901, 1302)]);
        assert_eq!(counts(&moved), Some((1, 1)));
    }

    #[test]
    fn order_within_an_epoch_has_no_effect() {
        let mut epoch = [
            observed(1, 1000, 1000),
            observed(2, 900, 990),
            now(1010),
            heartbeat(3, 950),
        ];
        let expected = watermarks(&[&epoch]);
        for _ in 0..epoch.len() {
            epoch.rotate_left(1);
            assert_eq!(watermarks(&[&epoch]), expected);
        }
    }
}
