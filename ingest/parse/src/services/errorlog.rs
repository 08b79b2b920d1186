//! Error logs of Apache and nginx, with or without a syslog header.

use std::borrow::Cow;

use super::access;
use super::text::{
    FAILURE, SUCCESS, add_action, add_source_address, add_source_endpoint, add_user, between,
    first_word, host_and_port, is_address, split_at_first, split_at_last,
};
use crate::draft::Draft;
use crate::time::{self, TimeCursor, Timestamp, Zone};

/// Most bracketed parts at the start of an Apache line: time, module, process, client.
const PARTS_MAX: usize = 5;

/// Longest system error that Apache writes between the process and the client.
const SYSTEM_ERROR_BYTES_MAX: usize = 256;

/// Reads `[time] [module:level] [pid N] [client ADDRESS:PORT] AH01618: text`, in which every part but
/// the level is optional. Returns false, with nothing changed, for other lines.
pub(super) fn read_apache<'a>(message: &'a str, zone: Zone, draft: &mut Draft<'a>) -> bool {
    let Some(line) = apache_parts(message, zone) else {
        return false;
    };
    draft.logsource.product = Some("apache");
    draft.logsource.service = Some("apache");
    draft.message = Cow::Borrowed(message);
    if draft.time.is_none() {
        draft.time = line.time;
    }
    if let Some((module, level)) = line.level.rsplit_once(':') {
        if !module.is_empty() {
            draft.add_text("module", module);
        }
        draft.add_text("level", level);
    } else {
        draft.add_text("level", line.level);
    }
    if let Some(pid) = line.pid {
        draft.add_number("pid", pid);
    }
    if let Some(client) = line.client {
        add_source_endpoint(client, draft);
        draft.add_text("c-ip", host_and_port(client).0);
    }
    add_apache_action(line.text, draft);
    true
}

#[derive(Default)]
struct ApacheLine<'a> {
    time: Option<Timestamp>,
    level: &'a str,
    pid: Option<&'a str>,
    client: Option<&'a str>,
    text: &'a str,
}

fn apache_parts(message: &str, zone: Zone) -> Option<ApacheLine<'_>> {
    let mut line = ApacheLine::default();
    let mut rest = message;
    for _ in 0..PARTS_MAX {
        let Some(inner) = rest.strip_prefix('[') else {
            break;
        };
        // An IPv6 client has its own brackets.
        let (part, tail) = match split_at_first(inner, "]:") {
            Some((head, tail)) if head.starts_with("client [") || head.starts_with("remote [") => {
                let (port, _) = tail.split_once(']')?;
                let end = head.len() + 2 + port.len();
                (inner.get(..end)?, inner.get(end + 1..)?)
            }
            _ => inner.split_once(']')?,
        };
        if let Some(client) = part
            .strip_prefix("client ")
            .or(part.strip_prefix("remote "))
        {
            line.client = Some(client);
        } else if let Some(pid) = part.strip_prefix("pid ") {
            line.pid = Some(pid.split(':').next().unwrap_or(pid));
        } else if line.level.is_empty() && is_level(part) {
            line.level = part;
        } else if line.level.is_empty() && line.time.is_none() {
            line.time = Some(asctime(part, zone)?);
        } else {
            break;
        }
        rest = tail.trim_ascii_start();
        // `(70014)End of file found: [client …]`
        if rest.starts_with('(') && line.client.is_none() {
            let start = rest.get(..rest.floor_char_boundary(SYSTEM_ERROR_BYTES_MAX))?;
            if let Some((before, _)) = split_at_first(start, ": [client ") {
                rest = rest.get(before.len() + 2..)?;
            }
        }
    }
    line.text = rest;
    (!line.level.is_empty()).then_some(line)
}

fn is_level(part: &str) -> bool {
    let (module, level) = part.rsplit_once(':').unwrap_or(("", part));
    let is_module = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let levels = [
        "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
    ];
    module.bytes().all(is_module) && (levels.contains(&level) || level.starts_with("trace"))
}

/// Reads `Sat Jun 01 02:17:42.453232 2013`.
pub(super) fn asctime(text: &str, zone: Zone) -> Option<Timestamp> {
    let mut words = text.split_ascii_whitespace();
    let _weekday = words.next()?;
    let month = time::month(words.next()?.as_bytes())?;
    let day = words.next()?.parse().ok()?;
    let mut cursor = TimeCursor(words.next()?.as_bytes());
    let year = words.next().filter(|year| year.len() == 4)?.parse().ok()?;
    cursor.time_of_day(year, month, day)?.timestamp(None, zone)
}

fn add_apache_action<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let (code, text) = match text.split_once(": ") {
        Some((code, rest)) if code.starts_with("AH") && code.len() == 7 => (Some(code), rest),
        _ => (None, text),
    };
    if let Some(code) = code {
        draft.add_text("msgid", code);
    }
    let (text, referer) = match split_at_last(text, ", referer: ") {
        Some((text, referer)) => (text, Some(referer)),
        None => (text, None),
    };
    if let Some(referer) = referer {
        draft.add_text("cs-referer", referer);
    }
    let text = text.strip_prefix("Digest: ").unwrap_or(text);
    if let Some((name, path)) = apache_user(text) {
        add_action("login", FAILURE, draft);
        add_user(name, draft);
        if let Some(path) = path.filter(|path| path.starts_with('/')) {
            draft.add_text("path", path);
        }
    } else if let Some((reason, path)) = text.split_once(": ").filter(|(reason, _)| {
        [
            "client denied",
            "client used wrong",
            "Directory index forbidden",
        ]
        .iter()
        .any(|phrase| reason.starts_with(phrase))
    }) {
        let is_login = reason.contains("wrong");
        add_action(if is_login { "login" } else { "access" }, FAILURE, draft);
        draft.add_text("path", path);
    }
}

/// Reads the user of a failed login, and the path if one follows.
fn apache_user(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix("Authorization of user ") {
        return Some((split_at_first(rest, " to access ")?.0, None));
    }
    let rest = text.strip_prefix("user ")?;
    if let Some(quoted) = rest.strip_prefix('`') {
        let (name, rest) = split_at_first(quoted, "' in realm ")?;
        return Some((name, split_at_last(rest, ": ").map(|(_, path)| path)));
    }
    for separator in [
        " not found",
        ": authentication failure for ",
        ": authorization failure for ",
        ": password mismatch",
        " in realm ",
    ] {
        if let Some((name, rest)) = split_at_first(rest, separator) {
            let path = rest
                .strip_prefix(": ")
                .or_else(|| between(rest, "\"", "\""));
            return Some((name, path));
        }
    }
    None
}

/// Reads `[time ][level] PID#TID: *CID text, client: ADDRESS, server: …, request: "…"`. Returns
/// false, with nothing changed, for other lines.
pub(super) fn read_nginx<'a>(message: &'a str, zone: Zone, draft: &mut Draft<'a>) -> bool {
    let (time, line) = match time::iso_start(message, zone) {
        Some((time, line)) => (Some(time), line),
        None => (None, message),
    };
    let Some((level, rest)) = line.strip_prefix('[').and_then(|l| l.split_once("] ")) else {
        return false;
    };
    if !is_level(level) {
        return false;
    }
    draft.logsource.product = Some("nginx");
    draft.logsource.service = Some("nginx");
    draft.message = Cow::Borrowed(message);
    if draft.time.is_none() {
        draft.time = time;
    }
    draft.add_text("level", level);
    let mut text = rest;
    if let Some((ids, rest)) = rest.split_once(": ") {
        let (pid, thread) = ids.split_once('#').unwrap_or((ids, ""));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if is_number(pid) && is_number(thread) {
            draft.add_number("pid", pid);
            text = rest;
        }
    }
    if let Some((id, rest)) = text.strip_prefix('*').and_then(|t| t.split_once(' ')) {
        draft.add_number("connection", id);
        text = rest;
    }
    add_nginx_action(text, draft);
    true
}

/// Most occurrences of `, client: ` that are examined. A line with more is an attack.
const CLIENTS_MAX: usize = 16;

/// Splits a line into the error and nginx's own context, which starts with the client.
///
/// `, client: ` may also occur in a name or path in front of the context, and in the request or
/// referrer inside it. After an occurrence in a name or path, the rest of that name or path is not a
/// `, key: value` pair. So the context follows the first occurrence after which the line has only
/// such pairs. If there are several occurrences and no such one, the client is ambiguous and the
/// result is `None`.
fn nginx_client(text: &str) -> Option<(&str, &str)> {
    let separator = ", client: ";
    let splits = memchr::memmem::find_iter(text.as_bytes(), separator).take(CLIENTS_MAX);
    let splits = splits.filter_map(|at| Some((text.get(..at)?, text.get(at + separator.len()..)?)));
    let splits: Vec<_> = splits.collect();
    match splits.as_slice() {
        [only] => Some(*only),
        several => several.iter().copied().find(|(_, rest)| is_all_pairs(rest)),
    }
}

/// Returns whether the text is an address, without its key, and then only `, key: value` pairs.
fn is_all_pairs(context: &str) -> bool {
    let mut rest = context.trim_ascii_end();
    loop {
        let end = if let Some(quoted) = rest.strip_prefix('"') {
            memchr::memchr(b'"', quoted.as_bytes()).map(|at| at + 2)
        } else {
            Some(memchr::memchr2(b',', b'"', rest.as_bytes()).unwrap_or(rest.len()))
        };
        let Some(tail) = end.and_then(|end| rest.get(end..)) else {
            return false;
        };
        if tail.is_empty() {
            return true;
        }
        let pair = tail
            .strip_prefix(", ")
            .and_then(|pair| pair.split_once(": "));
        match pair {
            Some((key, value)) if key.bytes().all(|b| b.is_ascii_lowercase()) => rest = value,
            _ => return false,
        }
    }
}

fn add_nginx_action<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let (error, context) = nginx_client(text).unwrap_or((text, ""));
    if !context.is_empty() {
        let (client, context) = context.split_once(", ").unwrap_or((context, ""));
        let client = first_word(client).0;
        add_source_endpoint(client, draft);
        draft.add_text("c-ip", host_and_port(client).0);
        let (before, request) = split_at_first(context, "request: \"").unwrap_or((context, ""));
        if let Some((_, server)) = split_at_first(before, "server: ") {
            let server = server.split(", ").next().unwrap_or(server);
            draft.add_text("server", server);
        }
        if let Some((_, name)) = split_at_first(before, "login: \"") {
            add_user(name.split('"').next().unwrap_or(name), draft);
        }
        if let Some((request, rest)) = request.split_once('"') {
            access::add_request(request, draft);
            if let Some(host) = between(rest, "host: \"", "\"") {
                draft.add_text("cs-host", host);
            }
        }
    } else if let Some(rest) = text.strip_prefix("client ") {
        let client = first_word(rest).0;
        if is_address(host_and_port(client).0) {
            add_source_endpoint(client, draft);
            draft.add_text("action", "connect");
        }
    }
    if error.starts_with("client login failed") {
        add_action("login", FAILURE, draft);
    } else if error.starts_with("client logged in") {
        add_action("login", SUCCESS, draft);
    } else if let Some((_, name)) = split_at_first(error, "user \"") {
        let ends = ["\" was not found in", "\": password mismatch"];
        if let Some((name, _)) = ends.iter().find_map(|end| split_at_last(name, end)) {
            add_action("login", FAILURE, draft);
            add_user(name, draft);
        }
    } else if let Some(name) = between(error, "PAM: user '", "' - not authenticated") {
        add_action("login", FAILURE, draft);
        add_user(name, draft);
    } else if [
        "no user/password was provided",
        "password mismatch",
        " was not found in ",
    ]
    .iter()
    .any(|phrase| split_at_first(error, phrase).is_some())
    {
        add_action("login", FAILURE, draft);
    } else if error.starts_with("access forbidden by rule") || error.starts_with("limiting ") {
        add_action("access", FAILURE, draft);
    } else if let Some((address, _)) = split_at_first(error, " could not be resolved") {
        add_source_address(first_word(address).0, draft);
    }
}
