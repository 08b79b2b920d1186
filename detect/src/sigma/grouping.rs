//! The fields by which the alerts of a rule are grouped.

use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::yaml::YamlNode;

/// Maximum number of fields to group by.
pub(crate) const GROUP_FIELDS_MAX: usize = 16;

/// The grouping of a rule that is not a correlation.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    pub fields: Vec<String>,
    /// Whether the rule names them.
    pub given: bool,
}

/// The value of `weir.group-by: [...]`, else of `weir: {group-by: [...]}`.
pub(crate) fn weir_key(node: &YamlNode) -> Option<&YamlNode> {
    node.get("weir.group-by").or_else(|| node.get("weir"))
}

/// Reads the grouping of a rule: by `host` unless it lists fields.
pub(crate) fn grouping(node: &YamlNode) -> SigmaResult<Grouping> {
    let given = match (node.get("weir.group-by"), node.get("weir")) {
        (Some(_), Some(_)) => {
            return Err(Issue::new("both `weir` and `weir.group-by`").key("weir"));
        }
        (Some(fields), None) => Some(fields),
        (None, Some(YamlNode::Map(entries))) => match entries.as_slice() {
            [(key, fields)] if key == "group-by" => Some(fields),
            _ => return Err(Issue::new("the only key of `weir` is `group-by`").key("weir")),
        },
        (None, Some(_)) => return Err(Issue::new("`weir` is not a mapping").key("weir")),
        (None, None) => None,
    };
    let is_given = given.is_some();
    let fields = match given {
        None => vec!["host".to_owned()],
        Some(fields) => group_fields(fields).map_err(|issue| match node.get("weir") {
            Some(_) => issue.key("group-by").key("weir"),
            None => issue.key("weir.group-by"),
        })?,
    };
    Ok(Grouping {
        fields,
        given: is_given,
    })
}

/// Reads a list of fields to group by, without duplicates.
pub(crate) fn group_fields(node: &YamlNode) -> SigmaResult<Vec<String>> {
    let fields = node
        .texts()
        .ok_or_else(|| Issue::new("`group-by` is not a list of field names"))?;
    if fields.len() > GROUP_FIELDS_MAX {
        let message = format!("more than {GROUP_FIELDS_MAX} fields to group by");
        return Err(Issue::new(message));
    }
    if let Some(at) = fields.iter().position(String::is_empty) {
        return Err(Issue::new("`group-by` has a field without a name").nth(at));
    }
    let twice = (1..)
        .zip(&fields)
        .find(|(at, field)| fields[*at..].contains(field));
    match twice {
        Some((at, field)) => Err(Issue::new(format!("`group-by` names `{field}` twice")).nth(at)),
        None => Ok(fields),
    }
}
