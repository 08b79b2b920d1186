//! Asks a server of ours over HTTP: one request, one answer, nothing more.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::cli::Failure;

/// Largest answer that is read: an explanation with all its events takes some 16 MiB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Longest connecting, and longest silence within an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest silence of a stream, which says every fifteen seconds that it lives.
const STREAM_PATIENCE: Duration = Duration::from_secs(40);

/// What the server said.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Asks for `path` at `url` (`http://HOST:PORT`) with the token.
pub fn get(url: &str, path: &str, token: &str) -> Result<Answer> {
    ask("GET", url, path, token, &[])
}

/// Asks for something to be done.
pub fn post(url: &str, path: &str, token: &str) -> Result<Answer> {
    ask("POST", url, path, token, &[])
}

/// Asks for what comes as a stream: the connection behind the first line of the answer, and its
/// status. It is read until its other end is silent for longer than a stream may be.
pub fn open(url: &str, path: &str, token: &str) -> Result<(TcpStream, u16)> {
    let mut stream = begin("GET", url, path, token, &[])?;
    stream.set_read_timeout(Some(STREAM_PATIENCE))?;
    let mut line = Vec::new();
    // Byte by byte, so that nothing behind it is taken.
    while !line.ends_with(b"\r\n") && line.len() < 256 {
        let mut byte = [0];
        stream
            .read_exact(&mut byte)
            .with_context(|| format!("cannot read the answer of {url}"))?;
        line.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&line);
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let status =
        status.ok_or_else(|| anyhow!("{url} answered what is not HTTP as Weir speaks it"))?;
    Ok((stream, status))
}

/// Asks with a body.
pub fn ask(method: &str, url: &str, path: &str, token: &str, body: &[u8]) -> Result<Answer> {
    let stream = begin(method, url, path, token, body)?;
    let mut bytes = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read the answer of {url}"))?;
    parse(&bytes).ok_or_else(|| anyhow!("{url} answered what is not HTTP as Weir speaks it"))
}

/// Connects, and sends the request.
fn begin(method: &str, url: &str, path: &str, token: &str, body: &[u8]) -> Result<TcpStream> {
    let host = url
        .strip_prefix("http://")
        .map(|host| host.trim_end_matches('/'));
    let host = host.filter(|host| !host.is_empty() && !host.contains(['/', ' ', '\r', '\n']));
    let host = host.ok_or_else(|| {
        Failure::Usage(format!(
            "`{url}` is no address of a server; write `http://127.0.0.1:8514`"
        ))
    })?;
    let mut stream = connect(host).map_err(|error| {
        Failure::Unreachable(format!(
            "no server answers at {url} ({error}); it must run: start it with `weir`, \
             or name another with --url"
        ))
    })?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Accept: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.write_all(body))
        .with_context(|| format!("cannot ask {url}"))?;
    Ok(stream)
}

fn connect(host: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads an answer whose head says how long its body is.
pub fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()?
        .strip_prefix("HTTP/1.1 ")?
        .get(..3)?
        .parse()
        .ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    })?;
    let start = end.checked_add(4)?;
    let body = bytes.get(start..start.checked_add(length)?)?.to_vec();
    Some(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let answer = parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}").expect("read");
        assert_eq!((answer.status, &answer.body[..]), (404, &b"{}"[..]));
        for bad in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        ] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }
}
