//! Whole events inside a line or a text: JSON objects behind a header, and lines of the forms that
//! need no header.

use std::borrow::Cow;

use weir_schema::Problem;

use crate::draft::Draft;
use crate::services::{self, access, appliance, cisco, vendor};
use crate::{Context, inner_event, keyvalue};

/// Reads the message of `program` as a JSON object: its members become fields, and its time is the
/// event's. Returns false, with nothing changed, for other messages.
///
/// The header's fields stay, since a program, or whoever writes through it, chooses the members. An
/// object that is the record of a known source says its host itself.
pub(crate) fn read_json<'a>(
    program: Option<&'a str>,
    message: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    let Some(text) = object(message) else {
        return false;
    };
    let mut inner = Draft::for_text(text);
    inner.headers = draft.headers;
    // What a program writes may quote the line of another.
    inner.is_quoted = program.is_some();
    crate::read_object(text, context, &mut inner);
    if inner.fields.is_empty() && inner.problems.contains(&Problem::Unparsed) {
        return false;
    }
    if inner.message.is_empty() {
        inner.message = Cow::Borrowed(message);
    }
    if inner.logsource.product.is_some() {
        draft.replace_with_inner(inner);
        return true;
    }
    services::read_message(program, "", context, draft);
    services::read_json(program, &inner, draft);
    draft.add_members(inner);
    true
}

/// Returns the object in a message, without the cookie `@cee:` in front of it. The end of an object may
/// be cut.
fn object(message: &str) -> Option<&str> {
    let text = message.trim_ascii_start();
    let text = match text.strip_prefix('@') {
        Some(cookie) => cookie.strip_prefix("cee:")?.trim_ascii_start(),
        None => text,
    };
    let text = text.trim_ascii_end();
    (text.starts_with("{\"") || text.starts_with('{') && text.ends_with('}')).then_some(text)
}

/// Reads a text as an event of a form that needs no header. Returns false, with nothing changed, for
/// other texts.
pub(crate) fn read_bare<'a>(text: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let mut inner = Draft::for_text(text);
    inner.message = Cow::Borrowed(text);
    inner.headers = draft.headers;
    let is_read = read_json(None, text, context, &mut inner)
        || inner_event::read(&mut inner)
        || cisco::read_message(text, &mut inner)
        || vendor::read(text, context, &mut inner)
        || appliance::read(text, context, &mut inner)
        || access::read(text, context.zone, &mut inner)
        || services::read_bare_line(text, context, &mut inner)
        || crate::read_known_tag(text, context, &mut inner)
        || keyvalue::read(text, context, &mut inner);
    if is_read {
        draft.replace_with_inner(inner);
    }
    is_read
}
