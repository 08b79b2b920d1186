//! Streams of facts without logs, to measure the correlation operator alone.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use weir_schema::{
    Bound, Chain, Decimal, EventId, EventTime, Fact, FactValue, GroupKey, Level, MemberCondition,
    MemberSet, Plan, PlanId, PlanKind, PlanOutput, Position, ReceiveTime, RuleVersion, Span,
    Statistic, TenantKey, ValueBound, Weight,
};

use weir_scenario::random::{Zipf, scatter, seeded};

/// Number of keys of the skewed stream.
pub const KEYS: u32 = 50_000;
/// Exponent of their distribution: the first key has some 12 % of the facts.
pub const EXPONENT: f64 = 1.05;
/// Facts per second of event time.
pub const FACTS_PER_SECOND: i64 = 2_000;
/// One in this many facts is late ...
pub const LATE_ONE_IN: u32 = 100;
/// ... by up to this much.
pub const LATE_MAX: Span = Span::seconds(60);
/// Threshold of the rule over the stream ...
pub const COUNT_AT_LEAST: u64 = 50;
/// ... and its timespan.
pub const TIMESPAN: Span = Span::seconds(300);

/// Number of distinct values ...
pub const VALUES: u64 = 1_000;
/// ... and of member rules, for correlations over several.
pub const MEMBERS: u16 = 3;

/// Names of the correlation types that can be measured, as in Sigma.
pub const TYPES: [&str; 8] = [
    "event_count",
    "temporal",
    "temporal_ordered",
    "value_count",
    "value_sum",
    "value_avg",
    "value_median",
    "value_percentile",
];

/// Makes the rule over the streams: at least fifty facts in five minutes.
#[must_use]
pub fn count_plan() -> Plan {
    plan("event_count", TIMESPAN)
}

/// Makes a rule of one of [`TYPES`]; any other name is a count.
///
/// It requires fifty facts or distinct values, all members, or a statistic that few groups reach.
#[must_use]
pub fn plan(name: &str, timespan: Span) -> Plan {
    let bounds = vec![Bound::Gte(COUNT_AT_LEAST)];
    let value = |statistic, least: i128| PlanKind::Value {
        statistic,
        bounds: vec![ValueBound::Gte(Decimal(least * Decimal::ONE))],
    };
    let percent = |percent: i128| Statistic::Percentile(Decimal(percent * Decimal::ONE));
    let kind = match name {
        "temporal" => PlanKind::Temporal {
            members: MEMBERS,
            condition: MemberCondition::All((0..MEMBERS).map(MemberCondition::Present).collect()),
        },
        "temporal_ordered" => PlanKind::TemporalOrdered { members: MEMBERS },
        "value_count" => PlanKind::ValueCount { bounds },
        "value_sum" => value(Statistic::Sum, 50 * VALUES as i128 / 2),
        "value_avg" => value(Statistic::Average, VALUES as i128 * 3 / 4),
        "value_median" => value(percent(50), VALUES as i128 * 3 / 4),
        "value_percentile" => value(percent(95), VALUES as i128 * 99 / 100),
        _ => PlanKind::EventCount { bounds },
    };
    Plan {
        id: PlanId::of(&[b"benchmark", name.as_bytes()]),
        rule: format!("benchmark-{name}").into(),
        version: RuleVersion::of(&[b"benchmark", name.as_bytes()]),
        title: format!("{name} in {} s", timespan.0 / Span::SECOND.0),
        level: Level::Medium,
        kind,
        correlates: true,
        timespan,
        group_by: vec!["key".into()],
        since: EventTime::MIN,
        until: EventTime::MAX,
        output: PlanOutput::Alerts,
        chain: Chain::default(),
    }
}

/// One in this many facts has the hot key, if there is one.
pub const HOT_ONE_IN: u32 = 5;

/// How the stream chooses the group of a fact.
#[derive(Clone, Debug)]
enum Keys {
    Skewed(Zipf),
    /// Each fact has a new group, so the state grows until facts are forgotten.
    Fresh,
    /// One key has a fifth of all facts; the others are equally frequent.
    Hot,
    /// This many keys in turn.
    Even(u64),
}

/// An endless stream of facts in order of arrival.
#[derive(Clone, Debug)]
pub struct FactStream {
    rng: ChaCha8Rng,
    keys: Keys,
    /// Whether values are numbers; else they are hashes.
    valued: bool,
    /// Each group belongs to one of them.
    plans: Vec<PlanId>,
    tenant: TenantKey,
    seed: u64,
    start: EventTime,
    step: i64,
    late: bool,
    sequence: u64,
}

impl FactStream {
    /// Makes a stream of skewed keys at [`FACTS_PER_SECOND`], with one in a hundred facts late by up
    /// to a minute.
    #[must_use]
    pub fn skewed(seed: u64, start: EventTime) -> Self {
        Self {
            rng: seeded(seed, 10),
            keys: Keys::Skewed(Zipf::new(KEYS, EXPONENT)),
            valued: false,
            plans: vec![count_plan().id],
            tenant: TenantKey::of(&[b"default"]),
            seed,
            start,
            step: Span::SECOND.0 / FACTS_PER_SECOND,
            late: true,
            sequence: 0,
        }
    }

    /// Makes a stream whose keys never repeat. With a horizon of `h` seconds the state is about
    /// `per_second * (h + 300)` facts, however long the stream runs.
    #[must_use]
    pub fn fresh_keys(seed: u64, start: EventTime, per_second: u32) -> Self {
        Self {
            keys: Keys::Fresh,
            step: Span::SECOND.0 / i64::from(per_second.max(1)),
            ..Self::skewed(seed, start)
        }
    }

    /// Makes a stream in which one key has a fifth of all facts.
    #[must_use]
    pub fn hot_key(seed: u64, start: EventTime) -> Self {
        Self {
            keys: Keys::Hot,
            ..Self::skewed(seed, start)
        }
    }

    /// Makes a stream of `keys` keys in turn.
    #[must_use]
    pub fn even_keys(seed: u64, start: EventTime, keys: u64) -> Self {
        Self {
            keys: Keys::Even(keys.max(1)),
            ..Self::skewed(seed, start)
        }
    }

    /// Sets the distance of facts in event time.
    #[must_use]
    pub fn apart(mut self, step: Span) -> Self {
        self.step = step.0.max(1);
        self
    }

    /// Sets another rule than [`count_plan`].
    #[must_use]
    pub fn for_plan(self, plan: &Plan) -> Self {
        self.for_plans(std::slice::from_ref(plan))
    }

    /// Sets other rules than [`count_plan`], all of one kind. Each group belongs to one of them.
    #[must_use]
    pub fn for_plans(mut self, plans: &[Plan]) -> Self {
        self.plans = plans.iter().map(|plan| plan.id).collect();
        let valued = |plan: &Plan| matches!(plan.kind, PlanKind::Value { .. });
        self.valued = plans.iter().any(valued);
        self
    }

    /// Makes no fact late.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.late = false;
        self
    }

    /// Appends the next `facts` facts to an epoch.
    pub fn fill(&mut self, facts: usize, epoch: &mut Vec<Fact>) {
        epoch.reserve(facts);
        epoch.extend(self.by_ref().take(facts));
    }
}

impl Iterator for FactStream {
    type Item = Fact;

    /// Never `None`.
    fn next(&mut self) -> Option<Fact> {
        let sequence = self.sequence;
        self.sequence += 1;
        let key = match &self.keys {
            Keys::Skewed(zipf) => u64::from(zipf.draw(&mut self.rng)),
            Keys::Fresh => u64::from(KEYS) + sequence,
            Keys::Hot if self.rng.random_ratio(1, HOT_ONE_IN) => 0,
            Keys::Hot => u64::from(self.rng.random_range(1..KEYS)),
            Keys::Even(keys) => sequence % keys,
        };
        let elapsed = (sequence as i64).saturating_mul(self.step);
        let mut time = self.start.plus(Span(elapsed));
        if self.late && self.rng.random_ratio(1, LATE_ONE_IN) {
            time = time.minus(Span(self.rng.random_range(1..=LATE_MAX.0)));
        }
        let mixed = scatter(sequence ^ self.seed);
        let value = mixed % VALUES;
        let (seed, event) = (scatter(self.seed), scatter(sequence));
        Some(Fact {
            plan: self.plans[key as usize % self.plans.len()],
            tenant: self.tenant,
            group: GroupKey([scatter(key ^ seed), scatter(key.wrapping_add(seed))]),
            time,
            event: EventId([event, event ^ seed]),
            position: Position(sequence),
            members: MemberSet::of((mixed / VALUES % u64::from(MEMBERS)) as u16), // Below MEMBERS.
            value: if self.valued {
                Decimal(i128::from(value) * Decimal::ONE).into()
            } else {
                FactValue([scatter(value), value])
            },
            weight: Weight::ONE,
            received: ReceiveTime(time.0),
            time_mark: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const START: EventTime = EventTime(1_772_438_400_000_000_000);

    #[test]
    fn streams_depend_on_the_seed() {
        let facts = |seed| {
            FactStream::skewed(seed, START)
                .take(10_000)
                .collect::<Vec<_>>()
        };
        assert_eq!(facts(5), facts(5));
        assert_ne!(facts(5), facts(6));
    }

    #[test]
    fn skewed_streams_have_the_stated_skew_and_lateness() {
        let facts: Vec<Fact> = FactStream::skewed(5, START).take(100_000).collect();
        let mut late = 0;
        let mut greatest = START;
        for fact in &facts {
            assert!(fact.time >= greatest.minus(LATE_MAX));
            late += usize::from(fact.time < greatest);
            greatest = greatest.max(fact.time);
        }
        assert!((800..1_200).contains(&late), "{late}");
        let mut counts = std::collections::BTreeMap::<GroupKey, usize>::new();
        facts
            .iter()
            .for_each(|fact| *counts.entry(fact.group).or_default() += 1);
        let hottest = counts.values().max().copied().unwrap_or(0);
        assert!((10_000..14_000).contains(&hottest), "{hottest}");
    }

    #[test]
    fn fresh_keys_never_repeat() {
        let stream = FactStream::fresh_keys(5, START, 20_000).take(100_000);
        let groups: BTreeSet<GroupKey> = stream.map(|fact| fact.group).collect();
        assert_eq!(groups.len(), 100_000);
    }
}
