//! Correlations as written: references to members, window, grouping, and condition.

mod absence;
mod bounds;
mod shape;
mod temporal;
mod timespan;
mod values;

use std::collections::BTreeMap;

use rsigma_parser::CorrelationType;
use weir_schema::{Plan, PlanKind, Span};

use crate::sigma::condition;
use crate::sigma::detection::ShapeHash;
use crate::sigma::grouping::group_fields;
use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::yaml::YamlNode;

use shape::ShapeParts;
use timespan::timespan;

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

/// The types of Sigma.
const TYPES: [&str; 8] = [
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
    "temporal",
    "temporal_ordered",
];

/// Compiles the correlation.
pub(crate) fn compile(node: &YamlNode) -> SigmaResult<Correlation> {
    let generate = generate(node)?;
    windows(node)?;
    let section = node.get("correlation").unwrap_or(&YamlNode::Null);
    let read = read(section, generate);
    read.map_err(|issue| issue.key("correlation"))
}

fn read(section: &YamlNode, generate: bool) -> SigmaResult<Correlation> {
    let YamlNode::Map(entries) = section else {
        return Err(Issue::new("`correlation` is not a mapping"));
    };
    for (key, _) in entries {
        match key.as_str() {
            known if KEYS.contains(&known) => {}
            "ordered" => {
                return Err(Issue::new("unknown key `ordered` in a correlation")
                    .hint("write `type: temporal_ordered`")
                    .key(key));
            }
            _ => {
                return Err(Issue::new(format!("unknown key `{key}` in a correlation"))
                    .hint(format!("known keys are {}", KEYS.join(", ")))
                    .key(key));
            }
        }
    }
    let stated = stated_type(section).map_err(|issue| issue.key("type"))?;
    let (kind, members) = match stated {
        Some(kind) => sigma_type(section, kind)?,
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
    let timespan = timespan(section)?;
    let values = stated.map_or(Ok(Vec::new()), |kind| values::fields(kind, section))?;
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

/// The type that the correlation states; `None` for a type of Weir's own.
fn stated_type(section: &YamlNode) -> SigmaResult<Option<CorrelationType>> {
    let all = || format!("the types are {}", TYPES.join(", "));
    let Some(node) = section.get("type") else {
        return Err(Issue::new("the correlation has no `type`").hint(all()));
    };
    let text = node.text().unwrap_or_default();
    if text.starts_with("weir.") {
        return Ok(None);
    }
    if let Ok(kind) = text.parse() {
        return Ok(Some(kind));
    }
    // The same words in another order or writing, such as `ordered_temporal`.
    let words = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let mut words: Vec<String> = lower
            .split(['_', '-', ' ', '.'])
            .map(str::to_owned)
            .collect();
        words.sort();
        words
    };
    let meant = TYPES.iter().find(|known| words(known) == words(text));
    let hint = meant.map_or_else(all, |meant| format!("write `{meant}`"));
    Err(Issue::new(format!("`{text}` is not a type of correlation")).hint(hint))
}

/// Refuses windows that do not slide, in the correlation or at the top of the document.
fn windows(node: &YamlNode) -> SigmaResult<()> {
    let refuse = || Issue::unsupported("windows that do not slide").hint("leave the key out");
    let slides = |window: &YamlNode| window.text() == Some("sliding");
    if node.get("rsigma.gap").is_some() {
        return Err(refuse().key("rsigma.gap"));
    }
    if node
        .get("rsigma.window")
        .is_some_and(|window| !slides(window))
    {
        return Err(refuse().key("rsigma.window"));
    }
    match node
        .get("correlation")
        .and_then(|section| section.get("window"))
    {
        Some(window) if !slides(window) => Err(refuse().key("window").key("correlation")),
        _ => Ok(()), // Without the key it slides.
    }
}

fn sigma_type(section: &YamlNode, kind: CorrelationType) -> SigmaResult<(PlanKind, Vec<String>)> {
    match kind {
        CorrelationType::EventCount => event_count(section),
        CorrelationType::Temporal => temporal::temporal(section),
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

/// The ids or names of the rules that the section reads, as far as it can be read.
pub(crate) fn reads(section: &YamlNode) -> Vec<String> {
    let listed = section.get("rules").and_then(YamlNode::texts);
    listed.unwrap_or_else(|| {
        let condition = section.get("condition").and_then(YamlNode::text);
        let expr = condition.and_then(|text| condition::parse(text).ok());
        let mut names = Vec::new();
        if let Some(expr) = expr {
            condition::collect_names(&expr, &mut names);
        }
        names
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
