//! Which groups to look at when a clock moves: those that can forget, and those that wait for confirmation.

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{SourceKey, TenantKey};

use super::group::Group;
use super::groups::Slot;
use super::identity::Waits;
use super::windows::Condition;

/// Queues by event time. A group stands at most once in the first.
#[derive(Debug, Default)]
pub struct Calendar {
    forget: BTreeMap<(TenantKey, i64), Vec<Slot>>,
    confirm: BTreeMap<(TenantKey, i64), Vec<Slot>>,
    /// By the source that is to be heard, and how far.
    blind: BTreeMap<(SourceKey, i64), BTreeSet<Slot>>,
    /// The sources above by when their alerts are settled: then nobody waits for them any more.
    unheard: BTreeMap<(TenantKey, i64), BTreeSet<SourceKey>>,
}

impl Calendar {
    /// Notes when `group` can next forget something, unless that is noted already.
    pub fn expect(
        &mut self,
        tenant: TenantKey,
        place: Slot,
        group: &mut Group,
        condition: &Condition,
    ) {
        if group.expected {
            return;
        }
        let oldest = [group.run.entries().first(), group.others.entries().first()]
            .into_iter()
            .flatten()
            .map(|entry| entry.time)
            .chain(group.episodes.first().map(|episode| episode.to))
            .min();
        let Some(oldest) = oldest else { return };
        // Later is harmless, so groups share days of a sixteenth of a window, a second at least.
        let grain = (condition.timespan / 16).max(1_000_000_000);
        let due = oldest.saturating_add(condition.timespan);
        let due = due.saturating_add(grain) / grain * grain;
        self.forget.entry((tenant, due)).or_default().push(place);
        group.expected = true;
    }

    /// Notes what the alerts of a group wait for.
    pub fn wait(&mut self, tenant: TenantKey, waits: Waits, place: Slot) {
        for anchor in waits.provisional {
            self.conclude(tenant, anchor, place);
        }
        for key in waits.blind {
            self.blind.entry(key).or_default().insert(place);
            self.unheard
                .entry((tenant, key.1))
                .or_default()
                .insert(key.0);
        }
    }

    /// Notes that a group has an anchor to look at once the watermark has come to it.
    pub fn conclude(&mut self, tenant: TenantKey, anchor: i64, place: Slot) {
        once(self.confirm.entry((tenant, anchor)).or_default(), place);
    }

    /// Groups with alerts that are blind no more, now that the source has told so much.
    pub fn heard(&mut self, source: SourceKey, time: i64) -> Vec<Slot> {
        take(&mut self.blind, source, time)
    }

    /// Groups that have an anchor at or before `watermark` to confirm.
    pub fn confirmed(&mut self, tenant: TenantKey, watermark: i64) -> Vec<Slot> {
        take(&mut self.confirm, tenant, watermark)
    }

    /// Groups that can forget something once the settled line has come to `settled`.
    pub fn due(&mut self, tenant: TenantKey, settled: i64) -> Vec<Slot> {
        let before = settled.saturating_sub(1);
        while let Some(entry) = self
            .unheard
            .range((tenant, i64::MIN)..=(tenant, before))
            .next()
        {
            let at = *entry.0;
            for source in self.unheard.remove(&at).unwrap_or_default() {
                self.blind.remove(&(source, at.1));
            }
        }
        take(&mut self.forget, tenant, before)
    }
}

/// A group says so at every touch; once in a row is enough.
fn once(waiting: &mut Vec<Slot>, place: Slot) {
    if waiting.last() != Some(&place) {
        waiting.push(place);
    }
}

fn take<K: Copy + Ord, S: Default + IntoIterator<Item = Slot>>(
    queue: &mut BTreeMap<(K, i64), S>,
    key: K,
    up_to: i64,
) -> Vec<Slot> {
    let mut keys = Vec::new();
    while let Some(entry) = queue.range((key, i64::MIN)..=(key, up_to)).next() {
        let at = *entry.0;
        keys.extend(queue.remove(&at).unwrap_or_default());
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_source_that_is_never_heard_again() {
        let (tenant, source) = (TenantKey(1), SourceKey(7));
        let mut calendar = Calendar::default();
        for time in 0..100 {
            for place in [Slot::of(1), Slot::of(2), Slot::of(1)] {
                let blind = vec![(source, time)];
                let provisional = Vec::new();
                let waits = Waits { provisional, blind };
                calendar.wait(tenant, waits, place);
            }
            calendar.due(tenant, time - 9);
            assert!(calendar.blind.len() <= 10, "{:?}", calendar.blind);
        }
        assert_eq!(calendar.heard(source, 95), [Slot::of(1), Slot::of(2)]);
        calendar.due(tenant, 1_000);
        assert!(calendar.blind.is_empty() && calendar.unheard.is_empty());
    }
}
