//! A small HTTP client for tests: whole replies, and streams line by line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

pub struct Request<'r> {
    method: &'r str,
    path: &'r str,
    headers: Vec<(String, String)>,
    body: &'r [u8],
}

pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
}

impl<'r> Request<'r> {
    pub fn new(method: &'r str, path: &'r str) -> Self {
        Self {
            method,
            path,
            headers: Vec::new(),
            body: &[],
        }
    }

    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: &'r [u8]) -> Self {
        self.body = body;
        self
    }

    pub fn send(self, to: SocketAddr) -> io::Result<Reply> {
        let (status, mut rest) = self.open(to)?;
        let mut body = Vec::new();
        rest.read_to_end(&mut body)?;
        Ok(Reply { status, body })
    }

    /// Sends the request and returns the status and the body as a stream.
    pub fn open(self, to: SocketAddr) -> io::Result<(u16, BufReader<Body>)> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(super::LIMIT))?;
        let mut head = format!("{} {} HTTP/1.1\r\nHost: weir\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = self.body.len();
        head.push_str(&format!(
            "Content-Length: {length}\r\nConnection: close\r\n\r\n"
        ));
        stream.write_all(head.as_bytes())?;
        // A server that refuses a body need not read it; only its reply counts.
        let _ = stream.write_all(self.body);
        let mut from = BufReader::new(stream);
        let mut line = String::new();
        from.read_line(&mut line)?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "no HTTP reply");
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(bad)?;
        let mut head = String::new();
        loop {
            line.clear();
            from.read_line(&mut line)?;
            if line.trim_end().is_empty() {
                break;
            }
            head.push_str(&line.to_ascii_lowercase());
        }
        let chunked = head.contains("transfer-encoding: chunked");
        let left = if chunked { 0 } else { u64::MAX };
        let body = Body {
            head,
            from,
            chunked,
            left,
        };
        Ok((status, BufReader::new(body)))
    }
}

/// A response body, decoded if it is chunked.
pub struct Body {
    /// Response headers in lower case.
    head: String,
    from: BufReader<TcpStream>,
    chunked: bool,
    /// Bytes that remain of the current chunk.
    left: u64,
}

impl Body {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(header, _)| *header == name)
            .map(|(_, value)| value)
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            while line.trim_end().is_empty() {
                line.clear();
                if self.from.read_line(&mut line)? == 0 {
                    return Ok(0);
                }
            }
            let length = u64::from_str_radix(line.trim_end(), 16);
            self.left = length.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, line))?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let length = self.from.by_ref().take(self.left).read(into)?;
        if self.chunked {
            self.left -= length as u64;
        }
        Ok(length)
    }
}

/// One message of a stream of server-sent events.
#[derive(Debug)]
pub struct Message {
    pub id: String,
    pub event: String,
    pub data: Value,
}

/// Reads the next message with data and skips heartbeats and greetings. `None` at the end.
pub fn next_message(stream: &mut impl BufRead) -> Option<Message> {
    let (mut id, mut event, mut data) = (String::new(), String::new(), None);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some(("id", text)) => text.clone_into(&mut id),
            Some(("event", text)) => text.clone_into(&mut event),
            Some(("data", text)) => data = serde_json::from_str(text).ok(),
            _ => {}
        }
        if line == "\n"
            && let Some(data) = data.take()
        {
            return Some(Message { id, event, data });
        }
    }
}
