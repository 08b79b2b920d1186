//! The groups to look at when a clock or a source advances.

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{EventTime, SourceKey, Span, TenantKey};

use super::condition::WindowCondition;
use super::group::Group;
use super::pending::{BlindAlert, PendingAlerts};
use super::slots::GroupSlot;

/// Queues of groups by event time.
///
/// **Invariant.** A group is at most once in `forget`. In the other queues it may be listed after
/// its slot was given to another group, so the reader checks what it finds.
///
/// **Cost.** O(log queue) to add a group or to find the next one; an advance reads only due groups.
#[derive(Debug, Default)]
pub struct Calendar {
    forget: BTreeMap<(TenantKey, EventTime), Vec<GroupSlot>>,
    confirm: BTreeMap<(TenantKey, EventTime), Vec<GroupSlot>>,
    /// By source, and the time up to which it must be observed.
    blind: BTreeMap<(SourceKey, EventTime), BTreeSet<GroupSlot>>,
    /// The keys of `blind` by the time at which their alerts settle and stop waiting.
    blind_until: BTreeMap<(TenantKey, EventTime), BTreeSet<SourceKey>>,
}

impl Calendar {
    /// Schedules the time at which `group` can next forget something, unless that is done.
    pub fn schedule(
        &mut self,
        tenant: TenantKey,
        place: GroupSlot,
        group: &mut Group,
        condition: &WindowCondition,
    ) {
        if group.scheduled {
            return;
        }
        let anchors = group.anchors.entries().first();
        let oldest = [anchors, group.negated.entries().first()]
            .into_iter()
            .flatten()
            .map(|entry| entry.time)
            .chain(group.episodes.first().map(|episode| episode.to))
            .min();
        let Some(oldest) = oldest else { return };
        let due = round_up(oldest.plus(condition.timespan), condition.timespan);
        self.forget.entry((tenant, due)).or_default().push(place);
        group.scheduled = true;
    }

    /// Registers the alerts of a group that are not final.
    pub fn await_final(&mut self, tenant: TenantKey, pending: PendingAlerts, place: GroupSlot) {
        for anchor in pending.provisional {
            self.conclude(tenant, anchor, place);
        }
        for BlindAlert { source, until } in pending.blind {
            self.blind.entry((source, until)).or_default().insert(place);
            self.blind_until
                .entry((tenant, until))
                .or_default()
                .insert(source);
        }
    }

    /// Registers an anchor of a group to look at once the watermark reaches it.
    pub fn conclude(&mut self, tenant: TenantKey, anchor: EventTime, place: GroupSlot) {
        let waiting = self.confirm.entry((tenant, anchor)).or_default();
        // A group registers at every touch: skip repeats in a row.
        if waiting.last() != Some(&place) {
            waiting.push(place);
        }
    }

    /// Takes the groups with blind alerts whose source was now observed up to `time`.
    pub fn take_blind(&mut self, source: SourceKey, time: EventTime) -> Vec<GroupSlot> {
        take_through(&mut self.blind, source, time)
    }

    /// Takes the groups that have an anchor at or before `watermark` to confirm.
    pub fn take_confirmable(&mut self, tenant: TenantKey, watermark: EventTime) -> Vec<GroupSlot> {
        take_through(&mut self.confirm, tenant, watermark)
    }

    /// Takes the groups that can forget something before `settled`; drops settled blind alerts.
    pub fn take_forgettable(&mut self, tenant: TenantKey, settled: EventTime) -> Vec<GroupSlot> {
        let before = settled.previous();
        let open = (tenant, EventTime::MIN)..=(tenant, before);
        while let Some(entry) = self.blind_until.range(open.clone()).next() {
            let at = *entry.0;
            for source in self.blind_until.remove(&at).unwrap_or_default() {
                self.blind.remove(&(source, at.1));
            }
        }
        take_through(&mut self.forget, tenant, before)
    }
}

/// Rounds up to a sixteenth of the timespan, at least a second, so that groups share entries.
///
/// Forgetting later is harmless.
fn round_up(time: EventTime, timespan: Span) -> EventTime {
    let grain = (timespan.0 / 16).max(Span::SECOND.0);
    EventTime(time.0.saturating_add(grain) / grain * grain)
}

/// Removes and returns the groups under `key` at or before `time`, each once.
fn take_through<K: Copy + Ord, S: Default + IntoIterator<Item = GroupSlot>>(
    queue: &mut BTreeMap<(K, EventTime), S>,
    key: K,
    time: EventTime,
) -> Vec<GroupSlot> {
    let mut places = Vec::new();
    while let Some(entry) = queue.range((key, EventTime::MIN)..=(key, time)).next() {
        let at = *entry.0;
        places.extend(queue.remove(&at).unwrap_or_default());
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_settled_blind_alerts_whose_source_never_returns() {
        let (tenant, source) = (TenantKey(1), SourceKey(7));
        let mut calendar = Calendar::default();
        for time in 0..100 {
            for place in [GroupSlot(1), GroupSlot(2), GroupSlot(1)] {
                let until = EventTime(time);
                let pending = PendingAlerts {
                    provisional: Vec::new(),
                    blind: vec![BlindAlert { source, until }],
                };
                calendar.await_final(tenant, pending, place);
            }
            calendar.take_forgettable(tenant, EventTime(time - 9));
            assert!(calendar.blind.len() <= 10, "{:?}", calendar.blind);
        }
        let due = calendar.take_blind(source, EventTime(95));
        assert_eq!(due, [GroupSlot(1), GroupSlot(2)]);
        calendar.take_forgettable(tenant, EventTime(1_000));
        assert!(calendar.blind.is_empty() && calendar.blind_until.is_empty());
    }
}
