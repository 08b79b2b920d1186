//! Correlations of absence, which Sigma does not have: `weir.not_followed_by` and `weir.silence`.

use weir_schema::PlanKind;

use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::yaml::YamlNode;

use super::listed;

/// The type of a missing follow-up: after an event of the first rule, none of the others comes.
pub(super) const NOT_FOLLOWED: &str = "weir.not_followed_by";

/// The type of a silence: a source that had been sending events stops.
pub(super) const SILENCE: &str = "weir.silence";

/// Reads the kind of absence, and its members.
pub(super) fn read(section: &YamlNode) -> SigmaResult<(PlanKind, Vec<String>)> {
    for key in ["condition", "window"] {
        if section.get(key).is_some() {
            return Err(Issue::new(format!("an absence has no `{key}`"))
                .hint("it fires if nothing comes within the `timespan`")
                .key(key));
        }
    }
    let members = listed(section)?;
    let kind = section
        .get("type")
        .and_then(YamlNode::text)
        .unwrap_or_default();
    match kind {
        SILENCE => Ok((PlanKind::Silence, members)),
        NOT_FOLLOWED if members.len() < 2 => {
            Err(Issue::new("`weir.not_followed_by` needs two rules or more")
                .hint("list the rule that starts the wait first, then those that end it")
                .key("rules"))
        }
        NOT_FOLLOWED => {
            // The caller refuses more than MEMBERS_MAX.
            let count = u16::try_from(members.len()).unwrap_or(u16::MAX);
            Ok((PlanKind::NotFollowed { members: count }, members))
        }
        _ => Err(Issue::new(format!("`{kind}` is not a correlation type"))
            .hint(format!("Weir's own types are {NOT_FOLLOWED} and {SILENCE}"))
            .key("type")),
    }
}
