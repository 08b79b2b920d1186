//! Messages of Cisco devices: `%FACILITY-SEVERITY-MNEMONIC: text`.

use std::borrow::Cow;

use super::traffic;
use crate::draft::Draft;

/// Longest message id.
const MESSAGE_ID_BYTES_MAX: usize = 80;

/// Reads a message such as `%ASA-6-302013: text`. Returns false, with nothing changed, if it has no
/// message id.
pub(crate) fn read_message<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some(rest) = message.strip_prefix('%') else {
        return false;
    };
    // Some firewalls omit the colon.
    let Some(end) = rest
        .bytes()
        .take(MESSAGE_ID_BYTES_MAX)
        .position(|b| matches!(b, b':' | b' '))
    else {
        return false;
    };
    let Some(id) = rest.get(..end) else {
        return false;
    };
    let is_id = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !id.bytes().all(is_id) || id.bytes().filter(|b| *b == b'-').count() < 2 {
        return false;
    }
    draft.logsource.product = Some("cisco");
    draft.message = Cow::Borrowed(message);
    draft.add_text("msgid", id);
    let text = rest.get(end..).unwrap_or("");
    traffic::read(id, text.trim_start_matches([':', ' ']), draft);
    true
}
