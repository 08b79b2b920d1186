//! Which groups to look at when a clock moves: those that can forget, and those that wait for confirmation.

use std::collections::BTreeMap;

use weir_schema::TenantKey;

use super::group::Group;
use super::groups::Slot;
use super::windows::Condition;

/// Two queues by event time. A group stands at most once in the first.
#[derive(Debug, Default)]
pub struct Calendar {
    forget: BTreeMap<(TenantKey, i64), Vec<Slot>>,
    confirm: BTreeMap<(TenantKey, i64), Vec<Slot>>,
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

    /// Notes the first anchors of provisional alerts of `key`.
    pub fn confirm(&mut self, tenant: TenantKey, anchors: Vec<i64>, place: Slot) {
        for anchor in anchors {
            let waiting = self.confirm.entry((tenant, anchor)).or_default();
            // A group says so at every touch; once in a row is enough.
            if waiting.last() != Some(&place) {
                waiting.push(place);
            }
        }
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

fn take(
    queue: &mut BTreeMap<(TenantKey, i64), Vec<Slot>>,
    tenant: TenantKey,
    up_to: i64,
) -> Vec<Slot> {
    let mut keys = Vec::new();
    while let Some(entry) = queue.range((tenant, i64::MIN)..=(tenant, up_to)).next() {
        let at = *entry.0;
        keys.extend(queue.remove(&at).unwrap_or_default());
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}
