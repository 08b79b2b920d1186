//! Rule entries: rules over one field, counts of them, and their control entries.

use weir_schema::{Control, EventTime};

pub fn rule(id: &str, pattern: &str, rest: &str) -> String {
    format!(
        "title: Rule {id}\nid: {id}\nname: name_{id}\nlogsource: {{category: test}}\n\
         detection: {{selection: {{field: {pattern}}}, condition: selection}}\n{rest}"
    )
}

pub fn count(id: &str, members: &str, condition: &str, rest: &str) -> String {
    format!(
        "title: Count {id}\nid: {id}\ncorrelation: {{type: event_count, rules: [{members}], \
         group-by: [user], timespan: 5m, condition: {{{condition}}}}}\n{rest}"
    )
}

pub fn disable(rule: &str, until: i64) -> Control {
    Control::RuleDisable {
        rule: rule.to_owned(),
        until: EventTime(until),
    }
}

pub fn remove(rule: &str) -> Control {
    delete(rule, i64::MIN)
}

/// Removes a rule; those that only it read alert from `since` on.
pub fn delete(rule: &str, since: i64) -> Control {
    Control::RuleDelete {
        rule: rule.to_owned(),
        since: EventTime(since),
    }
}

pub fn entry(text: String, since: i64) -> Control {
    Control::RulePut {
        text,
        origin: "test.yml".to_owned(),
        since: EventTime(since),
    }
}
