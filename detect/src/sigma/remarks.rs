//! Remarks on a document that is accepted: what its author may not have meant.

use rsigma_parser::{ConditionExpr, Quantifier, RelationType, SelectorPattern, Status};

use crate::sigma::condition;
use crate::sigma::issue::Issue;
use crate::sigma::scalars;
use crate::sigma::yaml::YamlNode;

/// All remarks on a document whose kind has this key: `detection`, `correlation` or `filter`.
pub(crate) fn all(text: &str, node: &YamlNode, kind: &str) -> Vec<Issue> {
    let mut remarks = Vec::new();
    remarks.extend(status(node));
    remarks.extend(related(node));
    remarks.extend(dates(node));
    if kind != "correlation" {
        remarks.extend(lists_of_one_selection(node, kind));
        remarks.extend(scalars::remarks(text, node, kind));
    }
    remarks
}

fn status(node: &YamlNode) -> Option<Issue> {
    let status = node.get("status")?;
    let known = |text: &str| text.parse::<Status>().is_ok();
    if status.text().is_some_and(known) {
        return None;
    }
    let issue = Issue::new("no such status");
    Some(
        issue
            .hint("stable, test, experimental, deprecated or unsupported")
            .key("status"),
    )
}

/// The first fault of `related`, which only people read.
fn related(node: &YamlNode) -> Option<Issue> {
    let hint = "such as `related: [{id: …, type: derived}]`";
    let wrong = |message: &str| Issue::new(message).hint(hint);
    let YamlNode::List(entries) = node.get("related")? else {
        return Some(wrong("`related` is not a list of rules").key("related"));
    };
    entries.iter().enumerate().find_map(|(at, entry)| {
        let kind = entry.get("type").and_then(YamlNode::text);
        let fault = match (entry.get("id").and_then(YamlNode::text), kind) {
            (None, _) => wrong("the related rule has no `id`"),
            (_, None) => wrong("the related rule has no `type`"),
            (_, Some(kind)) if kind.parse::<RelationType>().is_err() => {
                wrong("no such relation between rules")
                    .hint("derived, obsolete, merged, renamed, similar or correlation")
            }
            _ => return None, // A rule as it should be.
        };
        Some(fault.nth(at).key("related"))
    })
}

/// A date in the format of Sigma 1: the rule is old, and its meaning may have changed.
fn dates(node: &YamlNode) -> Option<Issue> {
    let first = |version: &YamlNode| matches!(version, YamlNode::Int(1));
    if node.get("sigma-version").is_some_and(first) {
        return None;
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    ["date", "modified"].into_iter().find_map(|key| {
        let date = node.get(key).and_then(YamlNode::text)?;
        let (year, _) = date.split_once('/')?;
        digits(year).then(|| {
            Issue::new(format!("`{date}` has the date format of Sigma 1"))
                .hint("check the rule, then write YYYY-MM-DD, or add `sigma-version: 1`")
                .key(key)
        })
    })
}

/// `all of NAME`, where NAME is one selection that is a list: the list stays *or*.
fn lists_of_one_selection(node: &YamlNode, kind: &str) -> Vec<Issue> {
    let section = node.get(kind).unwrap_or(&YamlNode::Null);
    let texts = section.get("condition").and_then(YamlNode::texts);
    let mut names = Vec::new();
    for text in texts.unwrap_or_default() {
        if let Ok(expr) = condition::parse(&text) {
            all_of_one(&expr, &mut names);
        }
    }
    let is_list = |name: &&String| match section.get(name) {
        Some(YamlNode::List(values)) => values.len() > 1,
        _ => false, // A mapping is *and* already.
    };
    let remark = |name: &String| {
        let message = format!("`all of {name}` is one selection, and its list is *or*");
        Issue::new(message)
            .hint("for *and*, write the list below `'|all':`")
            .key("condition")
            .key(kind)
    };
    names.iter().filter(is_list).map(remark).collect()
}

/// Appends the names of single selections behind `all of`.
fn all_of_one(expr: &ConditionExpr, names: &mut Vec<String>) {
    match expr {
        ConditionExpr::And(parts) | ConditionExpr::Or(parts) => {
            parts.iter().for_each(|part| all_of_one(part, names));
        }
        ConditionExpr::Not(inner) => all_of_one(inner, names),
        ConditionExpr::Selector {
            quantifier: Quantifier::All,
            pattern: SelectorPattern::Pattern(name),
        } if !name.contains('*') && !names.contains(name) => names.push(name.clone()),
        ConditionExpr::Selector { .. } | ConditionExpr::Identifier(_) => {}
    }
}
