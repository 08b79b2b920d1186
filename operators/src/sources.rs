//! Alerts about sources: silent, lagging, flooding, and those whose clock runs ahead.
//!
//! Functions of the journal, as every alert is: "now" is the greatest receive time in it, bounds are
//! an entry, and what a source sent is counted in minutes of receipt. A start of the server is no
//! silence of its sources: nobody listened.

mod rate;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::core::Map;
use timely::dataflow::operators::generic::operator::Operator;
use weir_schema::{
    AlertId, AlertRow, AlertState, Cause, Epoch, EventTime, Evidence, EvidenceItem, GroupKey,
    Level, ReceiveTime, SourceBounds, SourceKey, Span, TenantKey,
};

use crate::clock::SOURCES_MAX;
use crate::correlate::CorrelateNote;
use crate::decode::Note;
use rate::Rate;
pub use trouble::Trouble;

/// A clock is right again once nothing skewed has come for so long.
const CALM: Span = Span::seconds(300);

/// What is heard of sources, per epoch. Order among those of one epoch does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SourceNote {
    Bounds(SourceBounds),
    /// A server began to listen.
    Start(ReceiveTime),
    Now(ReceiveTime),
    /// A source said that it has nothing to tell: it is not silent.
    Heartbeat {
        tenant: TenantKey,
        source: SourceKey,
    },
    Heard(SourceHeard),
}

/// What a batch says of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceHeard {
    pub tenant: TenantKey,
    pub source: SourceKey,
    pub received: ReceiveTime,
    pub events: u64,
    /// The event of the greatest credible time; where there is none, the first.
    pub newest: EvidenceItem,
    pub credible: bool,
    /// Its events that say times beyond their receipt and `clock_skew`, and the first of them.
    pub skewed: u64,
    pub first_skewed: Option<EvidenceItem>,
}

/// How many sources are in trouble, by place in [`Trouble::ALL`], over all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    pub standing: [u32; Trouble::ALL.len()],
    /// Batches of the epoch, of sources past the limit of their tenant.
    pub unwatched: u64,
}

/// What an epoch leads to.
#[derive(Clone, Debug)]
pub enum SourceSaid {
    Row((Arc<AlertRow>, Level), isize),
    Retracted(AlertId, Cause),
    Troubles(Troubles),
}

/// All sources. Pure: the operator below feeds it epoch by epoch.
#[derive(Debug)]
pub struct Sources {
    bounds: SourceBounds,
    now: ReceiveTime,
    swept: ReceiveTime,
    tenants: BTreeMap<TenantKey, Tenant>,
    told: Troubles,
    unwatched: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    sources: BTreeMap<SourceKey, Source>,
    furthest: Option<EventTime>,
}

#[derive(Debug)]
struct Source {
    first_heard: ReceiveTime,
    last_heard: ReceiveTime,
    /// The last event heard.
    last: EvidenceItem,
    rate: Rate,
    lagging_since: Option<ReceiveTime>,
    skew: Option<Skew>,
    said: [Option<Arc<AlertRow>>; Trouble::ALL.len()],
}

#[derive(Clone, Copy, Debug)]
struct Skew {
    since: ReceiveTime,
    last: ReceiveTime,
    first: EvidenceItem,
    newest: EvidenceItem,
    count: u64,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            bounds: SourceBounds::default(),
            now: ReceiveTime::MIN,
            swept: ReceiveTime::MIN,
            tenants: BTreeMap::new(),
            told: Troubles::default(),
            unwatched: 0,
        }
    }
}

impl Sources {
    /// Takes in what an epoch heard; returns what changed, in order of tenant and source.
    pub fn epoch(&mut self, mut notes: Vec<SourceNote>) -> Vec<SourceSaid> {
        // Bounds and starts come first, then sources, each in the order of the journal.
        notes.sort_unstable_by_key(|note| match note {
            SourceNote::Heard(heard) => (1, heard.newest.position.batch(), *note),
            _ => (0, weir_schema::BatchSeq(0), *note),
        });
        let mut said = Vec::new();
        for note in notes {
            match note {
                SourceNote::Bounds(bounds) => self.rebound(bounds, &mut said),
                SourceNote::Start(at) => self.start(at),
                SourceNote::Now(now) => self.now = self.now.max(now),
                SourceNote::Heartbeat { tenant, source } => self.beat(tenant, source, &mut said),
                SourceNote::Heard(heard) => self.hear(&heard, &mut said),
            }
        }
        // Once a second of receipt: there may be many sources, and epochs are short.
        if self.now >= self.swept.plus(Span::SECOND) {
            self.swept = self.now;
            self.sweep(&mut said);
        }
        self.tell(&mut said);
        said
    }

    /// Other bounds are other rules: what was said under those before is taken back.
    fn rebound(&mut self, bounds: SourceBounds, said: &mut Vec<SourceSaid>) {
        if bounds == self.bounds {
            return;
        }
        self.bounds = bounds;
        let sources = self
            .tenants
            .values_mut()
            .flat_map(|t| t.sources.values_mut());
        for source in sources {
            for trouble in Trouble::ALL {
                source.retract(trouble, Cause::Rule(trouble.version()), said);
            }
            (source.lagging_since, source.skew) = (None, None);
        }
        if !bounds.is_on() {
            self.tenants.clear();
        }
    }

    /// What was not heard while nobody listened is no silence, and no lack of events.
    fn start(&mut self, at: ReceiveTime) {
        self.now = self.now.max(at);
        let sources = self
            .tenants
            .values_mut()
            .flat_map(|t| t.sources.values_mut());
        for source in sources {
            source.last_heard = source.last_heard.max(at);
            source.rate.skip_to(at);
        }
    }

    fn hear(&mut self, heard: &SourceHeard, said: &mut Vec<SourceSaid>) {
        self.now = self.now.max(heard.received);
        let tenant = self.tenants.entry(heard.tenant).or_default();
        let full = tenant.sources.len() >= SOURCES_MAX;
        if full && !tenant.sources.contains_key(&heard.source) {
            self.unwatched = self.unwatched.saturating_add(1);
            return;
        }
        let source = tenant
            .sources
            .entry(heard.source)
            .or_insert_with(|| Source::new(heard));
        if heard.credible {
            tenant.furthest = tenant.furthest.max(Some(heard.newest.time));
        }
        source.hear(heard, &self.bounds, tenant.furthest, said);
    }

    fn beat(&mut self, tenant: TenantKey, source: SourceKey, said: &mut Vec<SourceSaid>) {
        let now = self.now;
        let tenant = self.tenants.get_mut(&tenant);
        if let Some(source) = tenant.and_then(|tenant| tenant.sources.get_mut(&source)) {
            source.last_heard = source.last_heard.max(now);
            source.retract(Trouble::Silent, Cause::Clock(now), said);
        }
    }

    fn sweep(&mut self, said: &mut Vec<SourceSaid>) {
        for (tenant, of) in &mut self.tenants {
            for (key, source) in &mut of.sources {
                source.sweep((*tenant, *key), self.now, &self.bounds, said);
            }
        }
    }

    fn tell(&mut self, said: &mut Vec<SourceSaid>) {
        if said.is_empty() && self.unwatched == 0 {
            return;
        }
        let mut troubles = Troubles::default();
        for source in self.tenants.values().flat_map(|t| t.sources.values()) {
            for (count, said) in troubles.standing.iter_mut().zip(&source.said) {
                *count += u32::from(said.is_some());
            }
        }
        if troubles != self.told || self.unwatched > 0 {
            self.told = troubles;
            troubles.unwatched = std::mem::take(&mut self.unwatched);
            said.push(SourceSaid::Troubles(troubles));
        }
    }
}

impl Source {
    fn new(heard: &SourceHeard) -> Self {
        let mut rate = Rate::default();
        rate.skip_to(heard.received);
        Self {
            first_heard: heard.received,
            last_heard: heard.received,
            last: heard.newest,
            rate,
            lagging_since: None,
            skew: None,
            said: [const { None }; Trouble::ALL.len()],
        }
    }

    fn hear(
        &mut self,
        heard: &SourceHeard,
        bounds: &SourceBounds,
        furthest: Option<EventTime>,
        said: &mut Vec<SourceSaid>,
    ) {
        let (key, cause) = ((heard.tenant, heard.source), Cause::Event(heard.newest));
        self.last_heard = self.last_heard.max(heard.received);
        self.last = heard.newest;
        self.retract(Trouble::Silent, cause, said);
        self.rate.advance(heard.received, bounds);
        self.rate.in_minute = self.rate.in_minute.saturating_add(heard.events);
        if self.rate.in_minute > self.rate.most(bounds) {
            let item = [heard.newest];
            self.raise(
                Trouble::Flooding,
                key,
                &item,
                self.rate.in_minute,
                cause,
                said,
            );
        }
        let behind = |furthest: EventTime| heard.newest.time.plus(bounds.lagging) < furthest;
        if bounds.lagging.0 > 0 && heard.credible && furthest.is_some_and(behind) {
            let since = *self.lagging_since.get_or_insert(heard.received);
            if heard.received >= since.plus(bounds.patience) {
                self.raise(Trouble::Lagging, key, &[heard.newest], 1, cause, said);
            }
        } else {
            self.lagging_since = None;
            self.retract(Trouble::Lagging, cause, said);
        }
        if let Some(first) = heard.first_skewed {
            self.skewed(heard, first, bounds, said);
        }
    }

    fn skewed(
        &mut self,
        heard: &SourceHeard,
        first: EvidenceItem,
        bounds: &SourceBounds,
        said: &mut Vec<SourceSaid>,
    ) {
        let calm = |skew: &Skew| skew.last.plus(CALM) < heard.received;
        let known = self.skew.filter(|skew| !calm(skew));
        let mut skew = known.unwrap_or(Skew {
            since: heard.received,
            last: heard.received,
            first,
            newest: first,
            count: 0,
        });
        skew.last = skew.last.max(heard.received);
        skew.newest = first;
        skew.count = skew.count.saturating_add(heard.skewed);
        self.skew = Some(skew);
        if heard.received >= skew.since.plus(bounds.patience) {
            let mut items = vec![skew.first, skew.newest];
            items.dedup();
            let (key, cause) = ((heard.tenant, heard.source), Cause::Event(first));
            self.raise(Trouble::ClockSkew, key, &items, skew.count, cause, said);
        }
    }

    /// What time alone brings about.
    fn sweep(
        &mut self,
        key: (TenantKey, SourceKey),
        now: ReceiveTime,
        bounds: &SourceBounds,
        said: &mut Vec<SourceSaid>,
    ) {
        let cause = Cause::Clock(now);
        let known = self.last_heard.minus(bounds.silent) >= self.first_heard;
        if bounds.silent.0 > 0 && known && self.last_heard.plus(bounds.silent) < now {
            self.raise(Trouble::Silent, key, &[self.last], 1, cause, said);
            // Of what is not heard it is not known how far behind it is.
            self.lagging_since = None;
            self.retract(Trouble::Lagging, cause, said);
        }
        self.rate.advance(now, bounds);
        let most = self.rate.most(bounds);
        if self.rate.before <= most && self.rate.in_minute <= most {
            self.retract(Trouble::Flooding, cause, said);
        }
        if self.skew.is_some_and(|skew| skew.last.plus(CALM) < now) {
            self.skew = None;
            self.retract(Trouble::ClockSkew, cause, said);
        }
    }

    /// Says that a trouble stands; again only once its count has come to another power of two.
    fn raise(
        &mut self,
        trouble: Trouble,
        (tenant, source): (TenantKey, SourceKey),
        items: &[EvidenceItem],
        count: u64,
        cause: Cause,
        said: &mut Vec<SourceSaid>,
    ) {
        let (Some(first), Some(last)) = (items.first(), items.last()) else {
            return;
        };
        let Some(place) = Trouble::ALL.iter().position(|known| *known == trouble) else {
            return;
        };
        let before = self.said[place].take();
        if let Some(before) = before {
            if count <= before.count || count.checked_ilog2() == before.count.checked_ilog2() {
                self.said[place] = Some(before);
                return;
            }
            said.push(SourceSaid::Row((Arc::clone(&before), trouble.level()), -1));
            let row = Arc::new(AlertRow {
                count,
                last: last.time.max(before.last),
                cause,
                ..AlertRow::clone(&before)
            });
            said.push(SourceSaid::Row((Arc::clone(&row), trouble.level()), 1));
            self.said[place] = Some(row);
            return;
        }
        let row = Arc::new(first_row(
            trouble,
            (tenant, source),
            items,
            (*first, *last),
            (count, cause),
        ));
        said.push(SourceSaid::Row((Arc::clone(&row), trouble.level()), 1));
        self.said[place] = Some(row);
    }

    fn retract(&mut self, trouble: Trouble, cause: Cause, said: &mut Vec<SourceSaid>) {
        let place = Trouble::ALL.iter().position(|known| *known == trouble);
        if let Some(row) = place.and_then(|place| self.said.get_mut(place)?.take()) {
            said.push(SourceSaid::Retracted(row.alert, cause));
            said.push(SourceSaid::Row((row, trouble.level()), -1));
        }
    }
}

/// What is said of a trouble at first.
fn first_row(
    trouble: Trouble,
    (tenant, source): (TenantKey, SourceKey),
    items: &[EvidenceItem],
    (first, last): (EvidenceItem, EvidenceItem),
    (count, cause): (u64, Cause),
) -> AlertRow {
    let group = GroupKey::of(&[
        b"weir.source",
        &tenant.0.to_le_bytes(),
        &source.0.to_le_bytes(),
    ]);
    let alert = AlertId::of_episode(tenant, trouble.rule(), &group, first.time);
    AlertRow {
        alert,
        key: alert,
        plan: trouble.plan(),
        placed: Epoch(0),
        version: trouble.version(),
        tenant,
        group,
        state: AlertState::Confirmed,
        from: first.time,
        first: first.time,
        last: last.time,
        count,
        limited: false,
        supersedes: Vec::new(),
        evidence: Evidence {
            head: items.to_vec(),
            tail: Vec::new(),
        },
        cause,
    }
}

type RowUpdate = ((Arc<AlertRow>, Level), u64, isize);

/// The streams of what is said of sources.
pub struct SourceAlerts<'scope> {
    pub rows: Stream<'scope, u64, Vec<RowUpdate>>,
    pub retractions: Stream<'scope, u64, Vec<CorrelateNote>>,
    pub notes: Stream<'scope, u64, Vec<Note>>,
}

/// Watches the sources, at the end of each epoch. One worker watches them all.
pub fn sources<'scope>(notes: Stream<'scope, u64, Vec<SourceNote>>) -> SourceAlerts<'scope> {
    let said = notes.unary_frontier::<CapacityContainerBuilder<Vec<(u64, SourceSaid)>>, _, _, _>(
        Exchange::new(|_: &SourceNote| 0),
        "Sources",
        |_capability, _info| {
            let mut sources = Sources::default();
            let mut open = BTreeMap::new();
            move |(input, frontier), output| {
                input.for_each(|capability, data| {
                    let Some(capability) = capability.retain_least(0) else {
                        return;
                    };
                    let (_, notes) = open
                        .entry(*capability.time())
                        .or_insert_with(|| (capability, Vec::new()));
                    notes.append(data);
                });
                while let Some(entry) = open.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let epoch = *entry.key();
                    let (capability, notes) = entry.remove();
                    let mut session = output.session(&capability);
                    for said in sources.epoch(notes) {
                        session.give((epoch, said));
                    }
                }
            }
        },
    );
    SourceAlerts {
        rows: said.clone().flat_map(|(epoch, said)| match said {
            SourceSaid::Row(row, diff) => Some((row, epoch, diff)),
            SourceSaid::Retracted(..) | SourceSaid::Troubles(_) => None,
        }),
        retractions: said.clone().flat_map(|(_, said)| match said {
            SourceSaid::Retracted(alert, cause) => Some(CorrelateNote::Retracted(alert, cause)),
            SourceSaid::Row(..) | SourceSaid::Troubles(_) => None,
        }),
        notes: said.flat_map(|(_, said)| match said {
            SourceSaid::Troubles(troubles) => Some(Note::Sources(troubles)),
            SourceSaid::Row(..) | SourceSaid::Retracted(..) => None,
        }),
    }
}

#[cfg(test)]
mod tests;
