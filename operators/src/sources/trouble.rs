//! The built-in rules about sources: their ids, titles, levels, and what they ask.

use weir_schema::{Level, PlanId, RuleId, RuleVersion};

/// What can be wrong with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    Silent,
    Lagging,
    Flooding,
    ClockSkew,
}

impl Trouble {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Silent, Self::Lagging, Self::Flooding, Self::ClockSkew];

    /// The id of the built-in rule that says so.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Silent => "weir.source.silent",
            Self::Lagging => "weir.source.lagging",
            Self::Flooding => "weir.source.flooding",
            Self::ClockSkew => "weir.source.clock-skew",
        }
    }

    /// The label that metrics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Lagging => "lagging",
            Self::Flooding => "flooding",
            Self::ClockSkew => "clock_skew",
        }
    }

    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Silent => "A source is silent",
            Self::Lagging => "A source sends old events",
            Self::Flooding => "A source sends far more than usual",
            Self::ClockSkew => "A source's clock runs ahead",
        }
    }

    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::Silent | Self::Flooding => Level::Medium,
            Self::Lagging | Self::ClockSkew => Level::Low,
        }
    }

    /// What it asks of a source, in words.
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::Silent => {
                "the source is unheard for longer than `self_alerts.silent`, after it was heard \
                 for at least as long; it is taken back with the next event"
            }
            Self::Lagging => {
                "the newest event of each batch is further behind the tenant's furthest source \
                 than `self_alerts.lagging`, for `self_alerts.patience`; it is taken back with \
                 the first batch that is not"
            }
            Self::Flooding => {
                "in a minute came more than `self_alerts.flooding` times as many events as in \
                 the mean of up to a day, and more than `self_alerts.flooding_least`; it is \
                 taken back after the first minute without"
            }
            Self::ClockSkew => {
                "events say times later than their receipt by more than \
                 `self_alerts.clock_skew`, for `self_alerts.patience`; it is taken back once \
                 none came for five minutes"
            }
        }
    }

    /// The trouble that a rule's id names.
    #[must_use]
    pub fn of_rule(rule: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.rule() == rule)
    }

    /// The trouble that a row of the dataflow speaks of.
    #[must_use]
    pub fn of_plan(plan: PlanId) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.plan() == plan)
    }

    /// The rule's id, as records hold it.
    #[must_use]
    pub fn rule_id(self) -> RuleId {
        self.rule().into()
    }

    pub(super) fn plan(self) -> PlanId {
        PlanId::of(&[b"built in", self.rule().as_bytes()])
    }

    /// Changes with the words of the rule: what it was raised under is told by it.
    pub(super) fn version(self) -> RuleVersion {
        RuleVersion::of(&[self.rule().as_bytes(), self.condition().as_bytes()])
    }
}
