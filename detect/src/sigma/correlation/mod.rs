//! Correlations as written: references to members, window, grouping, and condition.

mod absence;
mod bounds;
mod shape;
mod temporal;
mod values;

use std::collections::BTreeMap;

use rsigma_parser::{CorrelationRule, CorrelationType, Timespan, WindowMode};
use weir_schema::{Plan, PlanKind, Span};

use crate::sigma::detection::ShapeHash;
use crate::sigma::grouping::group_fields;
use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::yaml::YamlNode;

use shape::ShapeParts;

/// A correlation whose members are not resolved yet.
#[derive(Debug)]
pub(crate) struct Correlation {
    pub kind: PlanKind,
    /// Ids or names of the rules that it reads, without duplicates.
    pub members: Vec<String>,
    pub group_by: Vec<String>,
    /// The fields that it counts or computes with. Several fields make one tuple.
    pub values: Vec<String>,
    pub aliases: Aliases,
    pub timespan: Span,
    /// Members also raise alerts of their own.
    pub generate: bool,
    /// Hash of the above, except bounds, `generate`, and the operators of a condition.
    pub shape: ShapeHash,
}

/// For each alias, the field of each rule that it stands for: alias to rule to field.
pub(crate) type Aliases = BTreeMap<String, BTreeMap<String, String>>;

/// Maximum number of aliases of one correlation.
const ALIASES_MAX: usize = 64;

/// Maximum timespan. All facts that a window can still reach stay in memory.
const TIMESPAN_MAX_S: i64 = 366 * 86_400;

const KEYS: [&str; 9] = [
    "aliases",
    "type",
    "rules",
    "group-by",
    "timespan",
    "timeframe",
    "condition",
    "generate",
    "window",
];

/// Whether the document is a correlation of a type that only Weir has. Sigma's parser refuses it.
pub(crate) fn is_weir_type(node: &YamlNode) -> bool {
    let kind = node.get("correlation").and_then(|node| node.get("type"));
    kind.and_then(YamlNode::text)
        .is_some_and(|kind| kind.starts_with("weir."))
}

/// Compiles the correlation. Without a parsed `rule`, it is of a type that only Weir has.
pub(crate) fn compile(node: &YamlNode, rule: Option<&CorrelationRule>) -> SigmaResult<Correlation> {
    let generate = generate(node)?;
    let section = node.get("correlation").unwrap_or(&YamlNode::Null);
    let read = read(section, rule, generate);
    read.map_err(|issue| issue.key("correlation"))
}

fn read(
    section: &YamlNode,
    rule: Option<&CorrelationRule>,
    generate: bool,
) -> SigmaResult<Correlation> {
    let YamlNode::Map(entries) = section else {
        return Err(Issue::new("`correlation` is not a mapping"));
    };
    for (key, _) in entries {
        match key.as_str() {
            known if KEYS.contains(&known) => {}
            _ => {
                return Err(Issue::new(format!("unknown key `{key}` in a correlation"))
                    .hint(format!("known keys are {}", KEYS.join(", ")))
                    .key(key));
            }
        }
    }
    let (kind, members) = match rule {
        Some(rule) => sigma_type(section, rule)?,
        None => absence::read(section)?,
    };
    if members.len() > Plan::MEMBERS_MAX {
        let message = format!("more than {} rules in a correlation", Plan::MEMBERS_MAX);
        return Err(Issue::new(message).key("rules"));
    }
    let group_by = section
        .get("group-by")
        .map_or(Ok(Vec::new()), group_fields)
        .map_err(|issue| issue.key("group-by"))?;
    let timespan = match rule {
        Some(rule) => timespan(section, &rule.timespan)?,
        None => timespan(section, &span(section)?)?,
    };
    let values = rule.map_or(Ok(Vec::new()), |rule| {
        values::fields(rule.correlation_type, section)
    })?;
    let aliases = aliases(section)?;
    let shape = shape::shape(&ShapeParts {
        kind: &kind,
        members: &members,
        group_by: &group_by,
        values: &values,
        aliases: &aliases,
        timespan,
    });
    Ok(Correlation {
        kind,
        members,
        group_by,
        values,
        aliases,
        timespan,
        generate,
        shape,
    })
}

fn sigma_type(section: &YamlNode, rule: &CorrelationRule) -> SigmaResult<(PlanKind, Vec<String>)> {
    if rule.window != WindowMode::Sliding || rule.gap.is_some() {
        return Err(Issue::unsupported("windows that do not slide").key("window"));
    }
    match rule.correlation_type {
        CorrelationType::EventCount => event_count(section),
        CorrelationType::Temporal => temporal::temporal(section, rule),
        CorrelationType::TemporalOrdered => temporal::ordered(section),
        kind @ (CorrelationType::ValueCount
        | CorrelationType::ValueSum
        | CorrelationType::ValueAvg
        | CorrelationType::ValuePercentile
        | CorrelationType::ValueMedian) => Ok((values::kind(kind, section)?, listed(section)?)),
    }
}

/// The member number, in a plan of this kind, of the rule at `place` in the list.
pub(crate) fn member_number(kind: &PlanKind, place: u16) -> u16 {
    match kind {
        PlanKind::Temporal { .. }
        | PlanKind::TemporalOrdered { .. }
        | PlanKind::NotFollowed { .. } => place,
        // The plan does not tell its rules apart, so an event of two rules counts once.
        PlanKind::EventCount { .. }
        | PlanKind::ValueCount { .. }
        | PlanKind::Value { .. }
        | PlanKind::Silence => 0,
    }
}

fn span(section: &YamlNode) -> SigmaResult<Timespan> {
    let given = ["timespan", "timeframe"]
        .into_iter()
        .find_map(|key| Some((key, section.get(key)?)));
    let wrong = |message: String| Issue::new(message).hint("such as 30s, 10m, 24h, 7d");
    let Some((key, given)) = given else {
        return Err(wrong("the correlation has no `timespan`".to_owned()));
    };
    let text = given.text().unwrap_or_default();
    let unusable = |_| wrong(format!("`{text}` is not a usable timespan")).key(key);
    Timespan::parse(text).map_err(unusable)
}

fn generate(node: &YamlNode) -> SigmaResult<bool> {
    let section = node.get("correlation");
    let inner = section.and_then(|section| section.get("generate"));
    match (node.get("generate"), inner) {
        (None, None) => Ok(false),
        (Some(YamlNode::Bool(given)), None) | (None, Some(YamlNode::Bool(given))) => Ok(*given),
        (Some(_), Some(_)) => Err(Issue::new("`generate` is given twice").key("generate")),
        (Some(_), None) => Err(Issue::new("`generate` must be true or false").key("generate")),
        (None, Some(_)) => Err(Issue::new("`generate` must be true or false")
            .key("generate")
            .key("correlation")),
    }
}

fn timespan(section: &YamlNode, timespan: &Timespan) -> SigmaResult<Span> {
    if section.get("timespan").is_some() && section.get("timeframe").is_some() {
        return Err(Issue::new("both `timespan` and `timeframe`").key("timeframe"));
    }
    let nanoseconds = i64::try_from(timespan.seconds)
        .ok()
        .filter(|seconds| (1..=TIMESPAN_MAX_S).contains(seconds))
        .and_then(|seconds| seconds.checked_mul(Span::SECOND.0));
    nanoseconds.map(Span).ok_or_else(|| {
        Issue::new(format!("`{}` is not a usable timespan", timespan.original))
            .hint("such as 30s, 10m, 24h, 7d; at most 366d")
            .key("timespan")
    })
}

fn rules(section: &YamlNode) -> SigmaResult<Vec<String>> {
    let Some(rules) = section.get("rules") else {
        return Ok(Vec::new());
    };
    let rules = rules
        .texts()
        .ok_or_else(|| Issue::new("`rules` is not a list of rule ids or names").key("rules"))?;
    match (1..)
        .zip(&rules)
        .find(|(at, rule)| rules[*at..].contains(rule))
    {
        Some((at, rule)) => {
            let message = format!("`rules` lists `{rule}` twice");
            Err(Issue::new(message).nth(at).key("rules"))
        }
        None => Ok(rules),
    }
}

/// The listed rules, of which there must be at least one.
fn listed(section: &YamlNode) -> SigmaResult<Vec<String>> {
    let members = rules(section)?;
    if members.is_empty() {
        Err(no_rules())
    } else {
        Ok(members)
    }
}

fn aliases(section: &YamlNode) -> SigmaResult<Aliases> {
    let wrong = || {
        Issue::new("`aliases` is not a mapping of aliases to a field of each rule")
            .hint("such as `aliases: {account: {rule_a: User, rule_b: TargetUserName}}`")
            .key("aliases")
    };
    let entries = match section.get("aliases") {
        None | Some(YamlNode::Null) => return Ok(Aliases::new()),
        Some(YamlNode::Map(entries)) => entries,
        Some(_) => return Err(wrong()),
    };
    if entries.len() > ALIASES_MAX {
        let message = format!("more than {ALIASES_MAX} aliases");
        return Err(Issue::new(message).key("aliases"));
    }
    let alias = |(alias, fields): &(String, YamlNode)| {
        let YamlNode::Map(fields) = fields else {
            return Err(wrong());
        };
        let field = |(rule, field): &(String, YamlNode)| {
            let field = field.text().filter(|field| !field.is_empty());
            Ok((rule.clone(), field.ok_or_else(wrong)?.to_owned()))
        };
        let fields = fields.iter().map(field).collect::<SigmaResult<_>>()?;
        Ok((alias.clone(), fields))
    };
    entries.iter().map(alias).collect()
}

fn no_rules() -> Issue {
    Issue::new("the correlation lists no rules")
}

fn event_count(section: &YamlNode) -> SigmaResult<(PlanKind, Vec<String>)> {
    let members = listed(section)?;
    let bounds = section
        .get("condition")
        .map_or(Ok(Vec::new()), bounds::bounds)?;
    if bounds.is_empty() {
        return Err(Issue::new(
            "`event_count` needs a `condition` such as `gte: 10`",
        ));
    }
    Ok((PlanKind::EventCount { bounds }, members))
}
