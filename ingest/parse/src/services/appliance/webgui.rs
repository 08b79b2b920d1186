//! Logins to the web interfaces of pfSense and OPNsense: `/index.php: webConfigurator authentication error
//! for user 'ann' from: 192.0.2.9`.

use crate::draft::Draft;
use crate::services::text::{
    FAILURE, SUCCESS, add_action, add_source_address, is_address, split_at_first, split_at_last,
};

/// Phrases in front of the name, the product that writes them, and the outcome.
const PHRASES: [(&str, &str, &str); 4] = [
    (
        "webConfigurator authentication error for user '",
        "pfsense",
        FAILURE,
    ),
    ("Web GUI authentication error for '", "opnsense", FAILURE),
    ("Successful login for user '", "pfsense", SUCCESS),
    ("authenticated successfully for user '", "opnsense", SUCCESS),
];

/// Reads a login. Returns false, with nothing changed, for other messages.
pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((page, text)) = message
        .split_once(": ")
        .filter(|(page, _)| page.starts_with('/'))
    else {
        return false;
    };
    if page.len() > 64 {
        return false;
    }
    let found = PHRASES
        .iter()
        .find_map(|phrase| Some((phrase, split_at_first(text, phrase.0)?)));
    let Some(((_, product, outcome), ("", rest))) = found else {
        return false;
    };
    let separator = if split_at_last(rest, "' from: ").is_some() {
        "' from: "
    } else {
        "' from "
    };
    // The name may contain the separator; the address is last.
    let Some((user, address)) = split_at_last(rest, separator) else {
        return false;
    };
    let address = address.split(' ').next().unwrap_or(address);
    if !is_address(address) {
        return false;
    }
    draft.logsource.product = Some(product);
    add_action("login", outcome, draft);
    draft.add_text("user", user);
    add_source_address(address, draft);
    true
}
