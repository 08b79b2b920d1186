//! Writes a layer for the ATT&CK Navigator, in format 4.5 of MITRE's documentation.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::text::printable;
use crate::verbs::rules::rule_coverage::RuleCoverage;

/// Most rule titles in the comment on a technique.
const TITLES_MAX: usize = 10;

/// Oldest version of the Navigator that reads this format.
const NAVIGATOR: &str = "4.9.0";

/// Version of ATT&CK whose tactics the tags of public rules name.
const ATTACK: &str = "19";

/// A layer that scores each technique by its number of rules.
///
/// Tags do not join tactics to techniques, so the layer states no tactic. The Navigator then shows
/// a technique under every tactic that has it.
pub fn layer(covered: &[RuleCoverage]) -> Value {
    let mut techniques: BTreeMap<&str, Vec<&RuleCoverage>> = BTreeMap::new();
    for rule in covered {
        for technique in &rule.techniques {
            techniques.entry(technique).or_default().push(rule);
        }
    }
    let most = techniques.values().map(Vec::len).max().unwrap_or(1);
    let rows: Vec<Value> = techniques
        .iter()
        .map(|(id, rules)| row(id, rules))
        .collect();
    json!({
        "name": "Rules of Weir",
        "versions": { "attack": ATTACK, "navigator": NAVIGATOR, "layer": "4.5" },
        "domain": "enterprise-attack",
        "description": "How many rules are for each technique.",
        "sorting": 3,
        "layout": {
            "layout": "side",
            "showID": true,
            "showName": true,
            "showAggregateScores": true,
            "countUnscored": false,
            "aggregateFunction": "sum",
            "expandedSubtechniques": "annotated",
        },
        "hideDisabled": false,
        "techniques": rows,
        "gradient": {
            "colors": ["#e8f1fa", "#6baed6", "#08519c"],
            "minValue": 0,
            // The Navigator needs a maximum above the minimum.
            "maxValue": most.max(1),
        },
    })
}

fn row(id: &str, rules: &[&RuleCoverage]) -> Value {
    let blind = rules.iter().filter(|rule| !rule.has_source).count();
    let titles = rules.iter().take(TITLES_MAX);
    let mut comment: Vec<String> = titles.map(|rule| printable(&rule.rule.title)).collect();
    if rules.len() > TITLES_MAX {
        comment.push(format!("and {} more", rules.len() - TITLES_MAX));
    }
    json!({
        "techniqueID": id,
        "score": rules.len(),
        "comment": comment.join("\n"),
        "enabled": true,
        "metadata": [
            { "name": "rules", "value": rules.len().to_string() },
            { "name": "of them without a log source", "value": blind.to_string() },
        ],
    })
}
