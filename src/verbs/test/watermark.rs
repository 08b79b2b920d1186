//! The watermark of the oracle: a plain loop over all sources, computed again each time.

use std::collections::BTreeMap;

use weir_schema::{EventTime, ReceiveTime, TimeBounds};

/// The event times and receipts of all sources, from which the watermark follows.
#[derive(Default)]
pub struct OracleWatermark {
    pub now: Option<ReceiveTime>,
    tenants: BTreeMap<String, TenantSources>,
}

/// The sources of one tenant.
#[derive(Default)]
struct TenantSources {
    sources: BTreeMap<String, OracleSource>,
    watermark: Option<EventTime>,
}

/// The greatest credible event time and the last receipt of a source.
#[derive(Clone, Copy)]
struct OracleSource {
    time: EventTime,
    received: ReceiveTime,
    /// Whether it has reached the watermark, and holds it since.
    holds: bool,
}

impl OracleWatermark {
    /// Advances the receive time.
    pub fn tick(&mut self, received: ReceiveTime) {
        self.now = self.now.max(Some(received));
    }

    /// Observes an event of a source.
    pub fn observe(&mut self, tenant: &str, source: &str, time: EventTime, received: ReceiveTime) {
        let tenant = self.tenants.entry(tenant.to_owned()).or_default();
        let latest = tenant.sources.entry(source.to_owned());
        let latest = latest.or_insert(OracleSource {
            time,
            received,
            holds: false,
        });
        latest.time = latest.time.max(time);
        latest.received = latest.received.max(received);
    }

    /// Tenant, source and greatest event time of every source.
    pub fn greatest_times(&self) -> impl Iterator<Item = (&str, &str, EventTime)> {
        self.tenants.iter().flat_map(|(tenant, known)| {
            let sources = known.sources.iter();
            sources.map(|(source, latest)| (tenant.as_str(), source.as_str(), latest.time))
        })
    }

    /// The watermark of each tenant that has one.
    pub fn watermarks(&mut self, bounds: &TimeBounds) -> Vec<(String, EventTime)> {
        let now = self.now;
        let reached = |(name, tenant): (&String, &mut TenantSources)| {
            let watermark = tenant.watermark(bounds, now)?;
            Some((name.clone(), watermark))
        };
        self.tenants.iter_mut().filter_map(reached).collect()
    }
}

impl TenantSources {
    /// The least event time of the live sources that hold it, minus the lateness; it never falls.
    fn watermark(&mut self, bounds: &TimeBounds, now: Option<ReceiveTime>) -> Option<EventTime> {
        let furthest = self.sources.values().map(|source| source.time).max()?;
        let mut least = None;
        for source in self.sources.values_mut() {
            let reached = Some(source.time.minus(bounds.lateness)) >= self.watermark;
            source.holds |= reached;
            let idle = Some(source.received.plus(bounds.idle)) < now;
            let behind = source.time.plus(bounds.lag_max) < furthest;
            let live = source.holds && !idle && !behind;
            if live && least.is_none_or(|least| source.time < least) {
                least = Some(source.time);
            }
        }
        let reached = least.map(|least| least.minus(bounds.lateness));
        self.watermark = self.watermark.max(reached);
        self.watermark
    }
}
