//! The reports of one plan of a chain to the plan that reads it.
//!
//! ```text
//!  stage 0   facts ─► sub-plan ─ firing anchors, or first anchors of episodes ─┐ +1, -1
//!  stage 1   facts ──────────────────────────────────────────────► plan ◄──────┘
//! ```
//!
//! **Invariant.** Anchors before the settled line never change, so no report or retraction lies
//! there.

use weir_schema::{
    Cause, Fact, FactGrain, GroupLink, MemberSet, Membership, PlanOutput, ReceiveTime, TenantKey,
    Weight,
};

use super::chain_state::ReportedAnchor;
use super::group::Evaluation;
use super::group::Group;
use super::group_store::GroupRecord;
use super::plan_table::PlanState;
use super::range::TimeRange;
use super::stage_update::StageUpdate;
use super::window_cache::WindowCache;

/// Reports the changed anchors of a group in `range` to the plan that reads its plan.
///
/// Does nothing for a plan that no other plan reads.
pub fn report_anchors(
    plan: &PlanState,
    record: &mut GroupRecord,
    range: TimeRange,
    evaluation: Evaluation<'_>,
    cause: Cause,
    downstream: &mut Vec<StageUpdate>,
) {
    let PlanOutput::Plan(membership) = plan.plan.output else {
        return;
    };
    let group = &mut record.group;
    let links = group.chain.as_ref().map(|chain| chain.links.clone());
    let links = links.unwrap_or_default();
    let Some((link, further_links)) = links.split_first() else {
        return; // A group has its links from its first event on.
    };
    let range = TimeRange {
        from: range.from.max(group.frozen),
        to: range.to,
    };
    let now = anchors_to_report(group, membership.grain, range, evaluation);
    let Some(chain) = group.chain.as_deref_mut() else {
        return;
    };
    let low = chain
        .reported
        .partition_point(|one| one.item.time < range.from);
    let high = low + chain.reported[low..].partition_point(|one| one.item.time <= range.to);
    let before = &chain.reported[low..high];
    let report = AnchorReport {
        membership,
        link,
        tenant: record.tenant,
        cause,
    };
    // Both lists are in order of time, and an anchor is in each at most once.
    let gone = before.iter().filter(|i| now.binary_search(i).is_err());
    downstream.extend(gone.map(|anchor| report.update(anchor, -1)));
    let new = now.iter().filter(|i| before.binary_search(i).is_err());
    let reported = downstream.len();
    downstream.extend(new.map(|anchor| report.update(anchor, 1)));
    if downstream.len() > reported && !further_links.is_empty() {
        downstream.push(StageUpdate::Links(further_links.to_vec()));
    }
    chain.reported.splice(low..high, now);
}

/// The last event of each anchor that is to be reported, in order of time.
fn anchors_to_report(
    group: &Group,
    grain: FactGrain,
    range: TimeRange,
    evaluation: Evaluation<'_>,
) -> Vec<ReportedAnchor> {
    let mut anchors = Vec::new();
    match grain {
        FactGrain::Anchor => {
            let range = TimeRange {
                from: range.from,
                to: range.to.min(evaluation.conclude_to),
            };
            let cache = &mut WindowCache::default();
            let condition = evaluation.condition;
            condition.firing(group.runs(), range, cache, &mut anchors);
        }
        FactGrain::Episode => {
            let first = group.episodes.iter().map(|episode| episode.from);
            anchors.extend(first.filter(|first| range.contains(*first)));
        }
    }
    let report = |anchor| {
        let last = group.anchors.count_through(anchor).checked_sub(1)?;
        let entry = group.anchors.entries().get(last)?;
        Some(ReportedAnchor {
            item: entry.item(),
            time_mark: entry.time_mark,
        })
    };
    anchors.into_iter().filter_map(report).collect()
}

/// The sender and the receiver of the reports of one group.
struct AnchorReport<'l> {
    membership: Membership,
    link: &'l GroupLink,
    tenant: TenantKey,
    cause: Cause,
}

impl AnchorReport<'_> {
    /// Adds the anchor to the receiving group where `times` is 1, retracts it where it is -1.
    fn update(&self, anchor: &ReportedAnchor, times: isize) -> StageUpdate {
        let item = anchor.item;
        let fact = Fact {
            plan: self.membership.plan,
            tenant: self.tenant,
            group: self.link.to,
            time: item.time,
            event: item.event,
            position: item.position,
            members: MemberSet::of(self.membership.member),
            value: self.link.value,
            weight: Weight::ONE,
            // Only events can be late.
            received: ReceiveTime::MIN,
            time_mark: anchor.time_mark,
        };
        StageUpdate::Fact {
            stage: self.membership.stage,
            fact,
            times,
            cause: self.cause,
        }
    }
}
