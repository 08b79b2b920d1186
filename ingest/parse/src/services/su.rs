//! Su lines: who became whom, or was refused, in the words of the several su programs.

use super::pam;
use super::text::{FAILURE, SUCCESS, between, cut, done, first_word};
use crate::draft::Draft;

pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        return;
    }
    let message = message.trim_ascii();
    let Some((user, target, outcome, rest)) = change(message) else {
        return;
    };
    done("su", outcome, draft);
    draft.text("user", user);
    draft.text("target_user", target);
    if let Some((_, tty)) = cut(rest, "on ") {
        draft.text("tty", first_word(tty).0);
    }
}

type Change<'a> = (&'a str, &'a str, &'static str, &'a str);

fn change(message: &str) -> Option<Change<'_>> {
    // `'su root' failed for lonvick on /dev/pts/8`
    if let Some(rest) = message.strip_prefix("'su ") {
        let (target, rest) = cut(rest, "' failed for ")?;
        let (user, rest) = first_word(rest);
        return Some((user, target, FAILURE, rest));
    }
    // util-linux: `FAILED SU (to root) bob on pts/1`, `(to root) bob on pts/1`
    let (outcome, rest) = match message.strip_prefix("FAILED SU ") {
        Some(rest) => (FAILURE, rest),
        None => (SUCCESS, message),
    };
    if let Some((target, rest)) = rest.strip_prefix("(to ").and_then(|r| r.split_once(") ")) {
        let (user, rest) = first_word(rest);
        return Some((user, target, outcome, rest));
    }
    // shadow: `Successful su for root by bob`
    for (opening, outcome) in [
        ("Successful su for ", SUCCESS),
        ("FAILED su for ", FAILURE),
        ("failed su for ", FAILURE),
    ] {
        if let Some((target, user)) = message.strip_prefix(opening).and_then(|r| cut(r, " by ")) {
            return Some((user, target, outcome, ""));
        }
    }
    // AIX: `failed: ttyq4 changing from ldap to root`
    if let Some(rest) = message.strip_prefix("failed: ") {
        let user = between(rest, " changing from ", " to ")?;
        return Some((user, cut(rest, " to ")?.1, FAILURE, ""));
    }
    // BSD: `BAD SU ger to fwmaster on /dev/ttyp0`, `dcid to root on /dev/ttyp1`
    let (outcome, rest) = match message.strip_prefix("BAD SU ") {
        Some(rest) => (FAILURE, rest),
        None => (SUCCESS, message),
    };
    let (user, rest) = cut(rest, " to ")?;
    let (target, rest) = cut(rest, " on ").map(|(target, _)| (target, rest))?;
    let is_name = |name: &str| !name.is_empty() && !name.contains(' ');
    (is_name(user) && is_name(target)).then_some((user, target, outcome, rest))
}
