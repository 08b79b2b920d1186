//! Su: changes of user, and refused ones, in the formats of several su programs.

use super::pam;
use super::text::{FAILURE, SUCCESS, add_action, between, first_word, split_at_first};
use crate::draft::Draft;

pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        return;
    }
    let message = message.trim_ascii();
    let Some(switch) = user_switch(message) else {
        return;
    };
    add_action("su", switch.outcome, draft);
    draft.add_text("user", switch.user);
    draft.add_text("target_user", switch.target);
    if let Some((_, tty)) = split_at_first(switch.rest, "on ") {
        draft.add_text("tty", first_word(tty).0);
    }
}

struct UserSwitch<'a> {
    user: &'a str,
    target: &'a str,
    outcome: &'static str,
    /// The text after the names, which may have the terminal.
    rest: &'a str,
}

fn user_switch(message: &str) -> Option<UserSwitch<'_>> {
    let switch = |user, target, outcome, rest| {
        Some(UserSwitch {
            user,
            target,
            outcome,
            rest,
        })
    };
    // `'su root' failed for lonvick on /dev/pts/8`
    if let Some(rest) = message.strip_prefix("'su ") {
        let (target, rest) = split_at_first(rest, "' failed for ")?;
        let (user, rest) = first_word(rest);
        return switch(user, target, FAILURE, rest);
    }
    // util-linux: `FAILED SU (to root) bob on pts/1`, `(to root) bob on pts/1`
    let (outcome, rest) = match message.strip_prefix("FAILED SU ") {
        Some(rest) => (FAILURE, rest),
        None => (SUCCESS, message),
    };
    if let Some((target, rest)) = rest.strip_prefix("(to ").and_then(|r| r.split_once(") ")) {
        let (user, rest) = first_word(rest);
        return switch(user, target, outcome, rest);
    }
    // shadow: `Successful su for root by bob`
    for (opening, outcome) in [
        ("Successful su for ", SUCCESS),
        ("FAILED su for ", FAILURE),
        ("failed su for ", FAILURE),
    ] {
        if let Some((target, user)) = message
            .strip_prefix(opening)
            .and_then(|r| split_at_first(r, " by "))
        {
            return switch(user, target, outcome, "");
        }
    }
    // AIX: `failed: ttyq4 changing from ldap to root`
    if let Some(rest) = message.strip_prefix("failed: ") {
        let user = between(rest, " changing from ", " to ")?;
        let target = split_at_first(rest, " to ")?.1;
        return switch(user, target, FAILURE, "");
    }
    // BSD: `BAD SU ger to fwmaster on /dev/ttyp0`, `dcid to root on /dev/ttyp1`
    let (outcome, rest) = match message.strip_prefix("BAD SU ") {
        Some(rest) => (FAILURE, rest),
        None => (SUCCESS, message),
    };
    let (user, rest) = split_at_first(rest, " to ")?;
    let (target, rest) = split_at_first(rest, " on ").map(|(target, _)| (target, rest))?;
    let is_name = |name: &str| !name.is_empty() && !name.contains(' ');
    if !is_name(user) || !is_name(target) {
        return None;
    }
    switch(user, target, outcome, rest)
}
