//! Reads the stream of a tap, chunk by chunk, and prints its rows.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail};

use crate::console;
use crate::exit::ExitError;
use crate::text::{printable, printable_json};
use crate::verbs::client::ApiClient;

/// Longest head of an answer, and longest line that states the length of a chunk.
const HEAD_BYTES_MAX: u64 = 16 << 10;

/// Longest chunk that is read; the server sends some 256 KiB and one batch more.
const CHUNK_BYTES_MAX: u64 = 64 << 20;

/// Requests `path`, and prints rows until the server ends the stream.
pub fn follow(client: &ApiClient, path: &str) -> Result<()> {
    let (stream, status) = client.open_stream(path)?;
    let mut stream = BufReader::new(stream);
    let chunked = read_head(&mut stream)?;
    if status != 200 {
        let mut body = String::new();
        // The body is only printed, so a part of it is enough.
        let _ = stream.take(HEAD_BYTES_MAX).read_to_string(&mut body);
        return Err(match status {
            503 => ExitError::Unreachable(printable(&body)),
            400 => ExitError::Usage(printable(&body)),
            status => bail!("the server answered {status}: {}", printable(&body)),
        }
        .into());
    }
    if !chunked {
        bail!("the server sent an answer that is not HTTP as Weir speaks it");
    }
    while !console::is_out_closed()
        && let Some(chunk) = read_chunk(&mut stream).context("the stream broke")?
    {
        print_rows(&String::from_utf8_lossy(&chunk));
    }
    Ok(())
}

/// Reads the header fields. Returns whether the body is chunked.
pub(super) fn read_head(stream: &mut impl BufRead) -> Result<bool> {
    let mut chunked = false;
    let mut head = stream.by_ref().take(HEAD_BYTES_MAX);
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            bail!("the server's answer ends in its head");
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Ok(chunked);
        }
        chunked |= line == "transfer-encoding: chunked";
    }
}

/// Reads the next chunk; `None` at the end of the body.
pub(super) fn read_chunk(stream: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let bad = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut line = String::new();
    stream.by_ref().take(HEAD_BYTES_MAX).read_line(&mut line)?;
    let length = u64::from_str_radix(line.trim_end(), 16).map_err(|_| bad())?;
    if length == 0 {
        return Ok(None);
    }
    if length > CHUNK_BYTES_MAX {
        return Err(bad());
    }
    let mut chunk = Vec::new();
    stream.by_ref().take(length).read_to_end(&mut chunk)?;
    let mut end = [0; 2];
    stream.read_exact(&mut end)?;
    match chunk.len() as u64 == length && end == *b"\r\n" {
        true => Ok(Some(chunk)),
        false => Err(bad()),
    }
}

/// Prints rows at once, and skips blank lines, which are heartbeats.
pub fn print_rows(text: &str) {
    let rows = text.lines().filter(|line| !line.is_empty());
    let mut out = String::with_capacity(text.len() + 1);
    for row in rows {
        out.push_str(row);
        out.push('\n');
    }
    console::write_out(printable_json(&out).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_read_whole_or_not_at_all() {
        let read = |bytes: &[u8]| {
            let mut stream = bytes;
            let mut all = Vec::new();
            loop {
                match read_chunk(&mut stream) {
                    Ok(Some(chunk)) => all.extend(chunk),
                    Ok(None) => return Some(all),
                    Err(_) => return None,
                }
            }
        };
        assert_eq!(
            read(b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            Some(b"abc0123456789".to_vec())
        );
        for bad in [
            &b""[..],
            b"x\r\n",
            b"3\r\nab",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"ffffffffffffffff\r\nabc\r\n",
            b"ffffffffffffffffff\r\nabc\r\n",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
