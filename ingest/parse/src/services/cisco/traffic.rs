//! Traffic and logins in the messages of Cisco firewalls and routers: user, source, destination and
//! outcome.

use crate::draft::Draft;
use crate::services::text::{
    FAILURE, SUCCESS, add_action, between, first_word, host_and_port, is_address, is_port,
    split_at_first, split_at_last,
};

/// Phrases with their action and outcome, in order of precedence.
const PHRASES: [(&str, &str, &str); 26] = [
    ("User authentication failed", "login", FAILURE),
    ("User authentication succeeded", "login", SUCCESS),
    ("AnyConnect parent session started", "login", SUCCESS),
    ("WebVPN session started", "login", SUCCESS),
    ("Accessed URL", "access", SUCCESS),
    ("Login denied", "login", FAILURE),
    ("Login permitted", "login", SUCCESS),
    ("authentication Rejected", "login", FAILURE),
    ("LOGIN_FAILED", "login", FAILURE),
    ("Login failed", "login", FAILURE),
    ("LOGIN_SUCCESS", "login", SUCCESS),
    ("Login Success", "login", SUCCESS),
    ("locked out", "login", FAILURE),
    ("enable password incorrect", "login", FAILURE),
    ("Authentication failed", "login", FAILURE),
    ("Shunned packet", "block", FAILURE),
    ("Deny ", "deny", FAILURE),
    ("denied", "deny", FAILURE),
    ("Denied", "deny", FAILURE),
    ("Dropped", "drop", FAILURE),
    ("dropped", "drop", FAILURE),
    ("requested to drop", "drop", FAILURE),
    ("discarded", "drop", FAILURE),
    ("permitted", "permit", SUCCESS),
    ("Built ", "connect", SUCCESS),
    ("Teardown ", "disconnect", SUCCESS),
];

/// Most bytes of a message that are searched for phrases. Parameters follow.
const PHRASE_BYTES_MAX: usize = 256;

/// Reads the text after `%ASA-6-302013: `.
pub(super) fn read<'a>(id: &str, text: &'a str, draft: &mut Draft<'a>) {
    let start = text
        .get(..text.floor_char_boundary(PHRASE_BYTES_MAX))
        .unwrap_or(text);
    let found = PHRASES
        .iter()
        .find(|(phrase, ..)| split_at_first(start, phrase).is_some());
    if let Some((_, action, outcome)) = found {
        add_action(action, outcome, draft);
    } else if split_at_first(start, "authentication").is_some()
        && text.trim_ascii_end().ends_with("Succeeded")
        || start.starts_with("AAA user ") && split_at_first(start, "Successful").is_some()
    {
        add_action("login", SUCCESS, draft);
    } else if id.ends_with("-111008") || id.ends_with("-111010") || id.ends_with("-111009") {
        draft.add_text("action", "command");
        if let Some(command) = between(text, "executed the '", "'")
            .or_else(|| between(text, "executed '", "'"))
            .or_else(|| split_at_first(text, "executed cmd:").map(|(_, command)| command))
        {
            draft.add_text("command", command);
        }
    }
    add_endpoints(text, draft);
    add_user(text, draft);
}

/// Adds source and destination: `from A to B`, `src A dst B`, `for A (…) to B`, `tcp A -> B`.
fn add_endpoints<'a>(text: &'a str, draft: &mut Draft<'a>) {
    if add_translated_endpoints(text, draft) || add_request(text, draft) {
        return;
    }
    // The first end of a connection is that of the lower security level. Outbound, the second began.
    let is_outbound = text.starts_with("Built outbound ");
    let (first, second) = if is_outbound {
        (Side::Destination, Side::Source)
    } else {
        (Side::Source, Side::Destination)
    };
    for (open, close) in [
        ("src ", " dst "),
        ("from laddr ", " to "),
        ("from ", " to "),
        (" for ", " to "),
    ] {
        let Some((_, rest)) = split_at_first(text, open) else {
            continue;
        };
        if !add_endpoint(rest, first, draft) {
            continue;
        }
        if let Some((_, rest)) = split_at_first(rest, close) {
            add_endpoint(rest, second, draft);
        }
        return;
    }
    if let Some((before, after)) = split_at_first(text, " -> ") {
        // `tcp 10.0.3.100(50150) (Serial4/3 ) -> 192.0.2.1(443)`
        let mut words = before.rsplit([' ', '[']);
        if words
            .by_ref()
            .take(4)
            .any(|word| add_endpoint(word, Side::Source, draft))
        {
            add_endpoint(after, Side::Destination, draft);
        }
        return;
    }
    // `list 10 denied 192.0.2.9 1 packet`
    if let Some((_, rest)) = split_at_first(text, " denied ").filter(|_| text.starts_with("list "))
        && add_endpoint(rest, Side::Source, draft)
    {
        return;
    }
    // The user name before it may contain anything, so the device wrote the last occurrence.
    let _ = ["IP = ", "IP <", "[Source: ", " IP ", "IP address: "]
        .iter()
        .filter_map(|label| split_at_last(text, label))
        .any(|(_, rest)| add_endpoint(rest, Side::Source, draft));
}

/// Adds the ends of `faddr A/0 gaddr B/0 laddr C/0`: the foreign and the local one. What follows their
/// slash is no port.
fn add_translated_endpoints<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let address = |label| {
        let (_, rest) = split_at_first(text, label)?;
        let word = first_word(rest).0;
        let address = word.split(['/', '(']).next().unwrap_or(word);
        is_address(address).then_some(address)
    };
    let (Some(foreign), Some(local)) = (address("faddr "), address("laddr ")) else {
        return false;
    };
    let (source, target) = if text.contains(" outbound ") {
        (local, foreign)
    } else {
        (foreign, local)
    };
    draft.add_text("src_ip", source);
    draft.add_text("dst_ip", target);
    true
}

/// Adds the ends of `[user@]192.0.2.9 Accessed URL 198.51.100.1:/path`.
fn add_request<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((client, rest)) = split_at_first(text, " Accessed URL ") else {
        return false;
    };
    let (user, address) = client.rsplit_once('@').unwrap_or(("", client));
    if !is_address(address) {
        return false;
    }
    draft.add_text("src_ip", address);
    if !user.is_empty() {
        draft.add_text("user", user);
    }
    let (server, url) = rest.split_once(":http").map_or_else(
        || rest.split_once(':').unwrap_or((rest, "")),
        |(server, url)| (server, rest.get(rest.len() - url.len() - 4..).unwrap_or("")),
    );
    if is_address(server) {
        draft.add_text("dst_ip", server);
    }
    if !url.is_empty() {
        draft.add_text("url", url);
    }
    true
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
}

/// Adds `[interface:]ADDRESS[/PORT]`, `[interface/]ADDRESS(PORT)` or `(ADDRESS)` at the start of the
/// text. Returns false, with nothing changed, if there is no address.
fn add_endpoint<'a>(text: &'a str, side: Side, draft: &mut Draft<'a>) -> bool {
    let text = text.strip_prefix('(').unwrap_or(text);
    let stop = text.find([' ', ',', ')', ']', ';']).unwrap_or(text.len());
    let word = text
        .get(..stop)
        .unwrap_or(text)
        .trim_end_matches([':', '.']);
    let is_first = |word: &str| is_address(word.split(['/', '(']).next().unwrap_or(word));
    // The part before a colon or a slash is an interface, unless it is an address.
    let word = match word.split_once(':') {
        Some((_, address)) if !is_first(word) => address,
        _ => word,
    };
    let word = match word.split_once('/') {
        Some((_, address)) if !is_first(word) && is_first(address) => address,
        _ => word,
    };
    let word = word.trim_end_matches(['.', ':', '>']);
    let (address, port) = match word.split_once(['/', '(']) {
        Some((address, port)) => (address, port),
        None => {
            let (address, port) = host_and_port(word);
            (address, port.unwrap_or(""))
        }
    };
    if !is_address(address) {
        return false;
    }
    let (address_name, port_name) = if side == Side::Source {
        ("src_ip", "src_port")
    } else {
        ("dst_ip", "dst_port")
    };
    draft.add_text(address_name, address);
    if is_port(port) {
        draft.add_number(port_name, port);
    }
    true
}

fn add_user<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let quoted = between(text, "user \"", "\"")
        .or_else(|| between(text, "User '", "'"))
        .or_else(|| between(text, "User <", ">"))
        .or_else(|| between(text, "[user: ", "]"))
        .or_else(|| between(text, "(LOCAL\\", ")"))
        .or_else(|| {
            let group = text.strip_prefix("Group ")?;
            Some(first_word(split_at_first(group, " User ")?.1).0)
        });
    let found = quoted.or_else(|| {
        let (_, rest) = [
            "User = ",
            "user = ",
            "Username = ",
            "Uname: ",
            "username = ",
        ]
        .iter()
        .find_map(|label| split_at_first(text, label))?;
        let name = first_word(rest).0;
        Some(name.trim_end_matches([':', ',']))
    });
    if let Some(name) = found.filter(|name| !name.is_empty()) {
        draft.add_text("user", name);
    }
}
