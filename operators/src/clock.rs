//! Watermark and settled line of each tenant, from what its sources were heard to say.
//!
//! `W` = least over live sources of (greatest credible event time) - lateness, never falling;
//! `A` = `W` - horizon. Both are functions of the journal: "now" is the greatest receive time in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;
use weir_schema::{EventTime, ReceiveTime, SourceKey, Span, TenantKey, TimeBounds};

/// Most sources of a tenant that hold the watermark one by one; those beyond share one place.
pub const SOURCES_MAX: usize = 65_536;

/// Where a tenant stands in event time at the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Clock {
    pub tenant: TenantKey,
    /// Up to here we believe to have heard everything.
    pub watermark: EventTime,
    /// Events before it change nothing any more.
    pub settled: EventTime,
    /// Sources that do not hold the watermark, since they have been unheard for too long ...
    pub idle: u32,
    /// ... or are too far behind the furthest.
    pub lagging: u32,
}

impl Clock {
    /// Before anything was heard.
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

/// What bears on clocks, per epoch. Order among those of one epoch does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Observation {
    Bounds(TimeBounds),
    /// The journal was written at this time.
    Now(ReceiveTime),
    /// A source was heard, with the greatest credible event time that it told.
    Heard {
        tenant: TenantKey,
        source: SourceKey,
        time: EventTime,
        received: ReceiveTime,
    },
    /// A source said that it has nothing older to tell. Heard at the time of its epoch.
    Heartbeat {
        tenant: TenantKey,
        source: SourceKey,
        time: EventTime,
    },
    /// Input ends.
    Finish,
    /// Whether some plan is about silence, so that it is told how far each source was heard.
    Tell(bool),
}

/// What a clock operator says of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Move {
    Clock(Clock),
    /// How far a source was heard to tell; where that is asked for.
    Heard(SourceKey, EventTime),
}

impl Move {
    #[must_use]
    pub fn clock(self) -> Option<Clock> {
        match self {
            Self::Clock(clock) => Some(clock),
            Self::Heard(..) => None,
        }
    }
}

/// All clocks. Pure: the operator below feeds it epoch by epoch.
#[derive(Debug)]
pub struct Clocks {
    bounds: TimeBounds,
    now: ReceiveTime,
    finished: bool,
    tenants: BTreeMap<TenantKey, Tenant>,
    /// Sources that were heard in this epoch; `None` where nobody asks.
    heard: Option<BTreeSet<(TenantKey, SourceKey)>>,
}

#[derive(Debug)]
struct Tenant {
    clock: Clock,
    sources: BTreeMap<SourceKey, Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    greatest: EventTime,
    received: ReceiveTime,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            bounds: TimeBounds::default(),
            now: ReceiveTime::MIN,
            finished: false,
            tenants: BTreeMap::new(),
            heard: None,
        }
    }
}

impl Clocks {
    /// Takes an epoch's observations in; returns the clocks that moved, in order of tenant, behind
    /// what the sources told.
    pub fn epoch(&mut self, mut observations: Vec<Observation>) -> Vec<Move> {
        observations.sort_unstable();
        let receipts = observations
            .iter()
            .filter_map(|observation| match observation {
                Observation::Now(now) => Some(*now),
                Observation::Heard { received, .. } => Some(*received),
                Observation::Bounds(_)
                | Observation::Heartbeat { .. }
                | Observation::Finish
                | Observation::Tell(_) => None,
            });
        self.now = receipts.fold(self.now, ReceiveTime::max);
        for observation in observations {
            match observation {
                Observation::Bounds(bounds) => self.bounds = bounds,
                Observation::Now(_) => {}
                Observation::Finish => self.finished = true,
                Observation::Tell(tell) => self.tell(tell),
                Observation::Heard {
                    tenant,
                    source,
                    time,
                    received,
                } => self.hear(tenant, source, time, received),
                // These come behind all that tells the time.
                Observation::Heartbeat {
                    tenant,
                    source,
                    time,
                } => {
                    let credible = self.now.plus(self.bounds.future_tolerance);
                    let time = time.min(EventTime(credible.0));
                    self.hear(tenant, source, time, self.now);
                }
            }
        }
        let (bounds, now, finished) = (self.bounds, self.now, self.finished);
        let mut moves = self.told();
        let moved = |tenant: &mut Tenant| tenant.advance(&bounds, now, finished);
        let clocks = self.tenants.values_mut().filter_map(moved);
        moves.extend(clocks.map(Move::Clock));
        moves
    }

    /// From now on tells of each source how far it was heard, or no more.
    fn tell(&mut self, tell: bool) {
        let all = |(tenant, known): (&TenantKey, &Tenant)| {
            let tenant = *tenant;
            let sources: Vec<_> = known.sources.keys().map(|key| (tenant, *key)).collect();
            sources
        };
        let known = || self.tenants.iter().flat_map(all).collect();
        self.heard = tell.then(known);
    }

    fn told(&mut self) -> Vec<Move> {
        let heard = self.heard.as_mut().map(std::mem::take).unwrap_or_default();
        let found = heard.into_iter().filter_map(|(tenant, source)| {
            let heard = self.tenants.get(&tenant)?.sources.get(&source)?;
            Some(Move::Heard(source, heard.greatest))
        });
        found.collect()
    }

    fn hear(&mut self, key: TenantKey, source: SourceKey, time: EventTime, at: ReceiveTime) {
        let tenant = self.tenants.entry(key).or_insert_with(|| Tenant {
            clock: Clock::start(key),
            sources: BTreeMap::new(),
        });
        let full = tenant.sources.len() >= SOURCES_MAX && !tenant.sources.contains_key(&source);
        let source = if full { SourceKey(0) } else { source };
        let heard = tenant.sources.entry(source).or_insert(Heard {
            greatest: time,
            received: at,
        });
        heard.greatest = heard.greatest.max(time);
        heard.received = heard.received.max(at);
        if let Some(heard) = &mut self.heard {
            heard.insert((key, source));
        }
    }
}

impl Tenant {
    fn advance(&mut self, bounds: &TimeBounds, now: ReceiveTime, finished: bool) -> Option<Clock> {
        let furthest = self.sources.values().map(|heard| heard.greatest).max()?;
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
            let settled = bounds.horizon.map_or(EventTime::MIN, |horizon: Span| {
                self.clock.watermark.minus(horizon)
            });
            self.clock.settled = old.settled.max(settled);
        }
        (self.clock != old).then_some(self.clock)
    }

    /// The least event time that a live source has come to; counts the sources that are not live.
    fn slowest(
        &mut self,
        bounds: &TimeBounds,
        now: ReceiveTime,
        furthest: EventTime,
    ) -> Option<EventTime> {
        let mut slowest: Option<EventTime> = None;
        (self.clock.idle, self.clock.lagging) = (0, 0);
        for heard in self.sources.values() {
            if heard.received.plus(bounds.idle) < now {
                self.clock.idle += 1;
            } else if heard.greatest.plus(bounds.lag_max) < furthest {
                self.clock.lagging += 1;
            } else {
                slowest = Some(slowest.map_or(heard.greatest, |least| least.min(heard.greatest)));
            }
        }
        slowest
    }
}

/// What moves, at the epoch at whose end it does. One worker keeps all clocks.
pub fn clocks<'scope>(
    observations: Stream<'scope, u64, Vec<Observation>>,
) -> Stream<'scope, u64, Vec<Move>> {
    observations.unary_frontier::<CapacityContainerBuilder<Vec<Move>>, _, _, _>(
        Exchange::new(|_: &Observation| 0),
        "Clocks",
        |_capability, _info| {
            let mut clocks = Clocks::default();
            let mut open = BTreeMap::new();
            move |(input, frontier), output| {
                input.for_each(|capability, data| {
                    let Some(capability) = capability.retain_least(0) else {
                        return;
                    };
                    let (_, observations) = open
                        .entry(*capability.time())
                        .or_insert_with(|| (capability, Vec::new()));
                    observations.append(data);
                });
                while let Some(entry) = open.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (capability, observations) = entry.remove();
                    let mut session = output.session(&capability);
                    for moved in clocks.epoch(observations) {
                        session.give(moved);
                    }
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantKey = TenantKey(1);

    fn heard(source: u64, time_s: i64, received_s: i64) -> Observation {
        Observation::Heard {
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

    /// Plays epochs; returns the watermark in seconds after each, `None` before the first.
    fn watermarks(epochs: &[&[Observation]]) -> Vec<Option<i64>> {
        let mut clocks = Clocks::default();
        let mut latest = None;
        let mut play = |epoch: &&[Observation]| {
            let moved = clocks.epoch(epoch.to_vec());
            let seconds = |clock: Clock| clock.watermark.0.div_euclid(1_000_000_000);
            latest = moved
                .into_iter()
                .find_map(Move::clock)
                .map(seconds)
                .or(latest);
            latest
        };
        epochs.iter().map(&mut play).collect()
    }

    #[test]
    fn the_watermark_follows_the_slowest_live_source_and_never_falls() {
        // Lateness 60 s, idle after 300 s, at most 3,600 s behind.
        let cases: &[(&str, &[&[Observation]], &[Option<i64>])] = &[
            ("one source", &[&[heard(1, 1000, 1000)]], &[Some(940)]),
            (
                "the slower of two holds it",
                &[&[heard(1, 1000, 1000), heard(2, 900, 1000)]],
                &[Some(840)],
            ),
            (
                "a new slow source does not turn it back",
                &[&[heard(1, 1000, 1000)], &[heard(2, 500, 1001)]],
                &[Some(940), Some(940)],
            ),
            (
                "an idle source lets go",
                &[
                    &[heard(1, 1000, 1000), heard(2, 900, 1000)],
                    &[heard(1, 1400, 1400)],
                ],
                &[Some(840), Some(1340)],
            ),
            (
                "a tick alone lets an idle source go, and moves nothing where all are idle",
                &[
                    &[heard(1, 1000, 1200), heard(2, 900, 1000)],
                    &[now(1301)],
                    &[now(9000)],
                ],
                &[Some(840), Some(940), Some(940)],
            ),
            (
                "a heartbeat keeps a quiet source alive",
                &[&[heard(1, 1000, 1000)], &[now(2000), heartbeat(1, 1990)]],
                &[Some(940), Some(1930)],
            ),
            (
                "a source too far behind lets go",
                &[&[heard(1, 10_000, 1000), heard(2, 900, 1000)]],
                &[Some(9940)],
            ),
            (
                "the end of input claims all",
                &[&[heard(1, 1000, 1000), Observation::Finish]],
                &[Some(1000)],
            ),
        ];
        for (name, epochs, expected) in cases {
            assert_eq!(watermarks(epochs), *expected, "{name}");
        }
    }

    #[test]
    fn sources_that_do_not_hold_the_watermark_are_counted() {
        let mut clocks = Clocks::default();
        clocks.epoch(vec![
            heard(1, 10_000, 1000),
            heard(2, 900, 1000),
            heard(3, 9_000, 600),
        ]);
        let moved = clocks.epoch(vec![now(1001)]);
        assert!(moved.is_empty(), "nothing changed: {moved:?}");
        let moved = clocks.epoch(vec![now(1301)]);
        assert_eq!(moved.len(), 1, "all are idle now");
        let counts = |moved: &[Move]| {
            let clock = moved.iter().find_map(|moved| moved.clock());
            clock.map(|clock| (clock.idle, clock.lagging))
        };
        assert_eq!(counts(&moved), Some((3, 0)));
        let moved = clocks.epoch(vec![heard(1, 10_001, 1302), heard(2, 901, 1302)]);
        assert_eq!(counts(&moved), Some((1, 1)));
    }

    #[test]
    fn the_order_within_an_epoch_does_not_matter() {
        let mut epoch = [
            heard(1, 1000, 1000),
            heard(2, 900, 990),
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
