//! Checks of a document before it is parsed: refuses unsupported features, and errors that the
//! parser would ignore.

use rsigma_parser::Modifier;

use crate::sigma::condition;
use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::yaml::YamlNode;

/// Maximum number of selections of one rule. The most in public collections is 35.
const SELECTIONS_MAX: usize = 1_000;

/// Maximum number of conditions in a list. Any of them may hold.
const CONDITIONS_MAX: usize = 64;

/// Checks a document and returns the key of its kind: `detection`, `correlation` or `filter`.
pub(crate) fn check(node: &YamlNode) -> SigmaResult<&'static str> {
    if node.get("action").is_some() {
        return Err(Issue::new(
            "`action` documents (global, repeat, reset) are not part of Sigma 2",
        )
        .hint("write each rule in full")
        .key("action"));
    }
    if node.get("status").and_then(YamlNode::text) == Some("unsupported") {
        return Err(
            Issue::new("its status `unsupported` says that it cannot be used")
                .hint("repair the rule, then give it another status")
                .key("status"),
        );
    }
    if let Some(version) = node.get("sigma-version") {
        let text = match version {
            YamlNode::Int(n) => n.to_string(),
            YamlNode::Number(text) | YamlNode::Text(text) => text.clone(),
            YamlNode::Null | YamlNode::Bool(_) | YamlNode::List(_) | YamlNode::Map(_) => {
                String::new()
            }
        };
        let major = rsigma_parser::version::major_from_str(&text);
        if !major.is_some_and(|major| (1..=2).contains(&major)) {
            return Err(Issue::unsupported("this `sigma-version`")
                .hint("1 and 2 are")
                .key("sigma-version"));
        }
    }
    let kinds = ["detection", "correlation", "filter"];
    let mut given = kinds.into_iter().filter(|kind| node.get(kind).is_some());
    let kind = match (given.next(), given.next()) {
        (Some(kind), None) => kind,
        (None, _) => {
            return Err(Issue::new(
                "neither `detection`, `correlation` nor `filter`",
            ));
        }
        (Some(one), Some(other)) => {
            return Err(Issue::new(format!("both `{one}` and `{other}`"))
                .hint("write two documents")
                .key(other));
        }
    };
    if kind != "correlation" {
        let section = node.get(kind).unwrap_or(&YamlNode::Null);
        selections(section, kind).map_err(|issue| issue.key(kind))?;
        logsource(node)?;
    }
    Ok(kind)
}

/// Checks the selections and the condition of a rule or filter.
fn selections(section: &YamlNode, kind: &str) -> SigmaResult<()> {
    let YamlNode::Map(entries) = section else {
        return Err(Issue::new(format!("`{kind}` is not a mapping")));
    };
    if entries.len() > SELECTIONS_MAX {
        return Err(Issue::new(format!("more than {SELECTIONS_MAX} selections")));
    }
    for (name, node) in entries {
        let checked = match name.as_str() {
            "condition" => conditions(node),
            "rules" if kind == "filter" => Ok(()), // Read by the compiler of filters.
            "timeframe" => Ok(()),                 // Refused by the compiler.
            _ => selection(node),
        };
        checked.map_err(|issue| issue.key(name))?;
    }
    match section.get("condition") {
        Some(_) => Ok(()),
        None => Err(Issue::new(format!("`{kind}` has no `condition`"))),
    }
}

fn conditions(node: &YamlNode) -> SigmaResult<()> {
    let texts = node
        .texts()
        .ok_or_else(|| Issue::new("`condition` is not text or a list of texts"))?;
    if texts.len() > CONDITIONS_MAX {
        return Err(Issue::new(format!("more than {CONDITIONS_MAX} conditions")));
    }
    (0..).zip(&texts).try_for_each(|(at, text)| {
        let parsed = condition::parse(text).map(drop);
        parsed.map_err(|issue| issue.nth(at))
    })
}

/// Refuses values that the parser would change: lists or maps into text, and large numbers.
fn selection(node: &YamlNode) -> SigmaResult<()> {
    match node {
        YamlNode::List(nodes) => (0..)
            .zip(nodes)
            .try_for_each(|(at, node)| selection(node).map_err(|issue| issue.nth(at))),
        YamlNode::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            let checked = modifiers(key).and_then(|()| values(value));
            checked.map_err(|issue| issue.key(key))
        }),
        scalar => value(scalar),
    }
}

fn modifiers(key: &str) -> SigmaResult<()> {
    if key == "." || key.starts_with(".|") {
        return Err(Issue::unsupported("the element of an array, `.`"));
    }
    for name in key.split('|').skip(1) {
        if name.parse::<Modifier>().is_err() {
            let issue = Issue::new(format!("there is no modifier `{name}`"));
            return Err(if name == "not" {
                issue.hint("write `not` in the condition, or `neq` here")
            } else {
                issue.hint("they are listed in docs/sigma.md")
            });
        }
    }
    Ok(())
}

fn values(node: &YamlNode) -> SigmaResult<()> {
    match node {
        YamlNode::List(nodes) => (0..)
            .zip(nodes)
            .try_for_each(|(at, node)| value(node).map_err(|issue| issue.nth(at))),
        node => value(node),
    }
}

fn value(node: &YamlNode) -> SigmaResult<()> {
    match node {
        YamlNode::Number(text) if is_inexact(text) => Err(Issue::new(format!(
            "the number {text} cannot be represented exactly"
        ))
        .hint("quote it")),
        node if node.is_scalar() => Ok(()),
        _ => Err(Issue::new("a field's value has a nested list or mapping")
            .hint("a field has one value or a flat list of them")),
    }
}

/// Whether the parser would round the number. What does not fit an `i64` becomes a float of 53
/// bits, about 15 digits.
fn is_inexact(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits > 15 || crate::sigma::number::Number::parse(text).is_none()
}

fn logsource(node: &YamlNode) -> SigmaResult<()> {
    let Some(logsource) = node.get("logsource") else {
        return Err(Issue::new("the rule has no `logsource`")
            .hint("name category, product or service; `logsource: {}` means every event"));
    };
    let YamlNode::Map(entries) = logsource else {
        return Err(Issue::new("`logsource` is not a mapping").key("logsource"));
    };
    entries.iter().try_for_each(|(key, value)| {
        let checked = match (key.as_str(), value) {
            ("definition", _) => Ok(()), // A description for people.
            ("category" | "product" | "service", YamlNode::Text(_)) => Ok(()),
            ("category" | "product" | "service", _) => {
                Err(Issue::new(format!("`{key}` is not text")))
            }
            _ => Err(Issue::unsupported(format!("`{key}` in `logsource`"))),
        };
        checked.map_err(|issue| issue.key(key).key("logsource"))
    })
}
