//! Answers of a server: how they are parsed, and what their bodies tell people.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::exit::ExitError;
use crate::text::printable;

/// An answer, read to its end.
#[derive(Debug)]
pub struct HttpAnswer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// Parses an answer whose head states the length of its body; `None` if it is not whole.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let mut lines = head.split("\r\n");
        let status = parse_status(lines.next()?)?;
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        })?;
        let start = end.checked_add(4)?;
        let body = bytes.get(start..start.checked_add(length)?)?.to_vec();
        Some(Self { status, body })
    }

    /// The body of a successful answer; otherwise an error with the detail and the diagnostics.
    pub fn into_json(self) -> Result<Value> {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        let status = self.status;
        if (200..=299).contains(&status) {
            return Ok(body);
        }
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut lines = vec![printable(&word(&body["detail"]))];
        for diagnostic in body["diagnostics"].as_array().into_iter().flatten() {
            let line = diagnostic["line"].as_u64().unwrap_or(1);
            let hint = diagnostic["hint"].as_str().map(|hint| format!(" ({hint})"));
            let hint = hint.unwrap_or_default();
            let message = word(&diagnostic["message"]);
            lines.push(printable(&format!("line {line}: {message}{hint}")));
        }
        let text = lines.join("\n  ");
        if status == 422 {
            return Err(ExitError::BadData(text).into());
        }
        bail!("the server answered {status}: {text}")
    }
}

/// The status in the first line of an answer.
pub fn parse_status(line: &str) -> Option<u16> {
    line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// The progress of a backfill in an answer, for people.
pub fn backfill_progress(progress: &Value) -> String {
    if progress.is_null() {
        return "deriving the result".to_owned();
    }
    format!(
        "{} of {} batches read again, {} events, {} a second",
        progress["batches"],
        progress["batches_total"],
        progress["events"],
        progress["events_per_second"].as_f64().unwrap_or(0.0) as u64,
    )
}

#[cfg(test)]
mod tests {
    use super::HttpAnswer;

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let answer = HttpAnswer::parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}");
        let answer = answer.expect("it is whole");
        assert_eq!((answer.status, &answer.body[..]), (404, &b"{}"[..]));
        for bad in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        ] {
            assert!(HttpAnswer::parse(bad).is_none(), "{bad:?}");
        }
    }
}
