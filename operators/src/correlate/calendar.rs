//! Which groups to look at when a clock moves: those that can forget, and those that wait for confirmation.

use std::collections::BTreeMap;

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
    blind: BTreeMap<(SourceKey, i64), Vec<Slot>>,
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
            once(self.blind.entry(key).or_default(), place);
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
        take(&mut self.forget, tenant, settled.saturating_sub(1))
    }
}

/// A group says so at every touch; once in a row is enough.
fn once(waiting: &mut Vec<Slot>, place: Slot) {
    if waiting.last() != Some(&place) {
        waiting.push(place);
    }
}

fn take<K: Copy + Ord>(queue: &mut BTreeMap<(K, i64), Vec<Slot>>, key: K, up_to: i64) -> Vec<Slot> {
    let mut keys = Vec::new();
    while let Some(entry) = queue.range((key, i64::MIN)..=(key, up_to)).next() {
        let at = *entry.0;
        keys.extend(queue.remove(&at).unwrap_or_default());
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}
