//! The oracle's watermark: a plain loop over who was heard, told anew each time.

use std::collections::BTreeMap;

use weir_schema::{EventTime, ReceiveTime, TimeBounds};

/// Who was heard, when, and what time it told; the watermark follows.
#[derive(Default)]
pub struct Watch {
    pub now: Option<ReceiveTime>,
    tenants: BTreeMap<String, Tenant>,
}

/// What is heard of one tenant.
#[derive(Default)]
struct Tenant {
    /// Greatest credible event time and last receipt of each source.
    sources: BTreeMap<String, (EventTime, ReceiveTime)>,
    watermark: Option<EventTime>,
}

impl Watch {
    pub fn tick(&mut self, received: ReceiveTime) {
        self.now = self.now.max(Some(received));
    }

    pub fn hear(&mut self, tenant: &str, source: &str, time: EventTime, received: ReceiveTime) {
        let tenant = self.tenants.entry(tenant.to_owned()).or_default();
        let heard = tenant.sources.entry(source.to_owned());
        let heard = heard.or_insert((time, received));
        *heard = (heard.0.max(time), heard.1.max(received));
    }

    /// How far each source of each tenant has told.
    pub fn heard(&self) -> impl Iterator<Item = (&str, &str, EventTime)> {
        self.tenants.iter().flat_map(|(tenant, known)| {
            let sources = known.sources.iter();
            sources.map(|(source, heard)| (tenant.as_str(), source.as_str(), heard.0))
        })
    }

    /// The watermark of each tenant that has one.
    pub fn watermarks(&mut self, bounds: &TimeBounds) -> Vec<(String, EventTime)> {
        let now = self.now;
        let reached = |(name, tenant): (&String, &mut Tenant)| {
            let watermark = tenant.watermark(bounds, now)?;
            Some((name.clone(), watermark))
        };
        self.tenants.iter_mut().filter_map(reached).collect()
    }
}

impl Tenant {
    /// The least that a live source has told, less the lateness; it never falls.
    fn watermark(&mut self, bounds: &TimeBounds, now: Option<ReceiveTime>) -> Option<EventTime> {
        let furthest = self.sources.values().map(|heard| heard.0).max()?;
        let mut least = None;
        for (time, received) in self.sources.values() {
            let idle = Some(received.plus(bounds.idle)) < now;
            let behind = time.plus(bounds.lag_max) < furthest;
            if !idle && !behind && least.is_none_or(|least| *time < least) {
                least = Some(*time);
            }
        }
        let reached = least.map(|least| least.minus(bounds.lateness));
        self.watermark = self.watermark.max(reached);
        self.watermark
    }
}
