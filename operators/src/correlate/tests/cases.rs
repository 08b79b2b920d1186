//! Single cases that random histories do not reach.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use weir_schema::{
    AlertRow, Basis, Bound, Epoch, EventId, EventTime, Fact, FactValue, GroupKey, MemberSet, Plan,
    PlanId, PlanKind, PlanOutput, Position, ReceiveTime, RuleVersion, Span, TenantKey, Weight,
    WhatIfId,
};

use super::random_plans::{KINDS, UNIT, random_plan};
use crate::clock::TenantClock;
use crate::correlate::{Correlator, Directive, SHARDS};
use crate::steps::counted_steps;

pub const PLAN: PlanId = PlanId(1);
pub const SHADOW: PlanId = PlanId(77);
pub const WHAT_IF: WhatIfId = WhatIfId(5);

/// A clock of tenant 1 far after all facts of the cases.
pub const FAR: TenantClock = TenantClock {
    watermark: EventTime(9_000 * UNIT),
    settled: EventTime(8_000 * UNIT),
    ..TenantClock::start(TenantKey(1))
};

/// A plan that fires at two events in ten seconds.
pub fn pair(id: PlanId) -> Arc<Plan> {
    let mut plan = random_plan(&mut ChaCha8Rng::seed_from_u64(0), id.0, None);
    plan.kind = PlanKind::EventCount {
        bounds: vec![Bound::Gte(2)],
    };
    plan.timespan = Span(10 * UNIT);
    Arc::new(plan)
}

pub fn fact(plan: PlanId, tenant: u64, group: u64, seconds: i64, position: u64) -> Fact {
    Fact {
        plan,
        tenant: TenantKey(tenant),
        group: GroupKey([group, 9]),
        time: EventTime(seconds * UNIT),
        event: EventId([position, 0]),
        position: Position(position),
        members: MemberSet::of(0),
        value: FactValue::default(),
        weight: Weight::ONE,
        received: ReceiveTime(seconds * UNIT),
        time_mark: None,
    }
}

#[test]
fn a_reused_group_slot_ignores_the_clock_of_its_former_tenant() {
    let mut correlator = Correlator::default();
    let install = Directive::Install(pair(PLAN));
    correlator.epoch(Epoch(1), &[fact(PLAN, 1, 1, 100, 1)], &[install]);
    // The group of the first tenant is removed with its plan; that of the second takes its slot.
    let other = PlanId(2);
    let steps = [Directive::Remove(PLAN), Directive::Install(pair(other))];
    correlator.epoch(Epoch(2), &[fact(other, 2, 2, 100, 2)], &steps);
    correlator.epoch(Epoch(3), &[], &[Directive::Clock(FAR)]);
    let output = correlator.epoch(Epoch(4), &[fact(other, 2, 2, 105, 3)], &[]);
    assert_eq!(output.rows.len(), 1, "the second tenant's pair fires");
}

#[test]
fn refused_groups_do_not_depend_on_the_order_within_an_epoch() {
    let epoch = [
        fact(PLAN, 1, 1, 100, 1),
        fact(PLAN, 1, 2, 100, 2),
        fact(PLAN, 1, 1, 101, 3),
        fact(PLAN, 1, 2, 101, 4),
    ];
    let rows = |facts: &[Fact]| {
        // One group per shard, and both groups are in one shard.
        let mut correlator = Correlator::with_groups_max(SHARDS);
        let install = Directive::Install(pair(PLAN));
        let output = correlator.epoch(Epoch(1), facts, &[install]);
        assert_eq!(output.counts.limited, 2);
        let rule = pair(PLAN).rule.clone();
        assert_eq!(output.counts.incomplete, [rule].into());
        output.rows
    };
    let mut reversed = epoch;
    reversed.reverse();
    assert_eq!(rows(&epoch), rows(&reversed));
}

#[test]
fn a_rule_cut_in_two_gives_each_alert_id_to_one_alert() {
    let mut correlator = Correlator::default();
    let mut standing: BTreeMap<Arc<AlertRow>, isize> = BTreeMap::new();
    let single = |id| {
        let mut plan = (*pair(id)).clone();
        plan.rule = "rule".into();
        plan.kind = PlanKind::EventCount {
            bounds: vec![Bound::Gte(1)],
        };
        plan
    };
    let (mut old, new) = (single(PLAN), single(PlanId(2)));
    let install = |plan: &Plan| Directive::Install(Arc::new(plan.clone()));
    let first = install(&old);
    old.until = EventTime(100 * UNIT);
    // The alert id derives from the event at 104; a late event moves its start before the cut.
    let epochs = [
        (vec![fact(PLAN, 1, 1, 104, 1)], vec![first]),
        (vec![fact(PLAN, 1, 1, 97, 2)], vec![]),
        (
            vec![fact(new.id, 1, 1, 104, 1)],
            vec![install(&old), install(&new)],
        ),
    ];
    for (epoch, (facts, directives)) in (1..).zip(&epochs) {
        let output = correlator.epoch(Epoch(epoch), facts, directives);
        for (row, diff) in output.rows {
            *standing.entry(row).or_default() += diff;
        }
    }
    standing.retain(|_, diff| *diff != 0);
    let alerts: BTreeSet<_> = standing.keys().map(|row| row.alert).collect();
    assert_eq!((standing.len(), alerts.len()), (2, 2), "{standing:#?}");
}

#[test]
fn a_shadow_replaced_within_one_epoch_raises_no_alert() {
    let mut correlator = Correlator::default();
    let shadow = Directive::Shadow {
        plan: Arc::new(Plan {
            output: PlanOutput::WhatIf(WHAT_IF),
            ..(*pair(SHADOW)).clone()
        }),
        basis: Basis::Groups(PLAN),
    };
    let install = Directive::Install(pair(PLAN));
    correlator.epoch(
        Epoch(1),
        &[fact(PLAN, 1, 1, 100, 1)],
        &[install, shadow.clone()],
    );
    correlator.epoch(Epoch(2), &[], &[Directive::Remove(SHADOW), shadow]);
    let output = correlator.epoch(Epoch(3), &[fact(PLAN, 1, 1, 105, 2)], &[]);
    assert_eq!(output.rows.len(), 1, "{:?}", output.rows);
    assert_eq!(output.what_ifs[&WHAT_IF].rows.len(), 1);
}

#[test]
fn a_promotion_replaces_the_same_settled_alerts_in_any_order_of_facts() {
    let plan = |id: PlanId, version: u64, output: PlanOutput| {
        let bounds = vec![Bound::Gte(1)];
        Arc::new(Plan {
            kind: PlanKind::EventCount { bounds },
            version: RuleVersion(version),
            output,
            ..(*pair(id)).clone()
        })
    };
    let facts: Vec<Fact> = (0..2_500)
        .map(|group| fact(PLAN, 1, group, 100, group))
        .collect();
    let promoted = |facts: &[Fact]| {
        let mut correlator = Correlator::default();
        let shadow = Directive::Shadow {
            plan: plan(SHADOW, 2, PlanOutput::WhatIf(WHAT_IF)),
            basis: Basis::Groups(PLAN),
        };
        let install = Directive::Install(plan(PLAN, 1, PlanOutput::Alerts));
        correlator.epoch(Epoch(1), facts, &[install, shadow]);
        let settled = correlator.epoch(Epoch(2), &[], &[Directive::Clock(FAR)]);
        assert_eq!(settled.what_ifs[&WHAT_IF].counts.limited, 2 * 500);
        let plan = plan(PLAN, 2, PlanOutput::Alerts);
        let promote = Directive::Promote { plan, from: SHADOW };
        let mut rows = correlator.epoch(Epoch(3), &[], &[promote]).rows;
        rows.sort();
        rows
    };
    let mut reversed = facts.clone();
    reversed.reverse();
    let rows = promoted(&facts);
    assert_eq!(rows.len(), 2 * 2_000);
    assert!(rows == promoted(&reversed));
}

/// W12: a worker that is busy with one group for long counts steps, and so does not stall.
#[test]
fn the_anchors_of_one_group_are_many_steps() {
    // The others wait for the watermark.
    let at_once = |kind: &&str| !["not_followed", "silence"].contains(kind);
    for kind in KINDS.into_iter().filter(at_once) {
        let mut plan = random_plan(&mut ChaCha8Rng::seed_from_u64(0), PLAN.0, Some(kind));
        plan.timespan = Span(3_600 * UNIT);
        let mut correlator = Correlator::default();
        correlator.epoch(Epoch(1), &[], &[Directive::Install(Arc::new(plan))]);
        let many = (0..6_400).map(|n| fact(PLAN, 1, 1, i64::from(n), n as u64));
        let many: Vec<Fact> = many.collect();
        let before = counted_steps();
        correlator.epoch(Epoch(2), &many, &[]);
        let steps = counted_steps() - before;
        // A step for 64 facts that are admitted, and one for 64 anchors that are evaluated.
        assert!(steps >= 190, "{kind}: {steps} steps");
    }
}
