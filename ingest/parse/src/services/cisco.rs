//! Messages of Cisco devices: `%FACILITY-SEVERITY-MNEMONIC: text`.

use std::borrow::Cow;

use super::traffic;
use crate::draft::Draft;

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
    traffic::read(id, text.trim_start_matches([':', ' ']), draft);
    true
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
