//! Filters: conditions that are added to many rules, and the rules that they apply to.

use std::collections::BTreeSet;

use rsigma_parser::FilterRule;
use weir_schema::{LogSource, RuleId};

use crate::sigma::clause::CompileContext;
use crate::sigma::condition;
use crate::sigma::detection::ShapeHash;
use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::log_sources;
use crate::sigma::matcher::{Expr, Matcher};
use crate::sigma::yaml::YamlNode;

/// Maximum number of filters, disabled ones included.
pub(crate) const FILTERS_MAX: usize = 1_000;

/// Maximum number of filters for one rule. Each is compiled into the rule.
pub(crate) const RULE_FILTERS_MAX: usize = 32;

/// Maximum number of rules that one filter lists.
const RULES_LISTED_MAX: usize = 10_000;

/// A condition that must also hold for the filter's rules to match.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Ids or names. `None` means any rule.
    rules: Option<BTreeSet<String>>,
    pub logsource: LogSource,
    pub matcher: Matcher,
    /// Hash of selections, condition, log source and rules.
    pub shape: ShapeHash,
    /// Whether its condition has a `not`.
    excludes: bool,
}

pub(crate) fn compile(
    node: &YamlNode,
    parsed: FilterRule,
    ctx: &mut CompileContext<'_>,
) -> SigmaResult<Filter> {
    let section = node.get("filter").unwrap_or(&YamlNode::Null);
    let rules = rules(section).map_err(|issue| issue.key("filter"))?;
    let matcher = condition::compile(&parsed.detection, ctx);
    let matcher = matcher.map_err(|issue| issue.key("filter"))?;
    let stated = parsed.logsource.unwrap_or_default();
    let mut bytes = Vec::new();
    section.canonical(&mut bytes);
    let logsource = node.get("logsource").unwrap_or(&YamlNode::Null);
    for key in ["category", "product", "service"] {
        let value = logsource.get(key).unwrap_or(&YamlNode::Null);
        value.canonical(&mut bytes);
    }
    Ok(Filter {
        rules,
        logsource: LogSource {
            category: stated.category,
            product: stated.product,
            service: stated.service,
        },
        excludes: negates(&matcher.condition),
        matcher,
        shape: ShapeHash::of(&[b"filter", &bytes]),
    })
}

fn rules(section: &YamlNode) -> SigmaResult<Option<BTreeSet<String>>> {
    let hint = "list ids or names of rules, or write `rules: any`";
    let Some(node) = section.get("rules") else {
        return Err(Issue::new("the filter does not state its `rules`").hint(hint));
    };
    if node
        .text()
        .is_some_and(|text| text.eq_ignore_ascii_case("any"))
    {
        return Ok(None);
    }
    match node.texts() {
        Some(texts) if !texts.is_empty() && texts.len() <= RULES_LISTED_MAX => {
            Ok(Some(texts.into_iter().collect()))
        }
        _ => {
            let message = format!("`rules` is not a list of 1 to {RULES_LISTED_MAX} rules");
            Err(Issue::new(message).hint(hint).key("rules"))
        }
    }
}

/// Whether the condition has a `not`.
fn negates(expr: &Expr) -> bool {
    match expr {
        Expr::Not(_) => true,
        Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => parts.iter().any(negates),
        Expr::Clause(_) | Expr::Selection(_) => false,
    }
}

impl Filter {
    /// Remarks on a filter without `not`, which is easily a mistake.
    pub(crate) fn remark(&self) -> Option<Issue> {
        (!self.excludes).then(|| {
            Issue::new("its rules match only where this condition holds")
                .hint("to exclude the events that it describes, write `condition: not selection`")
                .key("condition")
                .key("filter")
        })
    }

    /// The rules that it lists; none if it applies to any rule.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &String> {
        self.rules.iter().flatten()
    }

    /// Whether it applies to a rule with this id, name and log source.
    pub(crate) fn applies_to(
        &self,
        id: &RuleId,
        name: Option<&String>,
        logsource: &LogSource,
    ) -> bool {
        let is_listed = |rules: &BTreeSet<String>| {
            rules.contains(&**id) || name.is_some_and(|name| rules.contains(name))
        };
        log_sources::includes(&self.logsource, logsource)
            && self.rules.as_ref().is_none_or(is_listed)
    }
}
