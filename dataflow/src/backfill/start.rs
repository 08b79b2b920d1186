//! Finds the event time from which the rules of an epoch must see events.

use std::collections::BTreeSet;

use weir_operators::names_affecting_others;
use weir_schema::{Control, EventTime, RuleChange};

/// The event time from which the plans that `controls` add see events; `None` if they add none.
///
/// `affecting_rules` are the ids and names of the rules so far that affect other rules: once such a
/// rule is removed, the others read all events again. Those of `controls` are added, shadows too,
/// because they may be promoted.
pub fn backfill_start(
    controls: &[Control],
    affecting_rules: &mut BTreeSet<String>,
) -> Option<EventTime> {
    for control in controls {
        match control {
            Control::RulePut { text, .. } => affecting_rules.extend(names_affecting_others(text)),
            Control::WhatIfPut { changes, .. } => {
                let names = |change: &RuleChange| match change {
                    RuleChange::Put { text, .. } => names_affecting_others(text),
                    RuleChange::Remove { .. } => Vec::new(),
                };
                affecting_rules.extend(changes.iter().flat_map(names));
            }
            _ => {}
        }
    }
    let removes_affecting = |change: &RuleChange| match change {
        RuleChange::Remove { rule } => affecting_rules.contains(rule),
        RuleChange::Put { .. } => false,
    };
    let since = controls.iter().filter_map(|control| match control {
        Control::RulePut { since, .. } | Control::Settings { since, .. } => Some(*since),
        Control::WhatIfPut {
            since,
            changes,
            from_journal: true,
            ..
        } => Some(match changes.iter().any(removes_affecting) {
            true => EventTime::MIN,
            false => *since,
        }),
        Control::RuleRemove { rule } | Control::RuleDelete { rule, .. }
            if affecting_rules.contains(rule) =>
        {
            Some(EventTime::MIN)
        }
        // A disabled rule may have affected others; they see those events from then on.
        Control::RuleDisable { until, .. } | Control::RuleSuspend { until, .. } => Some(*until),
        _ => None,
    });
    since.min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_schema::WhatIfId;

    const CORRELATION: &str = "title: C\nid: c\ncorrelation: {type: event_count, rules: [a], \
                               timespan: 5m, condition: {gte: 3}}\n";

    #[test]
    fn removing_a_rule_that_affects_others_starts_a_full_backfill() {
        let put = RuleChange::Put {
            text: CORRELATION.to_owned(),
            origin: "test.yml".to_owned(),
        };
        let remove = RuleChange::Remove {
            rule: "c".to_owned(),
        };
        let since = EventTime(9);
        let what_if = |change: &RuleChange, from_journal| Control::WhatIfPut {
            id: WhatIfId(1),
            changes: vec![change.clone()],
            since,
            from_journal,
        };
        let promote = Control::WhatIfPromote { id: WhatIfId(1) };
        let full = Some(EventTime::MIN);
        let cases = [
            ("unknown rule", vec![], remove.control(since), None),
            (
                "known rule",
                vec![put.control(since)],
                remove.control(since),
                full,
            ),
            (
                "promoted rule",
                vec![what_if(&put, true), promote],
                remove.control(since),
                full,
            ),
            (
                "what-if that removes a known rule",
                vec![put.control(since)],
                what_if(&remove, true),
                full,
            ),
            ("what-if", vec![], what_if(&put, true), Some(since)),
            (
                "what-if that copies groups",
                vec![],
                what_if(&put, false),
                None,
            ),
        ];
        for (name, before, control, expected) in cases {
            let mut affecting = BTreeSet::new();
            backfill_start(&before, &mut affecting);
            let start = backfill_start(&[control], &mut affecting);
            assert_eq!(start, expected, "{name}");
        }
    }
}
