//! The answers and streams of a server, as a client reads them.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

use serde_json::Value;

/// The answer to one request.
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads the answer up to the end of the connection.
    pub(super) fn read(from: &mut impl BufRead) -> Self {
        let (status, headers) = read_head(from);
        let mut body = Vec::new();
        from.read_to_end(&mut body).unwrap();
        Self {
            status,
            headers,
            body,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    /// Checks that the answer is a problem with `status`; returns its name and detail.
    pub fn problem(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        let body = self.json();
        assert_eq!(body["status"], status);
        let kind = body["type"]
            .as_str()
            .unwrap()
            .strip_prefix("urn:weir:problem:");
        (
            kind.unwrap().into(),
            body["detail"].as_str().unwrap().into(),
        )
    }
}

fn read_head(from: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let status = lines
        .first()
        .expect("an answer")
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines[1..].iter().map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_lowercase(), value.trim().to_owned())
    });
    (status, headers.collect())
}

/// A server-sent event.
#[derive(Debug, PartialEq)]
pub struct SseEvent {
    /// A gap has none.
    pub id: Option<String>,
    pub kind: String,
    pub data: Value,
}

/// An open stream with chunked transfer encoding.
pub struct Stream {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    from: BufReader<TcpStream>,
    text: Vec<u8>,
}

impl Stream {
    pub(super) fn open(socket: TcpStream) -> Self {
        let mut from = BufReader::new(socket);
        let (status, headers) = read_head(&mut from);
        Self {
            status,
            headers,
            from,
            text: Vec::new(),
        }
    }

    /// Reads the text up to `end`; `None` at the regular end of the stream.
    fn until(&mut self, end: &str) -> Option<String> {
        loop {
            let mut places = self.text.windows(end.len());
            if let Some(at) = places.position(|place| place == end.as_bytes()) {
                let text = self.text.drain(..at + end.len()).collect();
                return Some(String::from_utf8(text).unwrap());
            }
            if !self.read_chunk() {
                return None;
            }
        }
    }

    /// Reads a chunk; `false` at the end.
    fn read_chunk(&mut self) -> bool {
        let mut size = String::new();
        self.from.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim_end(), 16).expect("a chunk");
        let mut chunk = vec![0; size + 2];
        self.from.read_exact(&mut chunk).unwrap();
        self.text.extend(&chunk[..size]);
        size > 0
    }

    /// Reads up to the regular end of the stream.
    pub fn rest(mut self) -> String {
        while self.until("\0").is_some() {}
        String::from_utf8(self.text).unwrap()
    }

    /// Reads a block of server-sent events, unparsed.
    pub fn block(&mut self) -> Option<String> {
        self.until("\n\n")
    }

    /// Reads the next event and skips heartbeats.
    pub fn event(&mut self) -> Option<SseEvent> {
        loop {
            let block = self.block()?;
            let field = |name: &str| {
                let mut lines = block.lines();
                lines.find_map(|line| line.strip_prefix(name).map(|v| v.trim().to_owned()))
            };
            if let (Some(kind), Some(data)) = (field("event:"), field("data:")) {
                return Some(SseEvent {
                    id: field("id:"),
                    kind,
                    data: serde_json::from_str(&data).unwrap(),
                });
            }
        }
    }

    /// Reads the next FlatBuffers frame with its length and skips heartbeats.
    pub fn frame(&mut self) -> Vec<u8> {
        loop {
            let length = self.bytes(4);
            let frame_bytes = u32::from_le_bytes(*length.first_chunk().unwrap()) as usize;
            if frame_bytes > 0 {
                return [length, self.bytes(frame_bytes)].concat();
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.text.len() < count {
            assert!(self.read_chunk(), "the stream has ended");
        }
        self.text.drain(..count).collect()
    }

    /// Reads the next NDJSON object and skips heartbeats.
    pub fn object(&mut self) -> Option<Value> {
        loop {
            let line = self.until("\n")?;
            if !line.trim().is_empty() {
                return Some(serde_json::from_str(&line).unwrap());
            }
        }
    }
}
