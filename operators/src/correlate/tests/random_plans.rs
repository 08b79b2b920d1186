//! Random plans of every kind, and random chains of plans.

use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use weir_schema::{
    Bound, Chain, Decimal, EventTime, FactGrain, Level, MemberCondition, Membership, Plan, PlanId,
    PlanKind, PlanOutput, RuleVersion, Span, Statistic, ValueBound,
};

/// Histories are in seconds, since the calendar's grain is one second.
pub const UNIT: i64 = 1_000_000_000;

/// A rule that is no correlation: a count of one.
pub const RULE: &str = "rule";

/// The kinds of correlations, by the names of their correlation types and statistics.
pub const KINDS: [&str; 10] = [
    "event_count",
    "temporal",
    "temporal_ordered",
    "value_count",
    "value_sum",
    "value_avg",
    "value_median",
    "value_percentile",
    "not_followed",
    "silence",
];

pub fn random_bounds(rng: &mut ChaCha8Rng) -> Vec<Bound> {
    let n = rng.random_range(1..5);
    match rng.random_range(0..10) {
        0..5 => vec![Bound::Gte(n)],
        5 => vec![Bound::Gt(n)],
        6 => vec![Bound::Lt(n + 1)],
        7 => vec![Bound::Eq(n)],
        8 => vec![Bound::Neq(n)],
        _ => vec![Bound::Gte(n), Bound::Lte(n + 1)],
    }
}

pub fn random_condition(rng: &mut ChaCha8Rng) -> MemberCondition {
    use MemberCondition::{All, Any, Not, Present};
    let not = |member| Not(Box::new(Present(member)));
    match rng.random_range(0..5) {
        0 => All(vec![Present(0), Present(1)]),
        1 => All(vec![Present(0), not(1)]),
        2 => All(vec![Present(0), Present(1), not(2)]),
        3 => Any(vec![Present(0), All(vec![Present(1), not(2)])]),
        _ => All(vec![Present(0), Any(vec![Present(1), not(2)])]),
    }
}

pub fn random_value_bounds(rng: &mut ChaCha8Rng) -> Vec<ValueBound> {
    let number = Decimal(i128::from(rng.random_range(-4..16)) * Decimal::ONE / 2);
    let above = Decimal(number.0 + Decimal::ONE);
    match rng.random_range(0..8) {
        0..3 => vec![ValueBound::Gte(number)],
        3 => vec![ValueBound::Gt(number)],
        4 => vec![ValueBound::Lt(number)],
        5 => vec![ValueBound::Eq(number)],
        6 => vec![ValueBound::Neq(number)],
        _ => vec![ValueBound::Gte(number), ValueBound::Lte(above)],
    }
}

fn random_kind(rng: &mut ChaCha8Rng, name: &str) -> PlanKind {
    let percent = |percent: i128| Statistic::Percentile(Decimal(percent * Decimal::ONE));
    let statistic = match name {
        RULE => {
            let bounds = vec![Bound::Gte(1)];
            return PlanKind::EventCount { bounds };
        }
        "event_count" => {
            let bounds = random_bounds(rng);
            return PlanKind::EventCount { bounds };
        }
        "temporal" => {
            let condition = random_condition(rng);
            return PlanKind::Temporal {
                members: 3,
                condition,
            };
        }
        "temporal_ordered" => {
            let members = rng.random_range(1..4);
            return PlanKind::TemporalOrdered { members };
        }
        "value_count" => {
            let bounds = random_bounds(rng);
            return PlanKind::ValueCount { bounds };
        }
        "not_followed" => {
            let members = rng.random_range(2..4);
            return PlanKind::NotFollowed { members };
        }
        "silence" => return PlanKind::Silence,
        "value_sum" => Statistic::Sum,
        "value_avg" => Statistic::Average,
        "value_median" => percent(50),
        _ => match rng.random_range(0..4) {
            0 => percent(100),
            1 => percent(0),
            _ => Statistic::Percentile(Decimal(rng.random_range(0..=100 * Decimal::ONE))),
        },
    };
    let bounds = random_value_bounds(rng);
    PlanKind::Value { statistic, bounds }
}

/// A random plan, of the kind `name` if that is given.
pub fn random_plan(rng: &mut ChaCha8Rng, id: u64, name: Option<&str>) -> Plan {
    let name = name.unwrap_or_else(|| KINDS.choose(rng).expect("not empty"));
    let kind = random_kind(rng, name);
    Plan {
        id: PlanId(id),
        rule: format!("rule-{id}").into(),
        version: RuleVersion(1),
        title: String::new(),
        level: Level::Medium,
        kind,
        correlates: name != RULE,
        timespan: Span(rng.random_range(1..12) * UNIT),
        group_by: Vec::new(),
        since: EventTime::MIN,
        until: EventTime::MAX,
        output: PlanOutput::Alerts,
        chain: Chain::default(),
    }
}

/// Gives a plan another random condition without changing which members must be present.
pub fn edit_randomly(rng: &mut ChaCha8Rng, kind: &mut PlanKind) {
    match kind {
        PlanKind::EventCount { bounds } | PlanKind::ValueCount { bounds } => {
            *bounds = random_bounds(rng);
        }
        PlanKind::Value { bounds, .. } => *bounds = random_value_bounds(rng),
        // The members that must be present belong to the identity of the plan.
        PlanKind::Temporal { members, condition } => {
            let positive = |condition: &MemberCondition| {
                let mut marks = vec![false; usize::from(*members)];
                condition.mark_positive(&mut marks);
                marks
            };
            let other = random_condition(rng);
            if positive(&other) == positive(condition) {
                *condition = other;
            }
        }
        // So does the order of members: only the version changes.
        PlanKind::TemporalOrdered { .. } | PlanKind::NotFollowed { .. } | PlanKind::Silence => {}
    }
}

/// The number of members of a plan that have facts of their own.
pub fn member_count(kind: &PlanKind) -> u16 {
    match kind {
        PlanKind::Temporal { members, .. }
        | PlanKind::TemporalOrdered { members }
        | PlanKind::NotFollowed { members } => *members,
        _ => 1, // The others read one rule here.
    }
}

/// A plan of a chain, and those of its members that are events.
pub struct ChainPlan {
    pub plan: Plan,
    pub event_members: Vec<u16>,
}

/// A random plan that reads others, after the plans that it reads.
pub fn random_chain(rng: &mut ChaCha8Rng, id: u64, depth: u8) -> Vec<ChainPlan> {
    let kinds = [
        "event_count",
        "temporal",
        "temporal_ordered",
        "value_count",
        "not_followed",
    ];
    let kind = kinds.choose(rng).expect("not empty");
    let mut plan = random_plan(rng, id, Some(kind));
    let (members, grain) = match &plan.kind {
        PlanKind::Temporal { members, .. }
        | PlanKind::TemporalOrdered { members }
        | PlanKind::NotFollowed { members } => (*members, FactGrain::Anchor),
        _ => (1, FactGrain::Episode),
    };
    let mut chain = Vec::new();
    let mut event_members: Vec<u16> = (0..members).collect();
    let read = rng.random_range(1..=members.min(2));
    let mut tentative = grain == FactGrain::Episode;
    for place in 0..read {
        let member = rng.random_range(0..members);
        // A count may have events as members beside the reports of other plans.
        if members > 1 || rng.random_bool(0.5) {
            event_members.retain(|other| *other != member);
        }
        let sub = id * 10 + u64::from(place) + 1;
        let mut part = random_sub_plan(rng, sub, depth);
        let last = &mut part.last_mut().expect("a chain ends with its plan").plan;
        tentative |= !last.is_certain();
        plan.chain.stage = plan.chain.stage.max(last.chain.stage + 1);
        last.output = PlanOutput::Plan(Membership {
            plan: plan.id,
            stage: 0,
            member,
            grain,
        });
        chain.append(&mut part);
    }
    plan.chain.tentative = tentative;
    for sub in &mut chain {
        let sub: &mut ChainPlan = sub;
        if let PlanOutput::Plan(membership) = &mut sub.plan.output
            && membership.plan == plan.id
        {
            membership.stage = plan.chain.stage;
        }
    }
    chain.push(ChainPlan {
        plan,
        event_members,
    });
    chain
}

/// A plan for another one to read: a chain, or one plan that only reads events.
fn random_sub_plan(rng: &mut ChaCha8Rng, id: u64, depth: u8) -> Vec<ChainPlan> {
    if depth > 1 && rng.random_bool(0.4) {
        return random_chain(rng, id, depth - 1);
    }
    let kind = loop {
        let kind = KINDS.choose(rng).expect("not empty");
        if *kind != "silence" {
            break *kind;
        }
    };
    let plan = random_plan(rng, id, Some(kind));
    let event_members = (0..member_count(&plan.kind)).collect();
    vec![ChainPlan {
        plan,
        event_members,
    }]
}
