//! `Tag`: the program and process id in front of a syslog message.

use super::words;

/// Longest program name, and longest process id. RFC 3164 allows 32; systemd writes longer ones.
const TAG_BYTES_MAX: usize = 128;

pub(super) struct Tag<'a> {
    pub program: &'a str,
    pub pid: Option<&'a str>,
}

/// Splits `program: `, `program[pid]: `, `program[pid] ` or `[program] ` from the message. A word
/// without such punctuation is not a tag.
pub(super) fn split(text: &str) -> Option<(Tag<'_>, &str)> {
    let ends = |b: u8| matches!(b, b':' | b'[' | b' ' | b'=' | b'{' | b'"' | b'%' | b'<');
    let end = text.bytes().take(TAG_BYTES_MAX).position(ends)?;
    let (program, rest) = (text.get(..end)?, text.get(end..)?);
    if let Some(inner) = rest.strip_prefix('[') {
        let close = inner.bytes().take(TAG_BYTES_MAX).position(|b| b == b']')?;
        let (pid, after) = (inner.get(..close)?, inner.get(close + 1..)?);
        let after = match after.strip_prefix(':') {
            Some(after) => after,
            None if after.is_empty() || after.starts_with(' ') => after,
            None => return None,
        };
        if pid.is_empty() || pid.contains(' ') {
            return None;
        }
        let tag = if program.is_empty() {
            // `[sshd]` is a program; `[12345.678]` is the uptime that a kernel writes.
            pid.starts_with(|c: char| c.is_ascii_alphabetic())
                .then_some(Tag {
                    program: pid,
                    pid: None,
                })?
        } else {
            Tag {
                program,
                pid: Some(pid),
            }
        };
        return Some((tag, after.trim_ascii_start()));
    }
    let after = rest.strip_prefix(':')?;
    let is_tag = after.is_empty() || after.starts_with([' ', '[']);
    (is_tag && !program.is_empty()).then(|| (Tag { program, pid: None }, after.trim_ascii_start()))
}

/// Splits `syslogd 1.5.0: message`, in which a version follows the program.
pub(super) fn split_versioned(text: &str) -> Option<(Tag<'_>, &str)> {
    let (program, rest) = text.split_once(' ')?;
    let end = rest.bytes().take(TAG_BYTES_MAX).position(|b| b == b':')?;
    let (version, after) = (rest.get(..end)?, rest.get(end + 1..)?);
    let is_program = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_tag = words::is_version(version)
        && !program.is_empty()
        && program.bytes().all(is_program)
        && after.starts_with(' ');
    is_tag.then(|| (Tag { program, pid: None }, after.trim_ascii_start()))
}
