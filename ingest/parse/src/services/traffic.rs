//! What Cisco's firewalls and routers say of traffic and logins: who, from where to where, and
//! whether it was let through.

use super::text::{
    FAILURE, SUCCESS, between, cut, cut_last, done, first_word, host_and_port, is_address, is_port,
    word,
};
use crate::draft::Draft;

/// Words that tell what became of it: the first that is found is taken.
const SAID: [(&str, &str, &str); 21] = [
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

/// As much of a message as is looked at for words: what comes later is parameters.
const SAID_BYTES_MAX: usize = 256;

/// Reads the text after `%ASA-6-302013: `.
pub(super) fn read<'a>(id: &str, text: &'a str, draft: &mut Draft<'a>) {
    let start = text
        .get(..text.floor_char_boundary(SAID_BYTES_MAX))
        .unwrap_or(text);
    let found = SAID.iter().find(|(words, ..)| cut(start, words).is_some());
    if let Some((_, action, outcome)) = found {
        done(action, outcome, draft);
    } else if cut(start, "authentication").is_some() && text.trim_ascii_end().ends_with("Succeeded")
        || start.starts_with("AAA user ") && cut(start, "Successful").is_some()
    {
        done("login", SUCCESS, draft);
    } else if id.ends_with("-111008") || id.ends_with("-111010") || id.ends_with("-111009") {
        word("action", "command", draft);
        if let Some(command) = between(text, "executed the '", "'")
            .or_else(|| between(text, "executed '", "'"))
            .or_else(|| cut(text, "executed cmd:").map(|(_, command)| command))
        {
            draft.text("command", command);
        }
    }
    ends(text, draft);
    name(text, draft);
}

/// The two ends: `from A to B`, `src A dst B`, `for A (…) to B`, `tcp A -> B`.
fn ends<'a>(text: &'a str, draft: &mut Draft<'a>) {
    for (open, close) in [("src ", " dst "), ("from ", " to "), (" for ", " to ")] {
        let Some((_, rest)) = cut(text, open) else {
            continue;
        };
        if !end(rest, "src", draft) {
            continue;
        }
        if let Some((_, rest)) = cut(rest, close) {
            end(rest, "dst", draft);
        }
        return;
    }
    if let Some((before, after)) = cut(text, " -> ") {
        // `tcp 10.0.3.100(50150) (Serial4/3 ) -> 192.0.2.1(443)`
        let mut words = before.rsplit([' ', '[']);
        if words.by_ref().take(4).any(|word| end(word, "src", draft)) {
            end(after, "dst", draft);
        }
        return;
    }
    // After a name that may hold anything: the last is the device's own.
    let last = ["IP = ", "IP <", "[Source: "]
        .iter()
        .find_map(|mark| cut_last(text, mark));
    if let Some((_, rest)) = last {
        end(rest, "src", draft);
    }
}

/// `[interface:]ADDRESS[/PORT]` or `ADDRESS(PORT)` at the start of the text.
fn end<'a>(text: &'a str, side: &str, draft: &mut Draft<'a>) -> bool {
    let stop = text.find([' ', ',', ')', ']', ';']).unwrap_or(text.len());
    let word = text.get(..stop).unwrap_or(text);
    let word = match word.split_once(':') {
        // An interface, unless the colon is an IPv6 address's.
        Some((_, address)) if !is_address(word.split(['/', '(']).next().unwrap_or(word)) => address,
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
    let (address_name, port_name) = if side == "src" {
        ("src_ip", "src_port")
    } else {
        ("dst_ip", "dst_port")
    };
    draft.text(address_name, address);
    if is_port(port) {
        draft.number(port_name, port);
    }
    true
}

fn name<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let quoted = between(text, "user \"", "\"")
        .or_else(|| between(text, "User '", "'"))
        .or_else(|| between(text, "User <", ">"))
        .or_else(|| between(text, "[user: ", "]"));
    let found = quoted.or_else(|| {
        let (_, rest) = [
            "User = ",
            "user = ",
            "Username = ",
            "Uname: ",
            "username = ",
        ]
        .iter()
        .find_map(|mark| cut(text, mark))?;
        let name = first_word(rest).0;
        Some(name.trim_end_matches([':', ',']))
    });
    if let Some(name) = found.filter(|name| !name.is_empty()) {
        draft.text("user", name);
    }
}
