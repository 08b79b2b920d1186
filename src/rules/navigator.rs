//! A layer for the ATT&CK Navigator: format 4.5, as MITRE's repository of the Navigator documents it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::observe::shown;
use crate::rules::coverage::Covered;

/// Titles of rules in the comment on a technique.
const TITLES_MAX: usize = 10;

/// The oldest Navigator that reads this format.
const NAVIGATOR: &str = "4.9.0";

/// The version of ATT&CK whose tactics the tags of today's public rules name.
const ATTACK: &str = "19";

/// Techniques by how many rules are for them. A tag names no tactic together with its technique, so
/// none is stated: the Navigator then shows the technique under every tactic that has it.
pub fn layer(covered: &[Covered]) -> Value {
    let mut techniques: BTreeMap<&str, Vec<&Covered>> = BTreeMap::new();
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
            // The Navigator wants it above the least value.
            "minValue": 0,
            "maxValue": most.max(1),
        },
    })
}

fn row(id: &str, rules: &[&Covered]) -> Value {
    let blind = rules.iter().filter(|rule| !rule.has_source).count();
    let titles = rules.iter().take(TITLES_MAX);
    let mut comment: Vec<String> = titles.map(|rule| shown(&rule.rule.title)).collect();
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
