//! What a document must be before it is parsed: what is not done, and what the parser would pass
//! over in silence.

use rsigma_parser::Modifier;

use crate::condition;
use crate::diagnostic::{Checked, Refusal};
use crate::yaml::Node;

/// More selections of one rule are refused; the most in public collections is 35.
const SELECTIONS_MAX: usize = 1_000;

/// More conditions in a list are refused; each is a condition of its own.
const CONDITIONS_MAX: usize = 64;

/// Refuses what is not done yet, and what the parser would pass over in silence.
pub(crate) fn kind(node: &Node) -> Checked<&'static str> {
    if node.get("action").is_some() {
        return Err(Refusal::new(
            "`action` documents (global, repeat, reset) are no part of Sigma 2",
        )
        .hint("write each rule in full")
        .key("action"));
    }
    if node.get("status").and_then(Node::text) == Some("unsupported") {
        return Err(
            Refusal::new("its status says that it cannot be used as it is")
                .hint("repair the rule, then give it another status")
                .key("status"),
        );
    }
    if let Some(version) = node.get("sigma-version") {
        let text = match version {
            Node::Int(n) => n.to_string(),
            Node::Number(text) | Node::Text(text) => text.clone(),
            Node::Null | Node::Bool(_) | Node::List(_) | Node::Map(_) => String::new(),
        };
        let major = rsigma_parser::version::major_from_str(&text);
        if !major.is_some_and(|major| (1..=2).contains(&major)) {
            return Err(Refusal::unsupported("this `sigma-version`")
                .hint("1 and 2 are")
                .key("sigma-version"));
        }
    }
    dates(node)?;
    let kinds = ["detection", "correlation", "filter"];
    let mut given = kinds.into_iter().filter(|kind| node.get(kind).is_some());
    let kind = match (given.next(), given.next()) {
        (Some(kind), None) => kind,
        (None, _) => {
            return Err(Refusal::new(
                "neither `detection`, `correlation` nor `filter`",
            ));
        }
        (Some(one), Some(other)) => {
            return Err(Refusal::new(format!("both `{one}` and `{other}`"))
                .hint("write two documents")
                .key(other));
        }
    };
    if kind != "correlation" {
        let section = node.get(kind).unwrap_or(&Node::Null);
        selections(section, kind).map_err(|refusal| refusal.key(kind))?;
        logsource(node)?;
    }
    Ok(kind)
}

/// A date of Sigma 1 tells a rule that nobody has looked at since: its meaning may be another.
fn dates(node: &Node) -> Checked<()> {
    let first = |version: &Node| matches!(version, Node::Int(1));
    if node.get("sigma-version").is_some_and(first) {
        return Ok(());
    }
    for key in ["date", "modified"] {
        let date = node.get(key).and_then(Node::text).unwrap_or_default();
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if date.split_once('/').is_some_and(|(year, _)| digits(year)) {
            return Err(Refusal::new(format!("`{date}` is a date as in Sigma 1"))
                .hint("check the rule, then write YYYY-MM-DD, or add `sigma-version: 1`")
                .key(key));
        }
    }
    Ok(())
}

/// The selections and the condition of a rule or filter.
fn selections(section: &Node, kind: &str) -> Checked<()> {
    let Node::Map(entries) = section else {
        return Err(Refusal::new(format!("`{kind}` is no mapping")));
    };
    if entries.len() > SELECTIONS_MAX {
        return Err(Refusal::new(format!(
            "more than {SELECTIONS_MAX} selections"
        )));
    }
    for (name, node) in entries {
        let checked = match name.as_str() {
            "condition" => conditions(node),
            "rules" if kind == "filter" => Ok(()), // Read where filters are compiled.
            "timeframe" => Ok(()),                 // Refused when it is compiled.
            _ => selection(node),
        };
        checked.map_err(|refusal| refusal.key(name))?;
    }
    match section.get("condition") {
        Some(_) => Ok(()),
        None => Err(Refusal::new(format!("`{kind}` has no `condition`"))),
    }
}

fn conditions(node: &Node) -> Checked<()> {
    let texts = node
        .texts()
        .ok_or_else(|| Refusal::new("`condition` is no text or list of texts"))?;
    if texts.len() > CONDITIONS_MAX {
        return Err(Refusal::new(format!(
            "more than {CONDITIONS_MAX} conditions"
        )));
    }
    (0..).zip(&texts).try_for_each(|(at, text)| {
        let parsed = condition::parse(text).map(drop);
        parsed.map_err(|refusal| refusal.nth(at))
    })
}

/// The parser would turn what is no scalar into text, and large numbers into others.
fn selection(node: &Node) -> Checked<()> {
    match node {
        Node::List(nodes) => (0..)
            .zip(nodes)
            .try_for_each(|(at, node)| selection(node).map_err(|refusal| refusal.nth(at))),
        Node::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            let checked = modifiers(key).and_then(|()| values(value));
            checked.map_err(|refusal| refusal.key(key))
        }),
        scalar => value(scalar),
    }
}

fn modifiers(key: &str) -> Checked<()> {
    if key == "." || key.starts_with(".|") {
        return Err(Refusal::unsupported("the element of an array, `.`"));
    }
    for word in key.split('|').skip(1) {
        if word.parse::<Modifier>().is_err() {
            let refusal = Refusal::new(format!("there is no modifier `{word}`"));
            return Err(if word == "not" {
                refusal.hint("write `not` in the condition, or `neq` here")
            } else {
                refusal.hint("they are listed in docs/sigma.md")
            });
        }
    }
    Ok(())
}

fn values(node: &Node) -> Checked<()> {
    match node {
        Node::List(nodes) => (0..)
            .zip(nodes)
            .try_for_each(|(at, node)| value(node).map_err(|refusal| refusal.nth(at))),
        node => value(node),
    }
}

fn value(node: &Node) -> Checked<()> {
    match node {
        Node::Number(text) if is_inexact(text) => {
            Err(Refusal::new(format!("the number {text} cannot be kept exactly")).hint("quote it"))
        }
        node if node.is_scalar() => Ok(()),
        _ => Err(
            Refusal::new("a field's value is a list or mapping within another")
                .hint("a field has one value or a flat list of them"),
        ),
    }
}

/// The parser keeps what is no `i64` as a float of 53 bits, about 15 digits.
fn is_inexact(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits > 15 || crate::number::Number::parse(text).is_none()
}

fn logsource(node: &Node) -> Checked<()> {
    let Some(logsource) = node.get("logsource") else {
        return Err(Refusal::new("the rule has no `logsource`")
            .hint("name category, product or service; `logsource: {}` means every event"));
    };
    let Node::Map(entries) = logsource else {
        return Err(Refusal::new("`logsource` is no mapping").key("logsource"));
    };
    entries.iter().try_for_each(|(key, value)| {
        let checked = match (key.as_str(), value) {
            ("definition", _) => Ok(()), // For people.
            ("category" | "product" | "service", Node::Text(_)) => Ok(()),
            ("category" | "product" | "service", _) => {
                Err(Refusal::new(format!("`{key}` is no text")))
            }
            _ => Err(Refusal::unsupported(format!("`{key}` in `logsource`"))),
        };
        checked.map_err(|refusal| refusal.key(key).key("logsource"))
    })
}
