//! Correlations as written: members by reference, window, grouping, and what must hold.

use std::collections::BTreeMap;

use rsigma_parser::{
    ConditionExpr, CorrelationCondition, CorrelationRule, CorrelationType, Timespan, WindowMode,
};
use weir_schema::{Bound, Member, Plan, PlanKind, Span, Statistic};

use crate::condition;
use crate::diagnostic::{Checked, Refusal};
use crate::document::{Shape, group_fields};
use crate::values;
use crate::yaml::Node;

/// A correlation, before its members are known.
#[derive(Debug)]
pub(crate) struct Correlation {
    pub kind: PlanKind,
    /// Ids or names of the rules that it reads, each once.
    pub members: Vec<String>,
    pub group_by: Vec<String>,
    /// The fields whose values are counted or computed with; the values of several are one tuple.
    pub values: Vec<String>,
    pub aliases: Aliases,
    pub timespan: Span,
    /// Members raise alerts of their own, too.
    pub generate: bool,
    /// All of the above but bounds, `generate`, and how a condition joins its rules.
    pub shape: Shape,
}

/// Names that stand for a field of each rule: alias, then rule, to field.
pub(crate) type Aliases = BTreeMap<String, BTreeMap<String, String>>;

/// More aliases of one correlation are refused.
const ALIASES_MAX: usize = 64;

/// Longer timespans are refused: all that a window may still reach back to is kept in memory.
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

/// The type of an absence: an event of the first rule that none of the others follows.
const NOT_FOLLOWED: &str = "weir.not_followed_by";

/// The type of a silence: nothing more of what had been coming.
const SILENCE: &str = "weir.silence";

/// Whether the document is a correlation of a type that Sigma does not have, and its parser refuses.
pub(crate) fn is_our_type(node: &Node) -> bool {
    let kind = node.get("correlation").and_then(|node| node.get("type"));
    kind.and_then(Node::text)
        .is_some_and(|kind| kind.starts_with("weir."))
}

/// Without a parsed `rule`, the document is of a type of ours.
pub(crate) fn compile(node: &Node, rule: Option<&CorrelationRule>) -> Checked<Correlation> {
    let generate = generate(node)?;
    let section = node.get("correlation").unwrap_or(&Node::Null);
    let read = read(section, rule, generate);
    read.map_err(|refusal| refusal.key("correlation"))
}

fn read(section: &Node, rule: Option<&CorrelationRule>, generate: bool) -> Checked<Correlation> {
    let Node::Map(entries) = section else {
        return Err(Refusal::new("`correlation` is no mapping"));
    };
    for (key, _) in entries {
        match key.as_str() {
            known if KEYS.contains(&known) => {}
            _ => {
                return Err(
                    Refusal::new(format!("`{key}` is not known in a correlation"))
                        .hint(format!("known are {}", KEYS.join(", ")))
                        .key(key),
                );
            }
        }
    }
    let (kind, members) = match rule {
        Some(rule) => of_sigma(section, rule)?,
        None => absence(section)?,
    };
    if members.len() > Plan::MEMBERS_MAX {
        let message = format!("more than {} rules in a correlation", Plan::MEMBERS_MAX);
        return Err(Refusal::new(message).key("rules"));
    }
    let group_by = section
        .get("group-by")
        .map_or(Ok(Vec::new()), group_fields)
        .map_err(|refusal| refusal.key("group-by"))?;
    let timespan = match rule {
        Some(rule) => timespan(section, &rule.timespan)?,
        None => timespan(section, &span(section)?)?,
    };
    let values = rule.map_or(Ok(Vec::new()), |rule| {
        values::fields(rule.correlation_type, section)
    })?;
    let aliases = aliases(section)?;
    let shape = shape(&kind, (&members, &group_by, &values, &aliases), timespan);
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

fn of_sigma(section: &Node, rule: &CorrelationRule) -> Checked<(PlanKind, Vec<String>)> {
    if rule.window != WindowMode::Sliding || rule.gap.is_some() {
        return Err(Refusal::unsupported("windows that do not slide").key("window"));
    }
    match rule.correlation_type {
        CorrelationType::EventCount => event_count(section),
        CorrelationType::Temporal => temporal(section, rule),
        CorrelationType::TemporalOrdered => ordered(section),
        kind @ (CorrelationType::ValueCount
        | CorrelationType::ValueSum
        | CorrelationType::ValueAvg
        | CorrelationType::ValuePercentile
        | CorrelationType::ValueMedian) => Ok((values::kind(kind, section)?, listed(section)?)),
    }
}

/// Which member of a plan of this kind the rule at a place of its list is.
pub(crate) fn member_of(kind: &PlanKind, place: u16) -> u16 {
    match kind {
        PlanKind::Temporal { .. }
        | PlanKind::TemporalOrdered { .. }
        | PlanKind::NotFollowed { .. } => place,
        // Which rule an event counts for does not matter, so that it counts once.
        PlanKind::EventCount { .. }
        | PlanKind::ValueCount { .. }
        | PlanKind::Value { .. }
        | PlanKind::Silence => 0,
    }
}

/// What did not come: after an event of the first rule, or after any.
fn absence(section: &Node) -> Checked<(PlanKind, Vec<String>)> {
    for key in ["condition", "window"] {
        if section.get(key).is_some() {
            return Err(Refusal::new(format!("an absence has no `{key}`"))
                .hint("it is said where nothing comes within the `timespan`")
                .key(key));
        }
    }
    let members = listed(section)?;
    let kind = section.get("type").and_then(Node::text).unwrap_or_default();
    match kind {
        SILENCE => Ok((PlanKind::Silence, members)),
        NOT_FOLLOWED if members.len() < 2 => Err(Refusal::new(
            "`weir.not_followed_by` needs two rules or more",
        )
        .hint("first the one that begins the wait, then those that end it")
        .key("rules")),
        NOT_FOLLOWED => {
            // At most MEMBERS_MAX are kept; the caller refuses more.
            let count = u16::try_from(members.len()).unwrap_or(u16::MAX);
            Ok((PlanKind::NotFollowed { members: count }, members))
        }
        _ => Err(Refusal::new(format!("`{kind}` is no correlation type"))
            .hint(format!(
                "of Weir's own there are {NOT_FOLLOWED} and {SILENCE}"
            ))
            .key("type")),
    }
}

fn span(section: &Node) -> Checked<Timespan> {
    let given = ["timespan", "timeframe"]
        .into_iter()
        .find_map(|key| Some((key, section.get(key)?)));
    let wrong = |message: String| Refusal::new(message).hint("such as 30s, 10m, 24h, 7d");
    let Some((key, given)) = given else {
        return Err(wrong("the correlation has no `timespan`".to_owned()));
    };
    let text = given.text().unwrap_or_default();
    let unusable = |_| wrong(format!("`{text}` is no usable timespan")).key(key);
    Timespan::parse(text).map_err(unusable)
}

fn generate(node: &Node) -> Checked<bool> {
    let section = node.get("correlation");
    let inner = section.and_then(|section| section.get("generate"));
    match (node.get("generate"), inner) {
        (None, None) => Ok(false),
        (Some(Node::Bool(given)), None) | (None, Some(Node::Bool(given))) => Ok(*given),
        (Some(_), Some(_)) => Err(Refusal::new("`generate` stands twice").key("generate")),
        (Some(_), None) => Err(Refusal::new("`generate` is true or false").key("generate")),
        (None, Some(_)) => Err(Refusal::new("`generate` is true or false")
            .key("generate")
            .key("correlation")),
    }
}

fn timespan(section: &Node, timespan: &Timespan) -> Checked<Span> {
    if section.get("timespan").is_some() && section.get("timeframe").is_some() {
        return Err(Refusal::new("both `timespan` and `timeframe`").key("timeframe"));
    }
    let nanoseconds = i64::try_from(timespan.seconds)
        .ok()
        .filter(|seconds| (1..=TIMESPAN_MAX_S).contains(seconds))
        .and_then(|seconds| seconds.checked_mul(Span::SECOND.0));
    nanoseconds.map(Span).ok_or_else(|| {
        Refusal::new(format!("`{}` is no usable timespan", timespan.original))
            .hint("such as 30s, 10m, 24h, 7d; at most 366d")
            .key("timespan")
    })
}

fn rules(section: &Node) -> Checked<Vec<String>> {
    let Some(rules) = section.get("rules") else {
        return Ok(Vec::new());
    };
    let rules = rules
        .texts()
        .ok_or_else(|| Refusal::new("`rules` is no list of rule ids or names").key("rules"))?;
    match (1..)
        .zip(&rules)
        .find(|(at, rule)| rules[*at..].contains(rule))
    {
        Some((at, rule)) => {
            let message = format!("`rules` lists `{rule}` twice");
            Err(Refusal::new(message).nth(at).key("rules"))
        }
        None => Ok(rules),
    }
}

/// The rules of a correlation that must list some.
fn listed(section: &Node) -> Checked<Vec<String>> {
    let members = rules(section)?;
    if members.is_empty() {
        Err(no_rules())
    } else {
        Ok(members)
    }
}

fn aliases(section: &Node) -> Checked<Aliases> {
    let wrong = || {
        Refusal::new("`aliases` is no mapping of aliases to a field of each rule")
            .hint("such as `aliases: {account: {rule_a: User, rule_b: TargetUserName}}`")
            .key("aliases")
    };
    let entries = match section.get("aliases") {
        None | Some(Node::Null) => return Ok(Aliases::new()),
        Some(Node::Map(entries)) => entries,
        Some(_) => return Err(wrong()),
    };
    if entries.len() > ALIASES_MAX {
        let message = format!("more than {ALIASES_MAX} aliases");
        return Err(Refusal::new(message).key("aliases"));
    }
    let alias = |(alias, fields): &(String, Node)| {
        let Node::Map(fields) = fields else {
            return Err(wrong());
        };
        let field = |(rule, field): &(String, Node)| {
            let field = field.text().filter(|field| !field.is_empty());
            Ok((rule.clone(), field.ok_or_else(wrong)?.to_owned()))
        };
        let fields = fields.iter().map(field).collect::<Checked<_>>()?;
        Ok((alias.clone(), fields))
    };
    entries.iter().map(alias).collect()
}

fn no_rules() -> Refusal {
    Refusal::new("the correlation names no rules")
}

fn event_count(section: &Node) -> Checked<(PlanKind, Vec<String>)> {
    let members = listed(section)?;
    let bounds = section.get("condition").map_or(Ok(Vec::new()), bounds)?;
    if bounds.is_empty() {
        return Err(Refusal::new(
            "`event_count` needs a `condition` such as `gte: 10`",
        ));
    }
    Ok((PlanKind::EventCount { bounds }, members))
}

/// Read from the tree, as the parser takes a negative number for a large one.
pub(crate) fn bounds(node: &Node) -> Checked<Vec<Bound>> {
    let Node::Map(entries) = node else {
        return Err(Refusal::new("`condition` is no mapping of bounds")
            .hint("such as `gte: 10`")
            .key("condition"));
    };
    let read = |(key, value): &(String, Node)| {
        let read = bound(key, value);
        read.map_err(|refusal| refusal.key(key).key("condition"))
    };
    let mut bounds = entries.iter().map(read).collect::<Checked<Vec<_>>>()?;
    bounds.sort();
    Ok(bounds)
}

fn bound(key: &str, value: &Node) -> Checked<Bound> {
    let kind = match key {
        "gt" => Bound::Gt,
        "gte" => Bound::Gte,
        "lt" => Bound::Lt,
        "lte" => Bound::Lte,
        "eq" => Bound::Eq,
        "neq" => Bound::Neq,
        _ => {
            let message = format!("`{key}` does not belong in this condition");
            return Err(Refusal::new(message).hint("gt, gte, lt, lte, eq and neq do"));
        }
    };
    let count = match value {
        Node::Int(n) => u64::try_from(*n).ok(),
        _ => None, // Told apart no further: it is not a count.
    };
    count
        .map(kind)
        .ok_or_else(|| Refusal::new(format!("`{key}` needs a whole number from 0")).nth(0))
}

fn temporal(section: &Node, rule: &CorrelationRule) -> Checked<(PlanKind, Vec<String>)> {
    let listed = rules(section)?;
    let (condition, members) = match section.get("condition") {
        None => (every(&listed), listed),
        Some(Node::Text(text)) => {
            condition::parse(text).map_err(|refusal| refusal.key("condition"))?;
            let CorrelationCondition::Extended(expr) = &rule.condition else {
                return Err(Refusal::new("the condition is no expression").key("condition"));
            };
            extended(expr, listed)?
        }
        Some(node) => {
            let count = Bound::Gte(listed.len() as u64);
            let condition = match bounds(node)?.as_slice() {
                [bound] if *bound == count => every(&listed),
                [Bound::Gte(1)] => Member::Any(seen(&listed)),
                _ => {
                    return Err(Refusal::unsupported("a count of members in `temporal`")
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
        return Err(Refusal::new("the condition has no rule that must be seen")
            .hint("an alert needs an event to rest on")
            .key("condition"));
    }
    let kind = PlanKind::Temporal {
        // At most MEMBERS_MAX are kept; the caller refuses more.
        members: u16::try_from(members.len()).unwrap_or(u16::MAX),
        condition,
    };
    Ok((kind, members))
}

/// Every rule that is listed, in the order in which they are.
fn ordered(section: &Node) -> Checked<(PlanKind, Vec<String>)> {
    let members = listed(section)?;
    let count = Bound::Gte(members.len() as u64);
    match section.get("condition") {
        None => {}
        Some(node @ Node::Map(_)) if bounds(node)?.as_slice() == [count] => {}
        Some(_) => {
            return Err(Refusal::unsupported("a condition in `temporal_ordered`")
                .hint("leave it out: all rules must be seen, in the order of `rules`")
                .key("condition"));
        }
    }
    // At most MEMBERS_MAX are kept; the caller refuses more.
    let count = u16::try_from(members.len()).unwrap_or(u16::MAX);
    Ok((PlanKind::TemporalOrdered { members: count }, members))
}

fn extended(expr: &ConditionExpr, listed: Vec<String>) -> Checked<(Member, Vec<String>)> {
    let mut named = Vec::new();
    condition::names(expr, &mut named);
    let members = if listed.is_empty() {
        named.clone()
    } else {
        listed
    };
    let condition = condition::members(expr, &members).map_err(|r| r.key("condition"))?;
    match members.iter().find(|member| !named.contains(member)) {
        Some(member) => Err(
            Refusal::new(format!("the condition does not name `{member}`"))
                .hint("it must name every rule that `rules` lists")
                .key("condition"),
        ),
        None => Ok((condition, members)),
    }
}

fn seen(members: &[String]) -> Vec<Member> {
    (0..=u16::MAX)
        .zip(members)
        .map(|(member, _)| Member::Seen(member))
        .collect()
}

fn every(members: &[String]) -> Member {
    Member::All(seen(members))
}

type Parts<'a> = (&'a [String], &'a [String], &'a [String], &'a Aliases);

/// All that decides which facts there are, and what is computed of them but for its bounds.
fn shape(kind: &PlanKind, (members, fields, values, aliases): Parts<'_>, span: Span) -> Shape {
    let (name, rank) = match kind {
        PlanKind::EventCount { .. } => ("event_count", 0),
        PlanKind::Temporal { .. } => ("temporal", 0),
        PlanKind::TemporalOrdered { .. } => ("temporal_ordered", 0),
        PlanKind::ValueCount { .. } => ("value_count", 0),
        PlanKind::Value { statistic, .. } => match statistic {
            Statistic::Sum => ("value_sum", 0),
            Statistic::Average => ("value_avg", 0),
            Statistic::Percentile(rank) => ("value_percentile", rank.0),
        },
        PlanKind::NotFollowed { .. } => (NOT_FOLLOWED, 0),
        PlanKind::Silence => (SILENCE, 0),
    };
    let counts = [members.len() as u64, fields.len() as u64].map(u64::to_le_bytes);
    let (span, rank) = (span.0.to_le_bytes(), rank.to_le_bytes());
    let mut parts: Vec<&[u8]> = vec![name.as_bytes(), &counts[0], &counts[1], &span];
    parts.extend(members.iter().chain(fields).map(String::as_bytes));
    if !values.is_empty() {
        parts.extend([b"values".as_slice(), &rank]);
        parts.extend(values.iter().map(String::as_bytes));
    }
    // Rules that need not be seen begin no window: which they are decides what state is kept.
    let mut seen = vec![true; members.len()];
    if let PlanKind::Temporal { condition, .. } = kind {
        seen.fill(false);
        condition.mark_positive(&mut seen);
    }
    let unseen = members.iter().zip(&seen).filter(|(_, seen)| !**seen);
    parts.extend(unseen.flat_map(|(member, _)| [b"unseen".as_slice(), member.as_bytes()]));
    for (alias, rules) in aliases {
        parts.extend([b"alias".as_slice(), alias.as_bytes()]);
        let pairs = rules.iter().flat_map(|(rule, field)| [rule, field]);
        parts.extend(pairs.map(String::as_bytes));
    }
    Shape::of(&parts)
}
