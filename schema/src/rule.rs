//! Rules as the graph sees them: plans, and the facts that detections hand to correlations.

use serde::{Deserialize, Serialize};

use crate::id::{
    EventId, GroupKey, PlanId, Position, RuleId, RuleVersion, SourceKey, TenantKey, WhatIfId,
};
use crate::time::{EventTime, Span};

/// How bad it is, as the rule's author sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

impl Level {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// One comparison of a condition; all of a condition's bounds must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Bound {
    Gt(u64),
    Gte(u64),
    Lt(u64),
    Lte(u64),
    Eq(u64),
    Neq(u64),
}

impl Bound {
    #[must_use]
    pub const fn holds(self, n: u64) -> bool {
        match self {
            Self::Gt(bound) => n > bound,
            Self::Gte(bound) => n >= bound,
            Self::Lt(bound) => n < bound,
            Self::Lte(bound) => n <= bound,
            Self::Eq(bound) => n == bound,
            Self::Neq(bound) => n != bound,
        }
    }
}

/// A boolean condition over the members of a temporal correlation, by their place in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Member {
    Seen(u16),
    Not(Box<Member>),
    All(Vec<Member>),
    Any(Vec<Member>),
}

impl Member {
    /// Whether the condition holds where `seen` tells which members the window has.
    pub fn holds(&self, seen: &impl Fn(u16) -> bool) -> bool {
        match self {
            Self::Seen(member) => seen(*member),
            Self::Not(inner) => !inner.holds(seen),
            Self::All(parts) => parts.iter().all(|part| part.holds(seen)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(seen)),
        }
    }

    /// Marks in `positive` each member that stands somewhere under an even number of negations.
    pub fn mark_positive(&self, positive: &mut [bool]) {
        self.mark(positive, true);
    }

    /// Whether some member stands under an odd number of negations: then a late event may withdraw.
    #[must_use]
    pub fn has_negation(&self, members: usize) -> bool {
        let mut negative = vec![false; members];
        self.mark(&mut negative, false);
        negative.contains(&true)
    }

    fn mark(&self, marks: &mut [bool], wanted: bool) {
        match self {
            Self::Seen(member) if wanted => {
                if let Some(mark) = marks.get_mut(usize::from(*member)) {
                    *mark = true;
                }
            }
            Self::Seen(_) => {}
            Self::Not(inner) => inner.mark(marks, !wanted),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.mark(marks, wanted));
            }
        }
    }
}

/// A decimal number, exact, in units of 1e-9.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Decimal(pub i128);

impl Decimal {
    /// One, in units.
    pub const ONE: i128 = 1_000_000_000;

    /// Numbers beyond it are none: sums of any window stay far from the ends of `i128`.
    pub const MAX: i128 = 100_000_000_000_000_000 * Self::ONE;
}

/// One comparison of a statistic with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ValueBound {
    Gt(Decimal),
    Gte(Decimal),
    Lt(Decimal),
    Lte(Decimal),
    Eq(Decimal),
    Neq(Decimal),
}

impl ValueBound {
    #[must_use]
    pub const fn number(self) -> Decimal {
        match self {
            Self::Gt(n)
            | Self::Gte(n)
            | Self::Lt(n)
            | Self::Lte(n)
            | Self::Eq(n)
            | Self::Neq(n) => n,
        }
    }

    /// Whether a value holds that compares with the number as `order` says.
    #[must_use]
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Gt(_) => order.is_gt(),
            Self::Gte(_) => order.is_ge(),
            Self::Lt(_) => order.is_lt(),
            Self::Lte(_) => order.is_le(),
            Self::Eq(_) => order.is_eq(),
            Self::Neq(_) => order.is_ne(),
        }
    }
}

/// What is computed of the values of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Statistic {
    Sum,
    Average,
    /// The rank in percent, from 0 to 100; between two values by linear interpolation, at place
    /// `rank / 100 * (n - 1)` of n. The median is rank 50.
    Percentile(Decimal),
}

/// What a plan computes at each anchor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PlanKind {
    /// How many events of any member the window has.
    EventCount { bounds: Vec<Bound> },
    /// Which members the window has. At most [`Plan::MEMBERS_MAX`] members.
    Temporal { members: u16, condition: Member },
    /// Whether the window has an event of each member in their order, each another event; events
    /// of one time are in any order. At most [`Plan::MEMBERS_MAX`] members.
    TemporalOrdered { members: u16 },
    /// How many distinct values the window has.
    ValueCount { bounds: Vec<Bound> },
    /// What the window's values come to.
    Value {
        statistic: Statistic,
        bounds: Vec<ValueBound>,
    },
    /// Whether an event of member 0 had none of the other members at its own time or within the
    /// timespan behind it. Said once the watermark has passed that window.
    NotFollowed { members: u16 },
    /// Whether an event had none after it within the timespan. Said once the watermark has passed
    /// that window; where the source of the event has not been heard since, it is blind.
    Silence,
}

impl PlanKind {
    /// Whether it is about what did not come, in a window that begins with an event.
    #[must_use]
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::NotFollowed { .. } | Self::Silence)
    }
}

/// Who hears what a plan says.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Hearer {
    /// Its rows are alerts.
    #[default]
    Alerts,
    /// What it says is a fact to another plan; it makes no rows.
    Plan(Feed),
    /// Its rows belong to a what-if: neither ledger nor outbox ever holds them.
    WhatIf(WhatIfId),
}

/// How a plan is a member of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Feed {
    pub plan: PlanId,
    /// The stage of that plan.
    pub stage: u8,
    pub member: u16,
    pub each: Each,
}

/// What of a plan is a fact to the plan that it is a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Each {
    /// Each of its firing anchors.
    Anchor,
    /// Each of its episodes, at the first firing anchor.
    Episode,
}

/// Where a plan stands in a chain of plans.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Chain {
    /// How many plans, one behind the other, its facts come through; 0 where all are of events.
    pub stage: u8,
    /// Whether events to come may take back facts that other plans gave it.
    pub tentative: bool,
}

/// To which group of the plan that hears a plan a group of it belongs, and what its facts are
/// worth there. A function of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The stage of `plan`.
    pub stage: u8,
    pub plan: PlanId,
    pub group: GroupKey,
    pub to: GroupKey,
    pub value: FactValue,
}

/// A rule that raises alerts, with the parameters under which it runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Plan {
    pub id: PlanId,
    pub rule: RuleId,
    pub version: RuleVersion,
    pub title: String,
    pub level: Level,
    pub kind: PlanKind,
    /// Length of the trailing window.
    pub timespan: Span,
    /// Fields whose values name a group.
    pub group_by: Vec<String>,
    /// The plan sees events at or after it ...
    pub since: EventTime,
    /// ... and before it.
    pub until: EventTime,
    pub hearer: Hearer,
    pub chain: Chain,
}

impl Plan {
    /// More members than this are refused when a rule is compiled.
    pub const MEMBERS_MAX: usize = 64;

    /// Plans whose facts come through more others, one behind the other, are refused.
    pub const STAGE_MAX: u8 = 3;

    /// Whether no event to come can withdraw what the plan says.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        let is_least = |bound: &Bound| matches!(bound, Bound::Gt(_) | Bound::Gte(_));
        let monotone = match &self.kind {
            PlanKind::EventCount { bounds } | PlanKind::ValueCount { bounds } => {
                bounds.iter().all(is_least)
            }
            PlanKind::Temporal { members, condition } => {
                !condition.has_negation(usize::from(*members))
            }
            PlanKind::TemporalOrdered { .. } => true,
            // A value below zero takes away from what others add.
            PlanKind::Value { .. } | PlanKind::NotFollowed { .. } | PlanKind::Silence => false,
        };
        monotone && !self.chain.tentative
    }
}

/// One event that matters to one group of one plan: all that correlations see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fact {
    pub plan: PlanId,
    pub tenant: TenantKey,
    pub group: GroupKey,
    pub time: EventTime,
    pub event: EventId,
    pub position: Position,
    /// Which member of the plan matched; 0 for plans over one rule.
    pub member: u16,
    /// For a plan about silence, the source of the event.
    pub value: FactValue,
}

/// What a fact is worth to a plan about values: a hash of what is told apart, or a [`Decimal`].
/// Nothing to any other plan.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct FactValue(pub [u64; 2]);

impl From<SourceKey> for FactValue {
    fn from(source: SourceKey) -> Self {
        Self([source.0, 0])
    }
}

impl From<Decimal> for FactValue {
    fn from(decimal: Decimal) -> Self {
        let bits = decimal.0 as u128;
        Self([bits as u64, (bits >> 64) as u64])
    }
}

impl FactValue {
    /// The number that the value was made of.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        let [low, high] = self.0.map(u128::from);
        Decimal((high << 64 | low) as i128)
    }
}
