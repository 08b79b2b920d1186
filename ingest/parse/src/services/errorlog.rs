//! Error logs of Apache and nginx: who was refused what, bare or behind a syslog header.

use std::borrow::Cow;

use super::access;
use super::text::{
    FAILURE, SUCCESS, between, cut, cut_last, done, first_word, host_and_port, is_address,
    source_address, source_end, user, word,
};
use crate::draft::Draft;
use crate::time::{self, Cursor, Stamp, Zone};

/// Most bracketed parts at the front of an Apache line: time, module, process, client.
const PARTS_MAX: usize = 5;

/// How far after the process Apache's own words for a system error reach.
const SYSTEM_ERROR_BYTES_MAX: usize = 256;

/// Reads `[time] [module:level] [pid N] [client ADDRESS:PORT] AH01618: text`, any part but one of
/// level and client absent; false, with nothing written, where it is not that.
pub(super) fn apache<'a>(message: &'a str, zone: Zone, draft: &mut Draft<'a>) -> bool {
    let Some(line) = apache_parts(message, zone) else {
        return false;
    };
    draft.source.product = Some("apache");
    draft.source.service = Some("apache");
    draft.message = Cow::Borrowed(message);
    if draft.time.is_none() {
        draft.time = line.time;
    }
    if let Some((module, level)) = line.level.rsplit_once(':') {
        if !module.is_empty() {
            draft.text("module", module);
        }
        draft.text("level", level);
    } else {
        draft.text("level", line.level);
    }
    if let Some(pid) = line.pid {
        draft.number("pid", pid);
    }
    if let Some(client) = line.client {
        source_end(client, draft);
        draft.text("c-ip", host_and_port(client).0);
    }
    apache_text(line.text, draft);
    true
}

#[derive(Default)]
struct Apache<'a> {
    time: Option<Stamp>,
    level: &'a str,
    pid: Option<&'a str>,
    client: Option<&'a str>,
    text: &'a str,
}

fn apache_parts(message: &str, zone: Zone) -> Option<Apache<'_>> {
    let mut line = Apache::default();
    let mut rest = message;
    for _ in 0..PARTS_MAX {
        let Some(inner) = rest.strip_prefix('[') else {
            break;
        };
        // An IPv6 client stands in brackets of its own.
        let (part, tail) = match cut(inner, "]:") {
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
            let near = rest.get(..rest.floor_char_boundary(SYSTEM_ERROR_BYTES_MAX))?;
            if let Some((before, _)) = cut(near, ": [client ") {
                rest = rest.get(before.len() + 2..)?;
            }
        }
    }
    line.text = rest;
    (!line.level.is_empty()).then_some(line)
}

fn is_level(part: &str) -> bool {
    let (module, level) = part.rsplit_once(':').unwrap_or(("", part));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let known = [
        "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
    ];
    module.bytes().all(plain) && (known.contains(&level) || level.starts_with("trace"))
}

/// `Sat Jun 01 02:17:42.453232 2013`
pub(super) fn asctime(text: &str, zone: Zone) -> Option<Stamp> {
    let mut words = text.split_ascii_whitespace();
    let _weekday = words.next()?;
    let month = time::month(words.next()?.as_bytes())?;
    let day = words.next()?.parse().ok()?;
    let mut time = Cursor(words.next()?.as_bytes());
    let year = words.next().filter(|year| year.len() == 4)?.parse().ok()?;
    time.time_of(year, month, day)?.stamp(None, zone)
}

fn apache_text<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let (code, text) = match text.split_once(": ") {
        Some((code, rest)) if code.starts_with("AH") && code.len() == 7 => (Some(code), rest),
        _ => (None, text),
    };
    if let Some(code) = code {
        draft.text("msgid", code);
    }
    let (text, referer) = match cut_last(text, ", referer: ") {
        Some((text, referer)) => (text, Some(referer)),
        None => (text, None),
    };
    if let Some(referer) = referer {
        draft.text("cs-referer", referer);
    }
    let text = text.strip_prefix("Digest: ").unwrap_or(text);
    if let Some((name, path)) = apache_user(text) {
        done("login", FAILURE, draft);
        user(name, draft);
        if let Some(path) = path.filter(|path| path.starts_with('/')) {
            draft.text("path", path);
        }
    } else if let Some((what, path)) = text.split_once(": ").filter(|(what, _)| {
        [
            "client denied",
            "client used wrong",
            "Directory index forbidden",
        ]
        .iter()
        .any(|words| what.starts_with(words))
    }) {
        let login = what.contains("wrong");
        done(if login { "login" } else { "access" }, FAILURE, draft);
        draft.text("path", path);
    }
}

/// The name in what Apache says of a login that failed, and the path where one follows.
fn apache_user(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix("Authorization of user ") {
        return Some((cut(rest, " to access ")?.0, None));
    }
    let rest = text.strip_prefix("user ")?;
    if let Some(quoted) = rest.strip_prefix('`') {
        let (name, rest) = cut(quoted, "' in realm ")?;
        return Some((name, cut_last(rest, ": ").map(|(_, path)| path)));
    }
    for mark in [
        " not found",
        ": authentication failure for ",
        ": authorization failure for ",
        ": password mismatch",
        " in realm ",
    ] {
        if let Some((name, rest)) = cut(rest, mark) {
            let path = rest
                .strip_prefix(": ")
                .or_else(|| between(rest, "\"", "\""));
            return Some((name, path));
        }
    }
    None
}

/// Reads `[time ][level] PID#TID: *CID text, client: ADDRESS, server: …, request: "…"`; false, with
/// nothing written, where it is not that.
pub(super) fn nginx<'a>(message: &'a str, zone: Zone, draft: &mut Draft<'a>) -> bool {
    let (stamp, line) = match time::iso_start(message, zone) {
        Some((stamp, line)) => (Some(stamp), line),
        None => (None, message),
    };
    let Some((level, rest)) = line.strip_prefix('[').and_then(|l| l.split_once("] ")) else {
        return false;
    };
    if !is_level(level) {
        return false;
    }
    draft.source.product = Some("nginx");
    draft.source.service = Some("nginx");
    draft.message = Cow::Borrowed(message);
    if draft.time.is_none() {
        draft.time = stamp;
    }
    draft.text("level", level);
    let mut text = rest;
    if let Some((ids, rest)) = rest.split_once(": ") {
        let (pid, thread) = ids.split_once('#').unwrap_or((ids, ""));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if is_number(pid) && is_number(thread) {
            draft.number("pid", pid);
            text = rest;
        }
    }
    if let Some((id, rest)) = text.strip_prefix('*').and_then(|t| t.split_once(' ')) {
        draft.number("connection", id);
        text = rest;
    }
    nginx_text(text, draft);
    true
}

/// Most places that are looked at for the client; more are somebody's play.
const CLIENTS_MAX: usize = 16;

/// What is said, and the server's own words from the client on. A name or a path before them may
/// hold `, client: `, and so may the request and the referrer behind them. But behind one that
/// stands in a name or path not all is `, key: value` to the end, and what comes after the first of
/// which that is so is a referrer's. Where there are several and it is so of none, nothing tells.
fn nginx_client(text: &str) -> Option<(&str, &str)> {
    let mark = ", client: ";
    let cuts = memchr::memmem::find_iter(text.as_bytes(), mark).take(CLIENTS_MAX);
    let cuts = cuts.filter_map(|at| Some((text.get(..at)?, text.get(at + mark.len()..)?)));
    let cuts: Vec<_> = cuts.collect();
    match cuts.as_slice() {
        [only] => Some(*only),
        several => several.iter().copied().find(|(_, rest)| is_all_pairs(rest)),
    }
}

/// Whether all is the client's address, which comes without its key, and `, key: value` behind it.
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

fn nginx_text<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let (said, context) = nginx_client(text).unwrap_or((text, ""));
    if !context.is_empty() {
        let (client, context) = context.split_once(", ").unwrap_or((context, ""));
        let client = first_word(client).0;
        source_end(client, draft);
        draft.text("c-ip", host_and_port(client).0);
        let (names, asked) = cut(context, "request: \"").unwrap_or((context, ""));
        if let Some((_, server)) = cut(names, "server: ") {
            let server = server.split(", ").next().unwrap_or(server);
            draft.text("server", server);
        }
        if let Some((_, name)) = cut(names, "login: \"") {
            user(name.split('"').next().unwrap_or(name), draft);
        }
        if let Some((request, rest)) = asked.split_once('"') {
            access::request(request, draft);
            if let Some(host) = between(rest, "host: \"", "\"") {
                draft.text("cs-host", host);
            }
        }
    } else if let Some(rest) = text.strip_prefix("client ") {
        let client = first_word(rest).0;
        if is_address(host_and_port(client).0) {
            source_end(client, draft);
            word("action", "connect", draft);
        }
    }
    if said.starts_with("client login failed") {
        done("login", FAILURE, draft);
    } else if said.starts_with("client logged in") {
        done("login", SUCCESS, draft);
    } else if let Some((_, name)) = cut(said, "user \"") {
        let ends = ["\" was not found in", "\": password mismatch"];
        if let Some((name, _)) = ends.iter().find_map(|end| cut_last(name, end)) {
            done("login", FAILURE, draft);
            user(name, draft);
        }
    } else if let Some(name) = between(said, "PAM: user '", "' - not authenticated") {
        done("login", FAILURE, draft);
        user(name, draft);
    } else if [
        "no user/password was provided",
        "password mismatch",
        " was not found in ",
    ]
    .iter()
    .any(|words| cut(said, words).is_some())
    {
        done("login", FAILURE, draft);
    } else if said.starts_with("access forbidden by rule") || said.starts_with("limiting ") {
        done("access", FAILURE, draft);
    } else if let Some((address, _)) = cut(said, " could not be resolved") {
        source_address(first_word(address).0, draft);
    }
}
