//! A minimal HTTP client: GET with a token, for finite and endless bodies.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Maximum size of a header.
const HEADER_BYTES_MAX: u64 = 64 << 10;
/// Maximum size of a finite body.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// Sends a GET request and returns the body as a stream. A silence of `timeout` is an error.
pub fn open(
    server: SocketAddr,
    path: &str,
    token: &str,
    timeout: Option<Duration>,
) -> Result<impl BufRead + Send + use<>> {
    let mut socket = TcpStream::connect(server).context("could not connect to the server")?;
    socket.set_read_timeout(timeout)?;
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {token}\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    )?;
    let mut reader = BufReader::new(socket);
    let mut header = String::new();
    loop {
        let before = header.len();
        reader
            .by_ref()
            .take(HEADER_BYTES_MAX)
            .read_line(&mut header)?;
        let line = header.get(before..).unwrap_or("");
        ensure!(
            !line.is_empty(),
            "the server closed the connection within its header"
        );
        if line.trim_end().is_empty() {
            break;
        }
        ensure!(
            (header.len() as u64) < HEADER_BYTES_MAX,
            "the header is too long"
        );
    }
    let header = header.to_ascii_lowercase();
    let status = header.lines().next().unwrap_or("");
    if status.split(' ').nth(1) != Some("200") {
        bail!("{path} was answered `{}`", status.trim_end());
    }
    let chunked = header.contains("\r\ntransfer-encoding: chunked\r\n");
    Ok(BufReader::new(Body {
        reader,
        chunked,
        left: 0,
        ended: false,
    }))
}

/// Sends a GET request and returns the whole body.
pub fn get(server: SocketAddr, path: &str, token: &str) -> Result<String> {
    let mut body = String::new();
    open(server, path, token, Some(Duration::from_secs(10)))?
        .take(BODY_BYTES_MAX)
        .read_to_string(&mut body)
        .with_context(|| format!("could not read the answer to {path}"))?;
    Ok(body)
}

/// Reads a body and decodes its transfer encoding.
struct Body<R> {
    reader: R,
    chunked: bool,
    /// Remaining bytes of the chunk.
    left: u64,
    ended: bool,
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.chunked {
            return self.reader.read(buffer);
        }
        if self.left == 0 && !self.ended {
            self.left = self.chunk_size()?;
            self.ended = self.left == 0;
        }
        if self.ended {
            return Ok(0);
        }
        let read = self.reader.by_ref().take(self.left).read(buffer)?;
        self.left -= read as u64;
        // The body also ends if the stream ends within a chunk.
        self.ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

impl<R: BufRead> Body<R> {
    /// Reads the size line of a chunk, after the end of the previous chunk.
    fn chunk_size(&mut self) -> io::Result<u64> {
        for _ in 0..2 {
            let mut line = String::new();
            self.reader.by_ref().take(1_024).read_line(&mut line)?;
            let size = line.split(';').next().unwrap_or("").trim();
            if !size.is_empty() {
                return u64::from_str_radix(size, 16).map_err(io::Error::other);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_with_and_without_chunks() {
        for (chunked, bytes, expected) in [
            (false, "plain\n", "plain\n"),
            (
                true,
                "5\r\nhello\r\n3;x=y\r\n\r\n!\r\n0\r\n\r\n",
                "hello\r\n!",
            ),
            (true, "0\r\n\r\n", ""),
            (true, "ff\r\ncut", "cut"),
        ] {
            let reader = bytes.as_bytes();
            let mut body = Body {
                reader,
                chunked,
                left: 0,
                ended: false,
            };
            let mut text = String::new();
            body.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
    }
}
