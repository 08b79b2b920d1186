//! Watermark and settled line of each tenant, from what its sources were heard to say.
//!
//! `W` = least over live sources of (greatest credible event time) - lateness, never falling;
//! `A` = `W` - horizon. Both are functions of the journal: "now" is the greatest receive time in it.

use std::collections::BTreeMap;

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
}

impl Clock {
    /// Before anything was heard.
    #[must_use]
    pub const fn start(tenant: TenantKey) -> Self {
        Self {
            tenant,
            watermark: EventTime::MIN,
            settled: EventTime::MIN,
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
}

/// All clocks. Pure: the operator below feeds it epoch by epoch.
#[derive(Debug)]
pub struct Clocks {
    bounds: TimeBounds,
    now: ReceiveTime,
    finished: bool,
    tenants: BTreeMap<TenantKey, Tenant>,
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
        }
    }
}

impl Clocks {
    /// Takes an epoch's observations in; returns the clocks that moved, in order of tenant.
    pub fn epoch(&mut self, mut observations: Vec<Observation>) -> Vec<Clock> {
        observations.sort_unstable();
        for observation in observations {
            match observation {
                Observation::Bounds(bounds) => self.bounds = bounds,
                Observation::Now(now) => self.now = self.now.max(now),
                Observation::Finish => self.finished = true,
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
        let moved = |tenant: &mut Tenant| tenant.advance(&bounds, now, finished);
        self.tenants.values_mut().filter_map(moved).collect()
    }

    fn hear(&mut self, key: TenantKey, source: SourceKey, time: EventTime, at: ReceiveTime) {
        self.now = self.now.max(at);
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
    }
}

impl Tenant {
    fn advance(&mut self, bounds: &TimeBounds, now: ReceiveTime, finished: bool) -> Option<Clock> {
        let furthest = self.sources.values().map(|heard| heard.greatest).max()?;
        let watermark = if finished {
            furthest
        } else if bounds.live {
            self.sources
                .values()
                .filter(|heard| heard.received.plus(bounds.idle) >= now)
                .filter(|heard| heard.greatest.plus(bounds.lag_max) >= furthest)
                .map(|heard| heard.greatest)
                .min()?
                .minus(bounds.lateness)
        } else {
            return None;
        };
        let old = self.clock;
        self.clock.watermark = old.watermark.max(watermark);
        let settled = bounds.horizon.map_or(EventTime::MIN, |horizon: Span| {
            self.clock.watermark.minus(horizon)
        });
        self.clock.settled = old.settled.max(settled);
        (self.clock != old).then_some(self.clock)
    }
}

/// The clocks that move, at the epoch at whose end they do. One worker keeps them all.
pub fn clocks<'scope>(
    observations: Stream<'scope, u64, Vec<Observation>>,
) -> Stream<'scope, u64, Vec<Clock>> {
    observations.unary_frontier::<CapacityContainerBuilder<Vec<Clock>>, _, _, _>(
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
                    for clock in clocks.epoch(observations) {
                        session.give(clock);
                    }
                }
            }
        },
    )
}
