//! Lines of container runtimes: `TIME stdout F text`, as CRI-O and containerd write them.

use weir_schema::Problem;

use super::message;
use crate::Context;
use crate::draft::Draft;
use crate::{payload, time};

/// Reads a line of the container runtime interface. Returns false, with nothing changed, for other
/// lines.
pub(super) fn read<'a>(line: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    // The stream stands behind the time, whose length varies with the offset.
    if line.as_bytes().get(10) != Some(&b'T') {
        return false;
    }
    let mut words = line.splitn(4, ' ');
    let (Some(clock), Some(stream), Some(tag)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    // A tag may have parts behind a colon.
    let tag = tag.split(':').next().unwrap_or(tag);
    if !matches!(stream, "stdout" | "stderr") || !matches!(tag, "F" | "P") {
        return false;
    }
    let Some(time) = time::iso(clock, context.zone) else {
        return false;
    };
    let text = words.next().unwrap_or("");
    draft.time = Some(time);
    draft.add_text("stream", stream);
    if tag == "P" {
        // The rest of the line is in the next frames.
        draft.add_problem(Problem::Truncated);
        draft.message = text.into();
        return true;
    }
    draft.message = text.into();
    if !message::read_inner_line(text, context, draft) {
        payload::read_bare(text, context, draft);
    }
    true
}
