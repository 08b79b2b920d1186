//! Correlations of several rules within one window: `temporal` and `temporal_ordered`.

use rsigma_parser::ConditionExpr;
use weir_schema::{Bound, MemberCondition, PlanKind};

use crate::sigma::condition;
use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::yaml::YamlNode;

use super::bounds::bounds;
use super::{listed, no_rules, rules};

/// Reads `temporal`: a condition over the rules that must be seen in one window.
pub(super) fn temporal(section: &YamlNode) -> SigmaResult<(PlanKind, Vec<String>)> {
    let listed = rules(section)?;
    let (condition, members) = match section.get("condition") {
        None => (every(&listed), listed),
        Some(YamlNode::Text(text)) => {
            let expr = condition::parse(text).map_err(|issue| issue.key("condition"))?;
            extended(&expr, listed)?
        }
        Some(node) => {
            let count = Bound::Gte(listed.len() as u64);
            let condition = match bounds(node)?.as_slice() {
                [bound] if *bound == count => every(&listed),
                [Bound::Gte(1)] => MemberCondition::Any(seen(&listed)),
                _ => {
                    return Err(Issue::unsupported("a count of members in `temporal`")
                        .hint("write an expression over the rules' names")
                        .key("condition"));
                }
            };
            (condition, listed)
        }
    };
    if members.is_empty() {
        return Err(no_rules());
    }
    let mut positive = vec![false; members.len()];
    condition.mark_positive(&mut positive);
    if !positive.contains(&true) {
        return Err(
            Issue::new("the condition does not require an event of any rule")
                .hint("an alert needs at least one event as evidence")
                .key("condition"),
        );
    }
    let kind = PlanKind::Temporal {
        // The caller refuses more than MEMBERS_MAX.
        members: u16::try_from(members.len()).unwrap_or(u16::MAX),
        condition,
    };
    Ok((kind, members))
}

/// Reads `temporal_ordered`: every listed rule, in the listed order.
pub(super) fn ordered(section: &YamlNode) -> SigmaResult<(PlanKind, Vec<String>)> {
    let members = listed(section)?;
    let count = Bound::Gte(members.len() as u64);
    match section.get("condition") {
        None => {}
        Some(node @ YamlNode::Map(_)) if bounds(node)?.as_slice() == [count] => {}
        Some(_) => {
            return Err(Issue::unsupported("a condition in `temporal_ordered`")
                .hint("leave it out: all rules must be seen, in the order of `rules`")
                .key("condition"));
        }
    }
    // The caller refuses more than MEMBERS_MAX.
    let count = u16::try_from(members.len()).unwrap_or(u16::MAX);
    Ok((PlanKind::TemporalOrdered { members: count }, members))
}

/// Reads a condition that is an expression. Without a list, it names the members.
fn extended(
    expr: &ConditionExpr,
    listed: Vec<String>,
) -> SigmaResult<(MemberCondition, Vec<String>)> {
    let mut named = Vec::new();
    condition::collect_names(expr, &mut named);
    let members = if listed.is_empty() {
        named.clone()
    } else {
        listed
    };
    let condition = condition::lower_members(expr, &members).map_err(|r| r.key("condition"))?;
    match members.iter().find(|member| !named.contains(member)) {
        Some(member) => Err(
            Issue::new(format!("the condition does not name `{member}`"))
                .hint("it must name every rule that `rules` lists")
                .key("condition"),
        ),
        None => Ok((condition, members)),
    }
}

fn seen(members: &[String]) -> Vec<MemberCondition> {
    (0..=u16::MAX)
        .zip(members)
        .map(|(member, _)| MemberCondition::Present(member))
        .collect()
}

fn every(members: &[String]) -> MemberCondition {
    MemberCondition::All(seen(members))
}
