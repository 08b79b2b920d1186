//! The timespan of a correlation: a whole number and one unit, such as `10m`.

use rsigma_parser::Timespan;
use weir_schema::Span;

use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::yaml::YamlNode;

/// Maximum timespan. All facts that a window can still reach stay in memory.
const TIMESPAN_MAX_S: i64 = 366 * 86_400;

/// The units, as messages list them.
const UNITS: &str = "s, m, h, d, w, M (a month) or y";

/// Reads `timespan`, or `timeframe` as older documents call it.
pub(super) fn timespan(section: &YamlNode) -> SigmaResult<Span> {
    let (key, node) = match (section.get("timespan"), section.get("timeframe")) {
        (Some(_), Some(_)) => {
            return Err(Issue::new("both `timespan` and `timeframe`").key("timeframe"));
        }
        (Some(node), None) => ("timespan", node),
        (None, Some(node)) => ("timeframe", node),
        (None, None) => {
            return Err(
                Issue::new("the correlation has no `timespan`").hint("such as `timespan: 10m`")
            );
        }
    };
    read(node).map_err(|issue| issue.key(key))
}

fn read(node: &YamlNode) -> SigmaResult<Span> {
    let text = match node {
        YamlNode::Text(text) | YamlNode::Number(text) => text.trim().to_owned(),
        YamlNode::Int(n) => n.to_string(),
        YamlNode::Null | YamlNode::Bool(_) | YamlNode::List(_) | YamlNode::Map(_) => String::new(),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_number(&text) {
        return Err(Issue::new(format!("a unit is missing behind `{text}`"))
            .hint(format!("such as {text}s or {text}m; the units are {UNITS}")));
    }
    let unusable = || {
        Issue::new(format!("`{text}` is not a usable timespan")).hint(format!(
            "a whole number and one unit ({UNITS}), such as 30s, 10m, 24h, 7d; at most 366d"
        ))
    };
    let parsed = Timespan::parse(&text).map_err(|_| unusable())?;
    i64::try_from(parsed.seconds)
        .ok()
        .filter(|seconds| (1..=TIMESPAN_MAX_S).contains(seconds))
        .and_then(|seconds| seconds.checked_mul(Span::SECOND.0))
        .map(Span)
        .ok_or_else(unusable)
}
