//! The keys that identify every document: `id`, `name`, `title` and `level`.

use weir_schema::{Level, RuleId};

use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::yaml::YamlNode;

/// Maximum length of ids, names and titles. They are part of every alert.
const NAME_BYTES_MAX: usize = 512;

/// The level of rules that state none.
const LEVEL_DEFAULT: Level = Level::Medium;

/// The id of the rule: `id`, else `name`, else `title`.
pub(crate) fn id_of(node: &YamlNode) -> SigmaResult<RuleId> {
    for key in ["id", "name", "title"] {
        if let Some(text) = name_at(node, key)? {
            return Ok(text.into());
        }
    }
    Err(Issue::new("the rule has no `id`, `name` or `title`"))
}

/// The text of an optional key.
pub(crate) fn name_at(node: &YamlNode, key: &str) -> SigmaResult<Option<String>> {
    match node.get(key) {
        None | Some(YamlNode::Null) => Ok(None),
        Some(YamlNode::Text(text)) if text.trim().is_empty() => {
            Err(Issue::new(format!("`{key}` is empty")).key(key))
        }
        Some(YamlNode::Text(text)) if text.len() <= NAME_BYTES_MAX => Ok(Some(text.clone())),
        Some(YamlNode::Text(_)) => {
            let message = format!("`{key}` is longer than {NAME_BYTES_MAX} bytes");
            Err(Issue::new(message).key(key))
        }
        Some(_) => Err(Issue::new(format!("`{key}` is not text"))
            .hint("quote it")
            .key(key)),
    }
}

pub(crate) fn level_of(node: &YamlNode) -> SigmaResult<Level> {
    let levels = [
        Level::Informational,
        Level::Low,
        Level::Medium,
        Level::High,
        Level::Critical,
    ];
    match node.get("level") {
        None | Some(YamlNode::Null) => Ok(LEVEL_DEFAULT),
        Some(given) => levels
            .into_iter()
            .find(|level| given.text() == Some(level.name()))
            .ok_or_else(|| {
                Issue::new("no such level")
                    .hint("informational, low, medium, high or critical")
                    .key("level")
            }),
    }
}
