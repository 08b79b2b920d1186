//! Messages of Cisco devices: `%FACILITY-SEVERITY-MNEMONIC: text`.

use std::borrow::Cow;

use crate::draft::Draft;

mod access;
mod pairs;
mod traffic;

/// Longest message id.
const MESSAGE_ID_BYTES_MAX: usize = 80;

/// Reads a message such as `%ASA-6-302013: text`. Returns false, with nothing changed, if it has no
/// message id.
pub(crate) fn read_message<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((id, text)) = split(message) else {
        return false;
    };
    if id.bytes().filter(|b| *b == b'-').count() < 2 {
        return false;
    }
    draft.logsource.product = Some("cisco");
    draft.message = Cow::Borrowed(message);
    draft.add_text("msgid", id);
    if is_about_packets(id) {
        draft.logsource.category = Some("firewall");
    }
    let text = text.trim_start_matches([':', ' ']);
    if id
        .rsplit('-')
        .next()
        .is_some_and(|number| number.starts_with("43000"))
    {
        pairs::read(text, draft);
    } else if !access::read(id, text, draft) {
        traffic::read(id, text, draft);
    }
    true
}

/// Returns whether the messages of this id are about connections and refused packets.
fn is_about_packets(id: &str) -> bool {
    let mnemonic = id.rsplit('-').next().unwrap_or(id);
    let is_number = mnemonic.len() == 6 && mnemonic.bytes().all(|b| b.is_ascii_digit());
    let packets = ["106", "302", "313", "43000", "710003"];
    is_number && packets.iter().any(|start| mnemonic.starts_with(start))
        || mnemonic.starts_with("IPACCESSLOG")
}

/// Returns whether a text starts with `%FACILITY-SEVERITY-MNEMONIC`, the severity being a digit.
pub(crate) fn has_message_id(text: &str) -> bool {
    let Some((id, _)) = split(text) else {
        return false;
    };
    let mut parts = id.rsplit('-');
    let (mnemonic, severity) = (parts.next(), parts.next());
    mnemonic.is_some_and(|part| !part.is_empty())
        && severity.is_some_and(|part| matches!(part.as_bytes(), [b'0'..=b'7']))
        && parts.next().is_some_and(|facility| !facility.is_empty())
}

/// Splits `%ID` from the text after it.
fn split(message: &str) -> Option<(&str, &str)> {
    let rest = message.strip_prefix('%')?;
    // Some firewalls omit the colon.
    let end = rest
        .bytes()
        .take(MESSAGE_ID_BYTES_MAX)
        .position(|b| matches!(b, b':' | b' '))?;
    let (id, text) = rest.split_at_checked(end)?;
    let is_id = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    id.bytes().all(is_id).then_some((id, text))
}
