//! OpenSSH: logins and connections, with user, address and outcome.
//!
//! An attacker chooses the user name, and may put ` from ADDRESS` into it. So an address counts only
//! if the text after it is one that sshd itself writes there.

use super::pam;
use super::text::{add_source_address, split_at_first};
use crate::draft::Draft;

/// The layout of a line after its first words.
#[derive(Clone, Copy)]
enum Layout {
    /// `password for [invalid user ]USER from HOST port N ssh2`
    MethodForUserFrom,
    /// `USER from HOST`
    UserFrom,
    /// `... from HOST`, or `HOST` at once
    Host,
    /// `... from HOST`
    AfterFrom,
    /// `[authenticating user USER ]HOST port N`
    MaybeUserHost,
    /// `USER`
    User,
    /// `USER@HOST (ADDRESS)`
    Parenthesis,
}

use Layout::{AfterFrom, Host, MaybeUserHost, MethodForUserFrom, Parenthesis, User, UserFrom};

/// The texts that sshd may write after an address. If a user name precedes the address, these are
/// only the texts of that kind of line; otherwise a user name could fake an address with them.
type Terminators = &'static [&'static str];

/// The line ends after the address.
const LINE_END: Terminators = &[" [preauth]"];
/// A key or, in old versions, a remote user follows. A user name can imitate that with ` from HOST
/// port N ssh2: `, and the two are indistinguishable. Like other tools, Weir takes the first address.
const AFTER_METHOD: Terminators = &[":", " [preauth]", " via "];
/// The reason of a disconnect follows.
const REASON: Terminators = &[":"];
/// The reason of a refusal follows.
const NOT_ALLOWED: Terminators = &[" not allowed because"];
/// No user name precedes the address.
const UNAMBIGUOUS: Terminators = &[":", " [preauth]", " on ", " to "];

const FAILURE: Option<&str> = Some("failure");
const SUCCESS: Option<&str> = Some("success");

/// First words of a line, action, outcome, and layout of the rest. The first match wins.
const LINES: [(&str, &str, Option<&str>, Layout); 27] = [
    ("Failed ", "login", FAILURE, MethodForUserFrom),
    ("Accepted ", "login", SUCCESS, MethodForUserFrom),
    ("Postponed ", "login", None, MethodForUserFrom),
    ("Invalid user ", "login", FAILURE, UserFrom),
    ("Illegal user ", "login", FAILURE, UserFrom),
    ("User ", "login", FAILURE, UserFrom),
    (
        "maximum authentication attempts exceeded for ",
        "login",
        FAILURE,
        UserFrom,
    ),
    (
        "input_userauth_request: invalid user ",
        "login",
        FAILURE,
        User,
    ),
    ("ROOT LOGIN REFUSED FROM ", "login", FAILURE, Host),
    ("refused connect from ", "connect", FAILURE, Parenthesis),
    ("Connection closed by ", "disconnect", None, MaybeUserHost),
    ("Connection reset by ", "disconnect", None, MaybeUserHost),
    ("Connection from ", "connect", None, Host),
    ("Received disconnect from ", "disconnect", None, Host),
    ("Disconnected from ", "disconnect", None, MaybeUserHost),
    (
        "Disconnecting: Too many authentication failures for ",
        "disconnect",
        FAILURE,
        UserFrom,
    ),
    (
        "Disconnecting: Too many authentication failures",
        "disconnect",
        FAILURE,
        User,
    ),
    ("Disconnecting ", "disconnect", FAILURE, MaybeUserHost),
    (
        "Did not receive identification string from ",
        "connect",
        FAILURE,
        Host,
    ),
    (
        "Bad protocol version identification ",
        "connect",
        FAILURE,
        Host,
    ),
    (
        "banner exchange: Connection from ",
        "connect",
        FAILURE,
        Host,
    ),
    (
        "ssh_dispatch_run_fatal: Connection from ",
        "connect",
        FAILURE,
        MaybeUserHost,
    ),
    (
        "Timeout before authentication for connection from ",
        "connect",
        FAILURE,
        Host,
    ),
    (
        "Timeout before authentication for ",
        "connect",
        FAILURE,
        Host,
    ),
    (
        "Unable to negotiate with ",
        "connect",
        FAILURE,
        MaybeUserHost,
    ),
    ("PAM: ", "login", FAILURE, MethodForUserFrom),
    ("Magic value check failed ", "connect", FAILURE, AfterFrom),
];

pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) {
    let message = strip_prefixes(message);
    if pam::read(message, draft) {
        return;
    }
    let found = LINES.iter().find_map(|(phrase, action, outcome, layout)| {
        Some((
            message.strip_prefix(phrase)?,
            *phrase,
            *action,
            *outcome,
            *layout,
        ))
    });
    let Some((rest, phrase, action, outcome, layout)) = found else {
        return;
    };
    draft.add_text("action", action);
    // A user who disconnects before the login is complete has failed to log in.
    let is_failed_login = action == "disconnect" && strip_user_state(rest).len() < rest.len();
    if let Some(outcome) = outcome.or(FAILURE.filter(|_| is_failed_login)) {
        draft.add_text("outcome", outcome);
    }
    match layout {
        MethodForUserFrom => add_method_and_user(rest, phrase, draft),
        UserFrom => {
            let ends = if phrase == "User " {
                NOT_ALLOWED
            } else {
                LINE_END
            };
            add_user_and_source(rest, ends, draft);
        }
        Host => add_host(rest, draft),
        AfterFrom => split_source(rest, LINE_END).map_or((), |(_, source)| source.add(draft)),
        MaybeUserHost => {
            let ends = if phrase == "Disconnecting " {
                REASON
            } else {
                LINE_END
            };
            add_optional_user_and_host(rest, ends, draft);
        }
        User => add_user(rest, draft),
        Parenthesis => add_address_in_parentheses(rest, draft),
    }
    if phrase.starts_with("ROOT") {
        draft.add_text("user", "root");
    }
}

/// Removes what loggers write in front of the message: a level, a Solaris message id, a kernel's
/// uptime.
fn strip_prefixes(message: &str) -> &str {
    // Trim once here, since the end of the line is compared many times.
    let mut text = message.trim_ascii_end();
    // At most three prefixes follow each other.
    for _ in 0..3 {
        let after_level = text
            .strip_prefix("error: ")
            .or_else(|| text.strip_prefix("fatal: "));
        let bracket = text
            .strip_prefix("kernel:")
            .unwrap_or(text)
            .trim_ascii_start();
        let after_bracket = bracket.strip_prefix('[').and_then(|inner| {
            let close = inner.bytes().take(64).position(|b| b == b']')?;
            Some(
                inner
                    .get(close + 1..)?
                    .trim_start_matches(':')
                    .trim_ascii_start(),
            )
        });
        match after_level.or(after_bracket) {
            Some(rest) => text = rest,
            None => break,
        }
    }
    text
}

fn add_method_and_user<'a>(rest: &'a str, phrase: &str, draft: &mut Draft<'a>) {
    let Some((method, rest)) = split_at_first(rest, " for ") else {
        return;
    };
    if phrase == "PAM: " {
        draft.add_text("method", "pam");
    } else {
        draft.add_text("method", method);
    }
    add_user_and_source(rest, AFTER_METHOD, draft);
}

/// Removes the state of a user: `invalid user `, and so on.
fn strip_user_state(text: &str) -> &str {
    ["invalid user ", "illegal user ", "authenticating user "]
        .iter()
        .find_map(|state| text.strip_prefix(state))
        .unwrap_or(text)
}

fn add_user_and_source<'a>(rest: &'a str, ends: Terminators, draft: &mut Draft<'a>) {
    let rest = strip_user_state(rest);
    match split_source(rest, ends) {
        Some((name, source)) => {
            draft.add_text("user", name);
            source.add(draft);
        }
        None => add_user(rest, draft),
    }
}

fn add_user<'a>(rest: &'a str, draft: &mut Draft<'a>) {
    let rest = rest.strip_suffix(" [preauth]").unwrap_or(rest);
    let name = split_at_first(rest, " not allowed because")
        .map_or(rest, |(name, _)| name)
        .trim_ascii_end();
    if !name.is_empty() {
        draft.add_text("user", name);
    }
}

fn add_host<'a>(rest: &'a str, draft: &mut Draft<'a>) {
    if let Some(source) = source_at(rest, UNAMBIGUOUS) {
        source.add(draft);
    } else if let Some((_, source)) = split_source(rest, LINE_END) {
        source.add(draft);
    }
}

fn add_optional_user_and_host<'a>(rest: &'a str, ends: Terminators, draft: &mut Draft<'a>) {
    let user_and_host = strip_user_state(rest);
    // Without a state the user has logged in before.
    let user_and_host = if user_and_host.len() == rest.len() {
        match rest.strip_prefix("user ") {
            Some(user_and_host) => user_and_host,
            None => return add_host(rest, draft),
        }
    } else {
        user_and_host
    };
    // The address precedes the ` port N` after which the line ends as sshd ends it.
    for at in memchr::memmem::find_iter(user_and_host.as_bytes(), b" port ") {
        let Some((before, after)) = user_and_host.split_at_checked(at) else {
            return;
        };
        let Some((port, after)) = port_at(after) else {
            continue;
        };
        if is_end(after, ends) {
            let (name, host) = before.rsplit_once(' ').unwrap_or(("", before));
            draft.add_text("user", name);
            return SourceEndpoint {
                host,
                port: Some(port),
            }
            .add(draft);
        }
    }
}

fn add_address_in_parentheses<'a>(rest: &'a str, draft: &mut Draft<'a>) {
    let inner = rest
        .trim_ascii_end()
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once('('));
    match inner {
        Some((_, address)) => add_source_address(address, draft),
        None => add_host(rest, draft),
    }
}

/// The host and port of the client.
struct SourceEndpoint<'a> {
    host: &'a str,
    port: Option<&'a str>,
}

impl<'a> SourceEndpoint<'a> {
    fn add(self, draft: &mut Draft<'a>) {
        add_source_address(self.host, draft);
        if let Some(port) = self.port {
            draft.add_number("src_port", port);
        }
    }
}

/// Splits at the first ` from HOST` that one of `ends` follows. Returns the text in front of it and
/// the host.
fn split_source(text: &str, ends: Terminators) -> Option<(&str, SourceEndpoint<'_>)> {
    memchr::memchr_iter(b' ', text.as_bytes()).find_map(|at| {
        let (before, after) = text.split_at_checked(at)?;
        let source = source_at(after.strip_prefix(" from ")?, ends)?;
        Some((before, source))
    })
}

/// Reads `HOST[ port N][ sshV]` if one of `ends` follows.
fn source_at(text: &str, ends: Terminators) -> Option<SourceEndpoint<'_>> {
    let end = text.find(' ').unwrap_or(text.len());
    let (host, rest) = text.split_at_checked(end)?;
    if host.is_empty() {
        return None;
    }
    if let Some(host) = host.strip_suffix(':').filter(|_| ends.contains(&":")) {
        return Some(SourceEndpoint { host, port: None });
    }
    let (port, rest) = match port_at(rest) {
        Some((port, rest)) => (Some(port), rest),
        None => (None, rest),
    };
    let rest = match rest.strip_prefix(" ssh") {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    is_end(rest, ends).then_some(SourceEndpoint { host, port })
}

fn port_at(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix(" port ")?;
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    (1..=5)
        .contains(&end)
        .then(|| text.split_at_checked(end))
        .flatten()
}

fn is_end(rest: &str, ends: Terminators) -> bool {
    let ends_with = |end: &&str| match *end {
        // Only at the end of the line: a user name may contain this text.
        " [preauth]" => rest == " [preauth]",
        end => rest.starts_with(end),
    };
    rest.is_empty() || ends.iter().any(ends_with)
}
