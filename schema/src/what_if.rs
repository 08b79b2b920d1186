//! What-ifs: changes of rules that are tried beside the rules before they are made.

use serde::{Deserialize, Serialize};

use crate::id::PlanId;
use crate::journal::Control;
use crate::time::EventTime;

/// One change of rules, of those that a what-if tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleChange {
    /// As [`Control::RulePut`].
    Put { text: String, origin: String },
    /// As [`Control::RuleRemove`].
    Remove { rule: String },
}

impl RuleChange {
    /// The entry that makes the change, where what it puts begins at `since`.
    #[must_use]
    pub fn control(&self, since: EventTime) -> Control {
        match self {
            Self::Put { text, origin } => Control::RulePut {
                text: text.clone(),
                origin: origin.clone(),
                since,
            },
            Self::Remove { rule } => Control::RuleRemove { rule: rule.clone() },
        }
    }
}

/// What a plan of a what-if begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Basis {
    /// What is read again from the journal, if anything.
    Journal,
    /// All that correlations hold of this plan, whose facts it goes on sharing.
    Groups(PlanId),
    /// The facts that correlations still hold of this plan, which selects and groups alike.
    Facts(PlanId),
}
