//! The conditions of plans, evaluated over the facts of one window.

use weir_schema::{Bound, Decimal, Plan, PlanKind, Statistic, ValueBound};

use super::fact::ReferenceFact;

/// Whether the condition of `plan` holds for a window.
pub fn fires<'f>(plan: &Plan, window: impl Iterator<Item = &'f ReferenceFact>) -> bool {
    let window: Vec<&ReferenceFact> = window.collect();
    let present: Vec<u16> = window.iter().map(|fact| fact.member).collect();
    match &plan.kind {
        PlanKind::EventCount { bounds } => {
            let events = window.iter();
            let mut events: Vec<_> = events
                .map(|fact| (fact.identity(), fact.fact.weight))
                .collect();
            events.dedup();
            let count = events.iter().map(|(_, weight)| weight.get()).sum();
            bounds.iter().all(|bound| bound.holds(count))
        }
        PlanKind::Temporal { condition, .. } => {
            condition.holds(&|member| present.contains(&member))
        }
        PlanKind::TemporalOrdered { members } => {
            (0..*members).all(|member| present.contains(&member))
                && can_follow(&window, 0, *members, &mut Vec::new())
        }
        PlanKind::ValueCount { bounds } => {
            let mut values: Vec<_> = window.iter().map(|fact| fact.fact.value).collect();
            values.sort();
            values.dedup();
            bounds.iter().all(|bound| bound.holds(values.len() as u64))
        }
        PlanKind::Value { statistic, bounds } => {
            // A line that stands for several events has the value of each.
            let of_line = |fact: &&ReferenceFact| {
                let times = usize::try_from(fact.fact.weight.get()).unwrap_or(0);
                std::iter::repeat_n(fact.fact.value.decimal().0, times)
            };
            let mut values: Vec<i128> = window.iter().flat_map(of_line).collect();
            values.sort_unstable();
            let (numerator, denominator) = statistic_of(*statistic, &values);
            let holds =
                |bound: &ValueBound| bound.holds(numerator.cmp(&(bound.number().0 * denominator)));
            bounds.iter().all(holds)
        }
        PlanKind::NotFollowed { .. } => !present.iter().any(|member| *member > 0),
        // The window begins with the event itself.
        PlanKind::Silence => {
            let first = window[0].fact.time;
            window.iter().all(|fact| fact.fact.time == first)
        }
    }
}

/// Whether each member from `member` on can get an event of its own, in the order of the members.
///
/// The event of a member is at or after that of the member before it.
fn can_follow(
    window: &[&ReferenceFact],
    member: u16,
    members: u16,
    taken: &mut Vec<ReferenceFact>,
) -> bool {
    if member == members {
        return true;
    }
    for fact in window {
        let mut others = taken.iter();
        let is_free = !others.any(|other| other.identity() == fact.identity());
        let last = taken.last().map(|last| last.fact.time);
        let is_later = last.is_none_or(|last| last <= fact.fact.time);
        if fact.member == member && is_free && is_later {
            taken.push(**fact);
            if can_follow(window, member + 1, members, taken) {
                return true;
            }
            taken.pop();
        }
    }
    false
}

/// A statistic of sorted values as numerator and denominator. There is at least one value.
fn statistic_of(statistic: Statistic, values: &[i128]) -> (i128, i128) {
    let sum: i128 = values.iter().sum();
    match statistic {
        Statistic::Sum => (sum, 1),
        Statistic::Average => (sum, values.len() as i128),
        Statistic::Percentile(rank) => {
            let hundred = 100 * Decimal::ONE;
            let place = rank.0 * (values.len() as i128 - 1);
            let low = (place / hundred) as usize;
            let part = place % hundred;
            let high = if part == 0 { low } else { low + 1 };
            (
                values[low] * (hundred - part) + values[high] * part,
                hundred,
            )
        }
    }
}

/// The members whose events are anchors and are counted.
pub fn positive_members(plan: &Plan) -> Vec<u16> {
    match &plan.kind {
        PlanKind::EventCount { .. }
        | PlanKind::ValueCount { .. }
        | PlanKind::Value { .. }
        | PlanKind::NotFollowed { .. }
        | PlanKind::Silence => {
            vec![0]
        }
        PlanKind::TemporalOrdered { members } => (0..*members).collect(),
        PlanKind::Temporal { members, condition } => {
            let mut positive = vec![false; usize::from(*members)];
            condition.mark_positive(&mut positive);
            (0..*members)
                .filter(|member| positive[usize::from(*member)])
                .collect()
        }
    }
}

/// Whether no later event can retract an alert of the plan.
pub fn is_certain(plan: &Plan) -> bool {
    let monotone = match &plan.kind {
        PlanKind::EventCount { bounds } | PlanKind::ValueCount { bounds } => bounds
            .iter()
            .all(|bound| matches!(bound, Bound::Gt(_) | Bound::Gte(_))),
        PlanKind::TemporalOrdered { .. } => true,
        PlanKind::Value { .. } | PlanKind::NotFollowed { .. } | PlanKind::Silence => false,
        PlanKind::Temporal { members, condition } => !condition.has_negation(usize::from(*members)),
    };
    monotone && !plan.chain.tentative
}
