//! Programs that change accounts and groups: useradd, usermod, userdel, groupadd, passwd and others
//! of the shadow suite.

use super::text::{SUCCESS, add_action, between, split_at_first};
use crate::draft::Draft;

/// First words of a line, and the action.
const CHANGES: [(&str, &str); 9] = [
    ("new user: ", "user_add"),
    ("new group: ", "group_add"),
    ("group added to ", "group_add"),
    ("delete user ", "user_delete"),
    ("removed group ", "group_delete"),
    ("change user ", "user_change"),
    ("changed user ", "user_change"),
    ("lock user ", "user_change"),
    ("unlock user ", "user_change"),
];

/// Reads a change. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    // `add 'ann' to group 'wheel'`, `delete 'ann' from group 'wheel'`
    for (start, separator, action) in [
        ("add '", "' to group '", "group_member_add"),
        ("add '", "' to shadow group '", "group_member_add"),
        ("delete '", "' from group '", "group_member_delete"),
        ("delete '", "' from shadow group '", "group_member_delete"),
    ] {
        let Some((user, group)) = message
            .strip_prefix(start)
            .and_then(|rest| split_at_first(rest, separator))
        else {
            continue;
        };
        add_action(action, SUCCESS, draft);
        draft.add_text("user", user);
        draft.add_text("group", group.split('\'').next().unwrap_or(group));
        return true;
    }
    let Some((rest, action)) = CHANGES
        .iter()
        .find_map(|(start, action)| Some((message.strip_prefix(start)?, *action)))
    else {
        return false;
    };
    add_action(action, SUCCESS, draft);
    let is_group = action.starts_with("group");
    let name = match rest.strip_prefix('\'') {
        Some(quoted) => quoted.split('\'').next(),
        None => between(rest, "name=", ",").or_else(|| rest.strip_prefix("name=")),
    };
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        draft.add_text(if is_group { "group" } else { "user" }, name);
    }
    for (label, field) in [
        ("UID=", "uid"),
        ("GID=", "gid"),
        ("home=", "home"),
        ("shell=", "shell"),
    ] {
        let pairs = rest.split(", ").take(12);
        if let Some(value) = pairs.into_iter().find_map(|pair| pair.strip_prefix(label)) {
            draft.add_number(field, value);
        }
    }
    true
}
