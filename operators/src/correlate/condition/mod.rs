//! The condition of a plan, prepared for the evaluation of windows.
//!
//! An *anchor* is an event at which a window is evaluated: the window trails it by the timespan.
//! `firing.rs` is the one place that decides which anchors fire.

mod firing;
mod search;
mod sweep;

use weir_schema::{Bound, EventTime, Fact, MemberCondition, Plan, PlanKind, Span, Weight};

use super::fault::{self, PlantedFault};
use super::run::{EntryMark, EventRun, RunEntry};
use super::values::ValueCondition;

/// A plan's condition, prepared for evaluation.
#[derive(Clone, Debug)]
pub struct WindowCondition {
    kind: Kind,
    /// The length of the trailing window.
    pub timespan: Span,
    /// Members whose events are anchors and are counted, one bit each.
    positive: u64,
    /// Whether no further event can stop an anchor from firing.
    pub monotone: bool,
    /// Whether facts are never retracted, since all of them are events.
    pub additive: bool,
    /// Whether no later event can retract an alert.
    pub certain: bool,
    /// How long after its event an absence is concluded; zero for other kinds.
    ///
    /// The anchor of an absence is at the end of the wait: then its window trails like any other.
    ///
    /// ```text
    ///   event s ────── timespan ──────► anchor s + delay, concluded once the watermark reaches it
    ///           ◄───── its window ────►
    /// ```
    pub delay: Span,
}

/// The run entries of one fact.
#[derive(Clone, Copy, Debug)]
pub struct FactEntries {
    /// The entry with the members that are anchors.
    pub anchor: Option<RunEntry>,
    /// The entry with the members that only a negation reads.
    pub negated: Option<RunEntry>,
}

#[derive(Clone, Debug)]
enum Kind {
    AtLeast(usize),
    Count(Vec<Bound>),
    Temporal {
        condition: MemberCondition,
        members: usize,
    },
    Ordered {
        members: usize,
    },
    Valued(ValueCondition),
    Silence,
}

impl WindowCondition {
    pub fn new(plan: &Plan) -> Self {
        let timespan = plan.timespan.max(Span::ZERO);
        let KindOfPlan {
            kind,
            positive,
            monotone,
        } = KindOfPlan::new(&plan.kind);
        Self {
            kind,
            timespan,
            positive,
            monotone,
            additive: plan.chain.stage == 0,
            certain: monotone && !plan.chain.tentative,
            delay: if plan.kind.is_absence() {
                timespan
            } else {
                Span::ZERO
            },
        }
    }

    /// Whether it is about missing events: anchors are concluded when the watermark reaches them.
    pub fn is_absence(&self) -> bool {
        self.delay > Span::ZERO
    }

    /// Whether the alert of an anchor depends on later observations of its source.
    pub fn is_silence(&self) -> bool {
        matches!(self.kind, Kind::Silence)
    }

    /// The start of the member events of an episode with its first firing anchor at `from`.
    pub fn members_from(&self, from: EventTime) -> EventTime {
        if self.is_absence() {
            from
        } else {
            from.minus(self.timespan)
        }
    }

    /// The run entries of a fact that is an event: of the members that are anchors, and of those
    /// that only a negation reads.
    ///
    /// The entry that begins an absence stands where the absence is concluded.
    pub fn event_entries(&self, fact: &Fact) -> FactEntries {
        let entry = |mark: [u64; 2], delay: Span| RunEntry {
            time: fact.time.plus(delay),
            event: fact.event,
            position: fact.position,
            mark: EntryMark(mark),
            weight: match fault::active(PlantedFault::WeightIgnored) {
                true => Weight::ONE,
                false => fact.weight,
            },
            time_mark: fact.time_mark,
        };
        let mut members = fact.members.0;
        if fault::active(PlantedFault::FirstMemberOnly) {
            members &= members.wrapping_neg();
        }
        let (anchor, negated) = match self.kind {
            Kind::Temporal { .. } => (members & self.positive, members & !self.positive),
            Kind::Valued(_) | Kind::Silence => {
                let anchor = Some(entry(fact.value.0, self.delay));
                return FactEntries {
                    anchor,
                    negated: None,
                };
            }
            Kind::AtLeast(_) | Kind::Count(_) | Kind::Ordered { .. } => (members, 0),
        };
        let part = |members, delay| (members != 0).then(|| entry([members, 0], delay));
        FactEntries {
            anchor: part(anchor, self.delay),
            negated: part(negated, Span::ZERO),
        }
    }

    /// The run entry of a fact that another plan reported, which has one member.
    pub fn reported_entry(&self, fact: &Fact) -> Option<RunEntry> {
        let FactEntries { anchor, negated } = self.event_entries(fact);
        let mut entry = anchor.or(negated)?;
        if !matches!(self.kind, Kind::Valued(_)) {
            entry.mark.0[1] = 1; // It is never the same event as another entry.
        }
        Some(entry)
    }

    /// Whether the entry is an anchor and counts. If not, only a negation reads it.
    pub fn is_anchor(&self, entry: &RunEntry) -> bool {
        match self.kind {
            Kind::Temporal { .. } => entry.mark.members() & self.positive != 0,
            Kind::AtLeast(_)
            | Kind::Count(_)
            | Kind::Ordered { .. }
            | Kind::Valued(_)
            | Kind::Silence => true,
        }
    }

    /// Whether `run` has too few events for any anchor to fire.
    pub fn is_out_of_reach(&self, run: &EventRun) -> bool {
        let least = match &self.kind {
            Kind::AtLeast(n) => return run.weight_with_pushed() < *n as u64,
            Kind::Ordered { members } => *members,
            Kind::Valued(ValueCondition::Distinct(bounds)) => at_least(bounds).unwrap_or(0),
            Kind::Count(_) | Kind::Temporal { .. } | Kind::Valued(_) | Kind::Silence => 0,
        };
        run.len_with_pushed() < least
    }

    /// The latest anchor that an event at `time`, which is in `run`, can change.
    pub fn reach(&self, run: &EventRun, time: EventTime) -> EventTime {
        let reach = time.plus(self.timespan);
        match self.kind {
            // The anchor at place i depends on at most n - 1 places before it: each weighs at least one.
            Kind::AtLeast(n) if self.additive => {
                let entries = run.entries();
                let place = run.count_through(time).saturating_add(n.max(1)) - 2;
                entries
                    .get(place)
                    .map_or(reach, |entry| entry.time.min(reach))
            }
            Kind::Silence => time,
            Kind::AtLeast(_)
            | Kind::Count(_)
            | Kind::Temporal { .. }
            | Kind::Ordered { .. }
            | Kind::Valued(_) => reach,
        }
    }

    /// The earliest anchor that an event at `time` can change.
    pub fn reach_back(&self, time: EventTime) -> EventTime {
        match self.kind {
            Kind::Silence => time.minus(self.timespan),
            Kind::AtLeast(_)
            | Kind::Count(_)
            | Kind::Temporal { .. }
            | Kind::Ordered { .. }
            | Kind::Valued(_) => time,
        }
    }
}

/// The parts of a condition that follow from the kind of its plan.
struct KindOfPlan {
    kind: Kind,
    positive: u64,
    monotone: bool,
}

impl KindOfPlan {
    fn new(kind: &PlanKind) -> Self {
        let (kind, positive, monotone) = match kind {
            PlanKind::EventCount { bounds } => {
                let least = at_least(bounds);
                let kind = least.map_or_else(|| Kind::Count(bounds.clone()), Kind::AtLeast);
                (kind, u64::MAX, least.is_some())
            }
            PlanKind::Temporal { members, condition } => {
                let members = usize::from(*members).min(Plan::MEMBERS_MAX);
                let mut marks = vec![false; members];
                condition.mark_positive(&mut marks);
                let positive = (0..members)
                    .filter(|i| marks[*i])
                    .fold(0, |mask, i| mask | 1 << i);
                let monotone = !condition.has_negation(members);
                let condition = condition.clone();
                (Kind::Temporal { condition, members }, positive, monotone)
            }
            PlanKind::TemporalOrdered { members } => {
                let members = usize::from(*members).clamp(1, Plan::MEMBERS_MAX);
                (Kind::Ordered { members }, u64::MAX, true)
            }
            PlanKind::ValueCount { bounds } => {
                let kind = Kind::Valued(ValueCondition::Distinct(bounds.clone()));
                (kind, u64::MAX, at_least(bounds).is_some())
            }
            // Not monotone: a value below zero lowers the aggregate.
            PlanKind::Value { statistic, bounds } => {
                let kind = Kind::Valued(ValueCondition::Statistic(*statistic, bounds.clone()));
                (kind, u64::MAX, false)
            }
            PlanKind::NotFollowed { members } => {
                let answers = (1..*members).map(MemberCondition::Present).collect();
                let condition = MemberCondition::Not(Box::new(MemberCondition::Any(answers)));
                let members = usize::from(*members).clamp(1, Plan::MEMBERS_MAX);
                (Kind::Temporal { condition, members }, 1, false)
            }
            PlanKind::Silence => (Kind::Silence, u64::MAX, false),
        };
        Self {
            kind,
            positive,
            monotone,
        }
    }
}

/// The number `n` of bounds that mean "at least n"; `None` for all others.
fn at_least(bounds: &[Bound]) -> Option<usize> {
    let mut least = 1;
    for bound in bounds {
        let n = match bound {
            Bound::Gte(n) => *n,
            Bound::Gt(n) => n.checked_add(1)?,
            Bound::Lt(_) | Bound::Lte(_) | Bound::Eq(_) | Bound::Neq(_) => return None,
        };
        least = least.max(n);
    }
    usize::try_from(least).ok()
}
