//! Chains: what one plan says is a fact to another, given and, where it was wrong, taken back.
//!
//! ```text
//!  stage 0   facts ─► sub-plan ─ firing anchors, or first anchors of episodes ─┐ +1, -1
//!  stage 1   facts ──────────────────────────────────────────────► plan ◄──────┘
//! ```
//!
//! Anchors before the settled line never change, so what is told or taken back never lies there.

use weir_schema::{Cause, Each, EventTime, EvidenceItem, Fact, Hearer, Link};

use super::groups::{Keyed, StateKey};
use super::plans::Running;
use super::run::Entry;
use super::tail::Tail;
use super::{Correlator, Output, clock_of};

/// What comes to a stage from those before it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Fed {
    /// Where a group belongs, then where that one does, and so on; never empty.
    Links(Vec<Link>),
    Fact {
        stage: u8,
        fact: Fact,
        /// How often it is given, or where below zero, taken back.
        times: isize,
        cause: Cause,
    },
}

impl Fed {
    /// The stage that it is for.
    #[must_use]
    pub fn stage(&self) -> u8 {
        match self {
            Self::Links(links) => links.first().map_or(0, |link| link.stage),
            Self::Fact { stage, .. } => *stage,
        }
    }

    /// Where a worker keeps what it is about.
    #[must_use]
    pub fn route(&self) -> u64 {
        match self {
            Self::Links(links) => links.first().map_or(0, |link| super::route(&link.group)),
            Self::Fact { fact, .. } => super::route(&fact.group),
        }
    }
}

/// What a group of a chain holds besides its events.
#[derive(Clone, Debug, Default)]
pub struct Chained {
    /// The group of the plan that hears this one, and where that belongs.
    links: Vec<Link>,
    /// What that plan was told, in order of time, but for what is settled.
    told: Vec<EvidenceItem>,
    /// Entries that are to be taken out again.
    pub gone: Vec<Entry>,
    /// What the changes of this epoch are put down to, where they came from another plan.
    pub cause: Option<Cause>,
}

impl Chained {
    /// Forgets what was told of anchors before `line`.
    pub fn forget_before(&mut self, line: i64) {
        let settled = self.told.partition_point(|item| item.time.0 < line);
        self.told.drain(..settled);
    }

    pub fn heap_bytes(&self) -> usize {
        let links = self.links.capacity() * size_of::<Link>();
        let told = self.told.capacity() * size_of::<EvidenceItem>();
        size_of::<Self>() + links + told + self.gone.capacity() * size_of::<Entry>()
    }
}

impl Correlator {
    /// Takes in what plans of stages before have told or taken back.
    pub(super) fn take_in_fed(&mut self, fed: &[Fed], output: &mut Output) {
        let mut sorted: Vec<&Fed> = fed.iter().filter(|fed| fed.stage() == self.stage).collect();
        // Links come before facts, but are of groups that facts of their plans have made.
        sorted.sort_unstable();
        let facts = sorted.iter().filter_map(|fed| match fed {
            Fed::Links(_) => None,
            Fed::Fact {
                fact, times, cause, ..
            } => Some((fact, *times, *cause)),
        });
        let mut facts = facts.peekable();
        while let Some((fact, mut times, mut cause)) = facts.next() {
            while let Some((_, more, other)) = facts.next_if(|(same, ..)| *same == fact) {
                times += more;
                cause = cause.min(other);
            }
            self.change(fact, times, cause, output);
        }
        for fed in sorted {
            let Fed::Links(links) = fed else { continue };
            let key = links
                .first()
                .map(|link| StateKey::of(link.plan, link.group));
            let place = key.and_then(|key| self.groups.find(key));
            if let Some(keyed) = place.and_then(|place| self.groups.get_mut(place)) {
                let chained = keyed.group.chain.get_or_insert_default();
                if chained.links.is_empty() {
                    chained.links.clone_from(links);
                }
            }
        }
    }

    fn change(&mut self, fact: &Fact, times: isize, cause: Cause, output: &mut Output) {
        let Some(slot) = self.slots.get(&fact.plan).copied() else {
            return; // Its plan is gone, or has ended.
        };
        let Some(Some(running)) = self.plans.get(slot as usize) else {
            return;
        };
        let now = self.clock_for(slot, clock_of(&self.clocks, fact.tenant));
        if fact.time < now.settled || fact.time >= running.plan.until {
            return;
        }
        let entry = running.condition.fed_entry(fact);
        for _ in 0..times.max(0) {
            self.push_entry(slot, fact, entry, &now, &mut output.counts);
        }
        let key = StateKey::of(fact.plan, fact.group);
        let Some(place) = self.groups.find(key) else {
            return; // It was refused when it was given.
        };
        let Some(keyed) = self.groups.get_mut(place) else {
            return;
        };
        let chained = keyed.group.chain.get_or_insert_default();
        let gone = times.min(0).unsigned_abs();
        chained.gone.extend(std::iter::repeat_n(entry, gone));
        chained.cause = Some(chained.cause.map_or(cause, |known| known.min(cause)));
        if !keyed.group.touched {
            keyed.group.touched = true;
            self.touched.push(place);
        }
    }
}

/// Tells the plan that hears this one what changed of its anchors in `[from, to]`, of which those
/// after `open` do not fire.
pub fn tell(
    running: &Running,
    keyed: &mut Keyed,
    ((from, to), open): ((i64, i64), i64),
    cause: Cause,
    fed: &mut Vec<Fed>,
) {
    let Hearer::Plan(feed) = running.plan.hearer else {
        return;
    };
    let group = &mut keyed.group;
    let links = group.chain.as_ref().map(|chain| chain.links.clone());
    let links = links.unwrap_or_default();
    let Some((link, onward)) = links.split_first() else {
        return; // A group has its links from its first event on.
    };
    let from = from.max(group.frozen);
    let mut anchors = Vec::new();
    match feed.each {
        Each::Anchor => {
            let runs = (&group.run, &group.others);
            let range = (from, to.min(open));
            running
                .condition
                .firing(runs, range, &mut Tail::default(), &mut anchors);
        }
        Each::Episode => {
            let first = group.episodes.iter().map(|episode| episode.from);
            anchors.extend(first.filter(|first| (from..=to).contains(first)));
        }
    }
    let item = |anchor: i64| {
        let last = group.run.up_to(anchor).checked_sub(1)?;
        Some(group.run.entries().get(last)?.item())
    };
    let now: Vec<EvidenceItem> = anchors.into_iter().filter_map(item).collect();
    let Some(chained) = group.chain.as_deref_mut() else {
        return;
    };
    let low = chained.told.partition_point(|item| item.time.0 < from);
    let high = low + chained.told[low..].partition_point(|item| item.time.0 <= to);
    let before = &chained.told[low..high];
    let tenant = keyed.tenant;
    let mut say = |item: &EvidenceItem, times: isize| {
        let fact = Fact {
            plan: feed.plan,
            tenant,
            group: link.to,
            time: EventTime(item.time.0),
            event: item.event,
            position: item.position,
            member: feed.member,
            value: link.value,
        };
        let stage = feed.stage;
        fed.push(Fed::Fact {
            stage,
            fact,
            times,
            cause,
        });
    };
    // Both are in order of time, and an anchor stands once.
    for item in before
        .iter()
        .filter(|item| now.binary_search(item).is_err())
    {
        say(item, -1);
    }
    let new = now
        .iter()
        .filter(|item| before.binary_search(item).is_err());
    let mut any = false;
    for item in new {
        say(item, 1);
        any = true;
    }
    if any && !onward.is_empty() {
        fed.push(Fed::Links(onward.to_vec()));
    }
    chained.told.splice(low..high, now);
}
