//! The bounds of a count, such as `gte: 10`.

use weir_schema::Bound;

use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::yaml::YamlNode;

/// Reads the bounds, sorted, from the tree: the parser reads a negative number as a large one.
pub(super) fn bounds(node: &YamlNode) -> SigmaResult<Vec<Bound>> {
    let YamlNode::Map(entries) = node else {
        return Err(Issue::new("`condition` is not a mapping of bounds")
            .hint("such as `gte: 10`")
            .key("condition"));
    };
    let read = |(key, value): &(String, YamlNode)| {
        let read = bound(key, value);
        read.map_err(|issue| issue.key(key).key("condition"))
    };
    let mut bounds = entries.iter().map(read).collect::<SigmaResult<Vec<_>>>()?;
    bounds.sort();
    Ok(bounds)
}

fn bound(key: &str, value: &YamlNode) -> SigmaResult<Bound> {
    let kind = match key {
        "gt" => Bound::Gt,
        "gte" => Bound::Gte,
        "lt" => Bound::Lt,
        "lte" => Bound::Lte,
        "eq" => Bound::Eq,
        "neq" => Bound::Neq,
        _ => {
            let message = format!("`{key}` does not belong in this condition");
            return Err(Issue::new(message).hint("gt, gte, lt, lte, eq and neq do"));
        }
    };
    let count = match value {
        YamlNode::Int(n) => u64::try_from(*n).ok(),
        _ => None, // Not a count.
    };
    let hint = match value {
        YamlNode::Number(_) => "whole numbers only: it bounds a count",
        YamlNode::Text(_) => "write the number without quotes",
        _ => "such as `gte: 10`", // No number at all, or a negative one.
    };
    let refuse = || Issue::new(format!("`{key}` needs a whole number from 0"));
    count.map(kind).ok_or_else(|| refuse().hint(hint).nth(0))
}
