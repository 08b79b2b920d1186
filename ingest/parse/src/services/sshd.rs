//! OpenSSH lines: who tried to come in from where, and how it ended.
//!
//! User names are the attacker's to choose, so ` from ` inside one must not pass for the address:
//! an address counts only where what follows it is what sshd itself writes there.

use super::pam;
use super::text::{cut, source_address, word};
use crate::draft::Draft;

/// How the text after a line's opening words is laid out.
#[derive(Clone, Copy)]
enum Shape {
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

use Shape::{AfterFrom, Host, MaybeUserHost, MethodForUserFrom, Parenthesis, User, UserFrom};

/// What sshd may write after an address. Where the name before it is anyone's to choose, only what
/// that kind of line has, so that a name cannot bring an address of its own with such words.
type Ends = &'static [&'static str];

/// The line ends there.
const LAST: Ends = &[" [preauth]"];
/// A key or, in old versions, a remote user follows. A name that holds ` from HOST port N ssh2: `
/// cannot be told from that; as others do, the first address stands.
const METHOD: Ends = &[":", " [preauth]", " via "];
const REASON: Ends = &[":"];
const REFUSED: Ends = &[" not allowed because"];
/// For addresses that stand at a place of their own.
const OPEN: Ends = &[":", " [preauth]", " on ", " to "];

const FAILURE: Option<&str> = Some("failure");
const SUCCESS: Option<&str> = Some("success");

/// Opening words, action, outcome, layout of the rest. The first that fits is taken.
const LINES: [(&str, &str, Option<&str>, Shape); 27] = [
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
    let message = opening(message);
    if pam::read(message, draft) {
        return;
    }
    let found = LINES.iter().find_map(|(words, action, outcome, shape)| {
        Some((
            message.strip_prefix(words)?,
            *words,
            *action,
            *outcome,
            *shape,
        ))
    });
    let Some((rest, words, action, outcome, shape)) = found else {
        return;
    };
    word("action", action, draft);
    // Who leaves before he is let in was not.
    let tried = action == "disconnect" && without_standing(rest).len() < rest.len();
    if let Some(outcome) = outcome.or(FAILURE.filter(|_| tried)) {
        word("outcome", outcome, draft);
    }
    match shape {
        MethodForUserFrom => method_for_user(rest, words, draft),
        UserFrom => user_from(rest, if words == "User " { REFUSED } else { LAST }, draft),
        Host => host(rest, draft),
        AfterFrom => far_end(rest, LAST).map_or((), |(_, far)| far.add(draft)),
        MaybeUserHost => {
            let ends = if words == "Disconnecting " {
                REASON
            } else {
                LAST
            };
            maybe_user_host(rest, ends, draft);
        }
        User => user(rest, draft),
        Parenthesis => parenthesis(rest, draft),
    }
    if words.starts_with("ROOT") {
        draft.text("user", "root");
    }
}

/// Takes away what loggers put before sshd's own words: level, Solaris' id, a kernel's clock.
fn opening(message: &str) -> &str {
    // Trimmed once, here: what follows an address is looked at many times.
    let mut text = message.trim_ascii_end();
    // Three at most stand before each other.
    for _ in 0..3 {
        let rest = text
            .strip_prefix("error: ")
            .or_else(|| text.strip_prefix("fatal: "));
        let bracket = text
            .strip_prefix("kernel:")
            .unwrap_or(text)
            .trim_ascii_start();
        let clock = bracket.strip_prefix('[').and_then(|inner| {
            let close = inner.bytes().take(64).position(|b| b == b']')?;
            Some(
                inner
                    .get(close + 1..)?
                    .trim_start_matches(':')
                    .trim_ascii_start(),
            )
        });
        match rest.or(clock) {
            Some(rest) => text = rest,
            None => break,
        }
    }
    text
}

fn method_for_user<'a>(rest: &'a str, words: &str, draft: &mut Draft<'a>) {
    let Some((method, rest)) = cut(rest, " for ") else {
        return;
    };
    if words == "PAM: " {
        draft.text("method", "pam");
    } else {
        draft.text("method", method);
    }
    user_from(rest, METHOD, draft);
}

fn without_standing(text: &str) -> &str {
    ["invalid user ", "illegal user ", "authenticating user "]
        .iter()
        .find_map(|words| text.strip_prefix(words))
        .unwrap_or(text)
}

fn user_from<'a>(rest: &'a str, ends: Ends, draft: &mut Draft<'a>) {
    let rest = without_standing(rest);
    match far_end(rest, ends) {
        Some((name, far)) => {
            draft.text("user", name);
            far.add(draft);
        }
        None => user(rest, draft),
    }
}

fn user<'a>(rest: &'a str, draft: &mut Draft<'a>) {
    let rest = rest.strip_suffix(" [preauth]").unwrap_or(rest);
    let name = cut(rest, " not allowed because")
        .map_or(rest, |(name, _)| name)
        .trim_ascii_end();
    if !name.is_empty() {
        draft.text("user", name);
    }
}

fn host<'a>(rest: &'a str, draft: &mut Draft<'a>) {
    if let Some(far) = far_at(rest, OPEN) {
        far.add(draft);
    } else if let Some((_, far)) = far_end(rest, LAST) {
        far.add(draft);
    }
}

fn maybe_user_host<'a>(rest: &'a str, ends: Ends, draft: &mut Draft<'a>) {
    let named = without_standing(rest);
    if named.len() == rest.len() {
        return host(rest.strip_prefix("user ").unwrap_or(rest), draft);
    }
    // The address stands before the last ` port N` that sshd itself wrote.
    for at in memchr::memmem::find_iter(named.as_bytes(), b" port ") {
        let Some((before, after)) = named.split_at_checked(at) else {
            return;
        };
        let Some((port, after)) = port_at(after) else {
            continue;
        };
        if is_end(after, ends) {
            let (name, host) = before.rsplit_once(' ').unwrap_or(("", before));
            draft.text("user", name);
            return Far {
                host,
                port: Some(port),
            }
            .add(draft);
        }
    }
}

fn parenthesis<'a>(rest: &'a str, draft: &mut Draft<'a>) {
    let inner = rest
        .trim_ascii_end()
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once('('));
    match inner {
        Some((_, address)) => source_address(address, draft),
        None => host(rest, draft),
    }
}

struct Far<'a> {
    host: &'a str,
    port: Option<&'a str>,
}

impl<'a> Far<'a> {
    fn add(self, draft: &mut Draft<'a>) {
        source_address(self.host, draft);
        if let Some(port) = self.port {
            draft.number("src_port", port);
        }
    }
}

/// The first ` from HOST` that ends as sshd ends it, and what stands before it.
fn far_end(text: &str, ends: Ends) -> Option<(&str, Far<'_>)> {
    memchr::memchr_iter(b' ', text.as_bytes()).find_map(|at| {
        let (before, after) = text.split_at_checked(at)?;
        let far = far_at(after.strip_prefix(" from ")?, ends)?;
        Some((before, far))
    })
}

/// `HOST[ port N][ sshV]`, followed by what sshd writes after it.
fn far_at(text: &str, ends: Ends) -> Option<Far<'_>> {
    let end = text.find(' ').unwrap_or(text.len());
    let (host, rest) = text.split_at_checked(end)?;
    if host.is_empty() {
        return None;
    }
    if let Some(host) = host.strip_suffix(':').filter(|_| ends.contains(&":")) {
        return Some(Far { host, port: None });
    }
    let (port, rest) = match port_at(rest) {
        Some((port, rest)) => (Some(port), rest),
        None => (None, rest),
    };
    let rest = match rest.strip_prefix(" ssh") {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    is_end(rest, ends).then_some(Far { host, port })
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

fn is_end(rest: &str, ends: Ends) -> bool {
    let ends_with = |end: &&str| match *end {
        // It is the last that sshd writes: a name may hold it too.
        " [preauth]" => rest == " [preauth]",
        end => rest.starts_with(end),
    };
    rest.is_empty() || ends.iter().any(ends_with)
}
