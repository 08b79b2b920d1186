//! Compiled rules: plans, and the facts that detections pass to correlations.

use serde::{Deserialize, Serialize};

use crate::id::{
    EventId, GroupKey, PlanId, Position, RuleId, RuleVersion, SourceKey, TenantKey, WhatIfId,
};
use crate::member_set::MemberSet;
use crate::time::{EventTime, ReceiveTime, Span};
use crate::time_mark::TimeMark;
use crate::weight::Weight;

/// Severity of a rule's alerts, set by the rule's author.
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

/// One comparison with a count. All bounds of a condition must hold.
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

/// A boolean condition over the members of a temporal correlation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MemberCondition {
    /// The window has an event of the member with this index.
    Present(u16),
    Not(Box<MemberCondition>),
    All(Vec<MemberCondition>),
    Any(Vec<MemberCondition>),
}

impl MemberCondition {
    /// Whether the condition holds for a window; `is_present` answers for each member.
    pub fn holds(&self, is_present: &impl Fn(u16) -> bool) -> bool {
        match self {
            Self::Present(member) => is_present(*member),
            Self::Not(inner) => !inner.holds(is_present),
            Self::All(parts) => parts.iter().all(|part| part.holds(is_present)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(is_present)),
        }
    }

    /// Marks each member that occurs under an even number of negations.
    pub fn mark_positive(&self, positive: &mut [bool]) {
        self.mark(positive, true);
    }

    /// Whether a member occurs under an odd number of negations. A late event of such a member may
    /// retract an alert.
    #[must_use]
    pub fn has_negation(&self, members: usize) -> bool {
        let mut negative = vec![false; members];
        self.mark(&mut negative, false);
        negative.contains(&true)
    }

    fn mark(&self, marks: &mut [bool], wanted: bool) {
        match self {
            Self::Present(member) if wanted => {
                if let Some(mark) = marks.get_mut(usize::from(*member)) {
                    *mark = true;
                }
            }
            Self::Present(_) => {}
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

    /// Largest absolute value of a number; larger ones are ignored. With it the sum of a window of
    /// 10^8 events of the largest weight stays within the limits of `i128`.
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

    /// Whether the bound holds for a value that compares to [`Self::number`] as `order`.
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

/// A statistic over the values of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Statistic {
    Sum,
    Average,
    /// The percentile of a rank from 0 to 100; the median is rank 50. It is the value at index
    /// `rank / 100 * (n - 1)` of the n sorted values, linearly interpolated between neighbours.
    Percentile(Decimal),
}

/// The condition that a plan checks at each anchor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PlanKind {
    /// The number of events of any member in the window.
    EventCount { bounds: Vec<Bound> },
    /// The members that have an event in the window. At most [`Plan::MEMBERS_MAX`] members.
    Temporal {
        members: u16,
        condition: MemberCondition,
    },
    /// A distinct event of each member, in the order of the members. Events of equal time count as
    /// any order. At most [`Plan::MEMBERS_MAX`] members.
    TemporalOrdered { members: u16 },
    /// The number of distinct values in the window.
    ValueCount { bounds: Vec<Bound> },
    /// A statistic of the values in the window.
    Value {
        statistic: Statistic,
        bounds: Vec<ValueBound>,
    },
    /// An event of member 0 with no event of another member at its own time or within the timespan
    /// after it. Decided once the watermark has passed that window.
    NotFollowed { members: u16 },
    /// An event with no event after it within the timespan. Decided once the watermark has passed
    /// that window; the alert is blind if the event's source has sent nothing since.
    Silence,
}

impl PlanKind {
    /// Whether the plan is about missing events, in a window that begins with an event.
    #[must_use]
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::NotFollowed { .. } | Self::Silence)
    }
}

/// Where the rows of a plan go.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum PlanOutput {
    /// The rows are alerts.
    #[default]
    Alerts,
    /// The plan makes no rows; its results are facts for another plan.
    Plan(Membership),
    /// The rows belong to a what-if. They never enter the ledger or the outbox.
    WhatIf(WhatIfId),
}

/// A plan's place as a member of another plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Membership {
    pub plan: PlanId,
    /// The stage of that plan.
    pub stage: u8,
    pub member: u16,
    pub grain: FactGrain,
}

/// Which results of a member plan become facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FactGrain {
    /// Each firing anchor.
    Anchor,
    /// Each episode, at its first firing anchor.
    Episode,
}

/// A plan's place in a chain of plans.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Chain {
    /// The number of plans that its facts pass through in sequence; 0 if all come from events.
    pub stage: u8,
    /// Whether a later event may retract facts that come from other plans.
    pub tentative: bool,
}

/// Maps a group of a member plan to a group of the plan that reads its facts.
///
/// The target group and the value are functions of the member's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupLink {
    /// The stage of `plan`.
    pub stage: u8,
    pub plan: PlanId,
    /// The group in `plan`.
    pub group: GroupKey,
    /// The group in the plan that reads the facts.
    pub to: GroupKey,
    /// The value of the facts there.
    pub value: FactValue,
}

/// A compiled version of a rule, with the parameters under which it runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Plan {
    pub id: PlanId,
    pub rule: RuleId,
    pub version: RuleVersion,
    pub title: String,
    pub level: Level,
    pub kind: PlanKind,
    /// Whether its rule is a correlation. Other rules also see events before the settled line.
    pub correlates: bool,
    /// Length of the window.
    pub timespan: Span,
    /// Fields whose values form a group's key.
    pub group_by: Vec<String>,
    /// The plan sees events at or after this time ...
    pub since: EventTime,
    /// ... and before this one.
    pub until: EventTime,
    pub output: PlanOutput,
    pub chain: Chain,
}

impl Plan {
    /// Most members of a plan; the compiler refuses more.
    pub const MEMBERS_MAX: usize = MemberSet::LEN_MAX;

    /// Largest [`Chain::stage`]; the compiler refuses longer chains.
    pub const STAGE_MAX: u8 = 3;

    /// Whether no later event can retract an alert of the plan.
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
            // A negative value lowers a sum that already met its bound.
            PlanKind::Value { .. } | PlanKind::NotFollowed { .. } | PlanKind::Silence => false,
        };
        monotone && !self.chain.tentative
    }
}

/// One event as a correlation sees it, in one group of one plan, with all members that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fact {
    pub plan: PlanId,
    pub tenant: TenantKey,
    pub group: GroupKey,
    pub time: EventTime,
    pub event: EventId,
    pub position: Position,
    /// The members of the plan that matched; member 0 for plans that do not tell rules apart.
    pub members: MemberSet,
    /// In a plan about silence: the source of the event.
    pub value: FactValue,
    /// The number of events for which the line stands; one for reports of other plans.
    pub weight: Weight,
    pub received: ReceiveTime,
    /// [`TimeMark::LateBeyondHorizon`]: counts only if `time` lies before the settled line, and then
    /// at `received`. The same event has another fact, for the case that it does not.
    pub time_mark: Option<TimeMark>,
}

/// The value of a fact: a hash of a distinct value, a [`Decimal`] or a [`SourceKey`].
///
/// The plan's kind says which; plans that use no values leave it at the default.
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
    /// The number from which the value was made.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        let [low, high] = self.0.map(u128::from);
        Decimal((high << 64 | low) as i128)
    }
}

/// The state with which a plan of a what-if starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Basis {
    /// Events that are read again from the journal, if any.
    Journal,
    /// The correlation state of this live plan; both plans then share their facts.
    Groups(PlanId),
    /// The facts that correlations retain for this live plan, which selects and groups alike.
    Facts(PlanId),
}
