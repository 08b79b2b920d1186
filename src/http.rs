//! Asks a server of ours over HTTP or HTTPS, for all verbs: one request, one answer, nothing more.

mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use url::{Position, Url};

use crate::cli::Failure;
use crate::observe::shown;
use crate::token;

/// Largest answer that is read: an explanation with all its events takes some 16 MiB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Longest connecting, and longest silence within an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest silence of a stream, which says every fifteen seconds that it lives.
const STREAM_PATIENCE: Duration = Duration::from_secs(40);

/// A running server, and how to know that it is it.
#[derive(Clone, Debug, clap::Args)]
pub struct PlaceArgs {
    /// Address of the server; `https://` where it serves HTTP within TLS.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "WEIR_URL",
        default_value = "http://127.0.0.1:8514"
    )]
    url: String,
    /// Over HTTPS: believe a server whose certificate is of an authority in this PEM file
    /// [default: the machine's authorities].
    #[arg(long, global = true, value_name = "FILE", env = "WEIR_CA")]
    ca: Option<PathBuf>,
}

/// A running server that wants to see its token.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The server's data folder, for its token.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "WEIR__DATA_DIR",
        default_value = "weir-data"
    )]
    data_dir: PathBuf,
}

/// A server to ask.
pub struct Server {
    url: Url,
    /// How HTTPS is spoken with it.
    tls: Option<Arc<ClientConfig>>,
    token: String,
}

/// What the server said.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl PlaceArgs {
    /// The server, for what it answers to anyone.
    pub fn server(&self) -> Result<Server> {
        let url = address(&self.url)?;
        let tls = match url.scheme() {
            "https" => Some(tls::client(self.ca.as_deref())?),
            _ => None,
        };
        Ok(Server {
            url,
            tls,
            token: String::new(),
        })
    }
}

impl ServerArgs {
    /// The server, with its token.
    pub fn server(&self) -> Result<Server> {
        let token = token::read(&self.data_dir.join("token"))
            .context("the server's token is needed; name its data folder with --data-dir")?;
        Ok(Server {
            token,
            ..self.place.server()?
        })
    }
}

impl Server {
    /// Asks for `path`.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.ask("GET", path, &[])
    }

    /// Asks for something to be done.
    pub fn post(&self, path: &str) -> Result<Answer> {
        self.ask("POST", path, &[])
    }

    /// Asks with a body.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        let stream = self.begin(method, path, body)?;
        let mut bytes = Vec::new();
        let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        match (parse(&bytes), read) {
            // Its length is known: that the end of TLS was not said changes nothing.
            (Some(answer), _) => accepted(answer.status).map(|()| answer),
            (None, Err(error)) => Err(self.lost(&error)),
            (None, Ok(_)) => Err(self.no_answer(&bytes)),
        }
    }

    /// Asks for what comes as a stream: the connection behind the first line of the answer, and its
    /// status. It is read until its other end is silent for longer than a stream may be.
    pub fn open(&self, path: &str) -> Result<(Stream, u16)> {
        let mut stream = self.begin("GET", path, &[])?;
        let quiet = stream.socket().set_read_timeout(Some(STREAM_PATIENCE));
        quiet.map_err(|error| self.lost(&error))?;
        let mut line = Vec::new();
        // Byte by byte, so that nothing behind it is taken.
        while !line.ends_with(b"\r\n") && line.len() < 256 {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => line.push(byte[0]),
                Err(error) => return Err(self.lost(&error)),
            }
        }
        let status = std::str::from_utf8(&line).ok().and_then(status);
        let status = status.ok_or_else(|| self.no_answer(&line))?;
        accepted(status)?;
        Ok((stream, status))
    }

    /// Connects, and sends the request.
    fn begin(&self, method: &str, path: &str, body: &[u8]) -> Result<Stream> {
        let url = &self.url[..Position::BeforePath];
        let socket = self.connect().map_err(|error| {
            Failure::Unreachable(format!(
                "no server answers at {url} ({error}); it must run: start it with `weir`, \
                 or name another with --url"
            ))
        })?;
        let mut stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(config) => Stream::Tls(Box::new(tls::shake(config, &self.url, socket)?)),
        };
        let host = &self.url[Position::BeforeHost..Position::AfterPort];
        let token = &self.token;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Accept: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body))
            .and_then(|()| stream.flush())
            .map_err(|error| self.lost(&error))?;
        Ok(stream)
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in self.url.socket_addrs(|| None)? {
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

    fn lost(&self, error: &std::io::Error) -> anyhow::Error {
        let url = &self.url[..Position::BeforePath];
        Failure::Unreachable(format!("{url} does not answer ({error}){}", self.hint())).into()
    }

    /// What came is no answer; one of TLS begins with its kind of record.
    fn no_answer(&self, bytes: &[u8]) -> anyhow::Error {
        let url = &self.url[..Position::BeforePath];
        let told = match bytes.first() {
            Some(&ALERT) if self.tls.is_none() => {
                format!("{url} speaks TLS; write `https://`, and name its authority with --ca")
            }
            Some(_) => format!("{url} answered what is not HTTP as Weir speaks it"),
            None => format!(
                "{url} ended the connection without an answer{}",
                self.hint()
            ),
        };
        Failure::Unreachable(told).into()
    }

    /// Where TLS is spoken, a plain question is answered by silence or an end.
    const fn hint(&self) -> &'static str {
        match self.tls {
            None => "; if it speaks TLS, write `https://`",
            Some(_) => "",
        }
    }
}

/// First byte of what TLS says to one who does not speak it.
const ALERT: u8 = 0x15;

/// A connection to a server, plain or within TLS.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => &session.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(session) => session.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(session) => session.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(session) => session.flush(),
        }
    }
}

/// The address of a server, which has no path of its own.
fn address(text: &str) -> Result<Url> {
    let fits = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url[Position::BeforePath..]
                .trim_start_matches('/')
                .is_empty()
    };
    let url = Url::parse(text).ok().filter(fits);
    Ok(url.ok_or_else(|| {
        Failure::Usage(format!(
            "`{}` is no address of a server; write `http://127.0.0.1:8514`, or `https://HOST:PORT`",
            shown(text)
        ))
    })?)
}

/// Whether the token was right, which every verb says alike.
fn accepted(status: u16) -> Result<()> {
    if status != 401 {
        return Ok(());
    }
    let told = "the server does not accept the token; is the data folder its own?";
    Err(Failure::Denied(told.to_owned()).into())
}

/// Text as a part of a path or a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let bytes = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    bytes.collect()
}

/// The status that the first line of an answer says.
fn status(line: &str) -> Option<u16> {
    line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Reads an answer whose head says how long its body is.
pub fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = status(lines.next()?)?;
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
    use super::{address, encoded, parse};

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

    #[test]
    fn a_server_is_named_by_scheme_host_and_port_alone() {
        for good in [
            "http://127.0.0.1:8514",
            "https://[::1]:8514/",
            "https://logs",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "logs:8514",
            "ftp://logs",
            "http://",
            "http://a:b@logs",
            "http://logs/api",
            "http://logs?x",
            "http://logs:99999",
            "http://lo gs",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_means_something_in_a_query_is_escaped() {
        assert_eq!(encoded("a b&c=ü%"), "a%20b%26c%3D%C3%BC%25");
    }
}
