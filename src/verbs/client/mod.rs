//! A small HTTP client for verbs that ask a server: one request and one answer per connection.

mod answer;
mod tls;

pub use answer::{HttpAnswer, backfill_progress};

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use url::{Position, Url};

use crate::exit::ExitError;
use crate::server::token;
use crate::text::printable;
use crate::verbs::overrides::ServerDefaults;
use answer::parse_status;

/// Largest answer that is read: an explanation with all its events has some 16 MiB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Longest connection attempt, and longest silence within an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest silence of a stream, on which the server sends a heartbeat every fifteen seconds.
const STREAM_TIMEOUT: Duration = Duration::from_secs(40);

/// First byte of a TLS alert, which a TLS server sends in answer to plain text.
const TLS_ALERT: u8 = 0x15;

/// Arguments that name a running server, and how to verify it.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerUrlArgs {
    /// Address of the server; `https://` if it serves HTTP over TLS
    /// [default: `listen.http` of the configuration, http://127.0.0.1:8514].
    #[arg(long, global = true, value_name = "URL", env = "WEIR_URL")]
    url: Option<String>,
    /// Over HTTPS: trust a server whose certificate is of an authority in this PEM file
    /// [default: the machine's authorities].
    #[arg(long, global = true, value_name = "FILE", env = "WEIR_CA")]
    ca: Option<PathBuf>,
}

/// Arguments that name a running server that requires its token.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerAccessArgs {
    #[command(flatten)]
    url: ServerUrlArgs,
    /// The server's data folder, for its token
    /// [default: `data_dir` of the configuration, weir-data].
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// A client of one server.
pub struct ApiClient {
    url: Url,
    /// `None` for plain HTTP.
    tls: Option<Arc<ClientConfig>>,
    token: String,
}

impl ServerUrlArgs {
    /// A client without a token, for endpoints that need none.
    pub fn client(&self, defaults: &ServerDefaults) -> Result<ApiClient> {
        let url = server_url(self.url.as_ref().unwrap_or(&defaults.url))?;
        let tls = match url.scheme() {
            "https" => Some(tls::client_config(self.ca.as_deref())?),
            _ => None,
        };
        Ok(ApiClient {
            url,
            tls,
            token: String::new(),
        })
    }
}

impl ServerAccessArgs {
    /// A client with the server's token.
    pub fn client(&self, defaults: &ServerDefaults) -> Result<ApiClient> {
        let data_dir = self.data_dir.as_ref().unwrap_or(&defaults.data_dir);
        let token = token::read(&data_dir.join("token"))
            .context("the server's token is needed; name its data folder with --data-dir")?;
        Ok(ApiClient {
            token,
            ..self.url.client(defaults)?
        })
    }
}

impl ApiClient {
    /// Sends GET, and reads the answer.
    pub fn get(&self, path: &str) -> Result<HttpAnswer> {
        self.request("GET", path, &[])
    }

    /// Sends POST without a body, and reads the answer.
    pub fn post(&self, path: &str) -> Result<HttpAnswer> {
        self.request("POST", path, &[])
    }

    /// Sends a request with a body, and reads the answer.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<HttpAnswer> {
        let stream = self.send(method, path, body)?;
        let mut bytes = Vec::new();
        let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        match (HttpAnswer::parse(&bytes), read) {
            // The answer states its length, so a missing end of TLS does not matter.
            (Some(answer), _) => check_token(answer.status).map(|()| answer),
            (None, Err(error)) => Err(self.lost(&error)),
            (None, Ok(_)) => Err(self.bad_answer(&bytes)),
        }
    }

    /// Sends GET for a stream. Returns the connection behind the first line, and the status.
    ///
    /// Reads from it fail once the server has been silent for longer than `STREAM_TIMEOUT`.
    pub fn open_stream(&self, path: &str) -> Result<(ClientStream, u16)> {
        let mut stream = self.send("GET", path, &[])?;
        let timeout = stream.socket().set_read_timeout(Some(STREAM_TIMEOUT));
        timeout.map_err(|error| self.lost(&error))?;
        let mut line = Vec::new();
        // Byte by byte, so that nothing after the line is consumed.
        while !line.ends_with(b"\r\n") && line.len() < 256 {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => line.push(byte[0]),
                Err(error) => return Err(self.lost(&error)),
            }
        }
        let status = std::str::from_utf8(&line).ok().and_then(parse_status);
        let status = status.ok_or_else(|| self.bad_answer(&line))?;
        check_token(status)?;
        Ok((stream, status))
    }

    /// Connects, and sends the request.
    fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<ClientStream> {
        let url = &self.url[..Position::BeforePath];
        let socket = self.connect().map_err(|error| {
            ExitError::Unreachable(format!(
                "no server answers at {url} ({error}); start one with `weir`, or name another \
                 with --url"
            ))
        })?;
        let mut stream = match &self.tls {
            None => ClientStream::Plain(socket),
            Some(config) => ClientStream::Tls(Box::new(tls::handshake(config, &self.url, socket)?)),
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
            match TcpStream::connect_timeout(&address, TIMEOUT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(TIMEOUT))?;
                    stream.set_write_timeout(Some(TIMEOUT))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn lost(&self, error: &std::io::Error) -> anyhow::Error {
        let url = &self.url[..Position::BeforePath];
        let hint = self.tls_hint();
        ExitError::Unreachable(format!("{url} does not answer ({error}){hint}")).into()
    }

    /// The error for bytes that are not an answer.
    fn bad_answer(&self, bytes: &[u8]) -> anyhow::Error {
        let url = &self.url[..Position::BeforePath];
        let message = match bytes.first() {
            Some(&TLS_ALERT) if self.tls.is_none() => {
                format!("{url} speaks TLS; write `https://`, and name its authority with --ca")
            }
            Some(_) => format!("{url} sent an answer that is not HTTP as Weir speaks it"),
            None => format!(
                "{url} ended the connection without an answer{}",
                self.tls_hint()
            ),
        };
        ExitError::Unreachable(message).into()
    }

    /// A hint for plain HTTP: a TLS server answers it with silence, or ends the connection.
    const fn tls_hint(&self) -> &'static str {
        match self.tls {
            None => "; if it speaks TLS, write `https://`",
            Some(_) => "",
        }
    }
}

/// A connection to a server, in plain text or with TLS.
pub enum ClientStream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl ClientStream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => &session.sock,
        }
    }
}

impl Read for ClientStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(session) => session.read(buffer),
        }
    }
}

impl Write for ClientStream {
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

/// Parses the address of a server, which has no path.
fn server_url(text: &str) -> Result<Url> {
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
        ExitError::Usage(format!(
            "`{}` is not the address of a server; write `http://127.0.0.1:8514`, or \
             `https://HOST:PORT`",
            printable(text)
        ))
    })?)
}

/// Fails if the server refused the token, with the same message in every verb.
fn check_token(status: u16) -> Result<()> {
    if status != 401 {
        return Ok(());
    }
    let message = "the server does not accept the token; does the data folder belong to it?";
    Err(ExitError::Denied(message.to_owned()).into())
}

/// Text, percent-encoded as a part of a path or a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let bytes = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::{encoded, server_url};

    #[test]
    fn a_server_url_has_scheme_host_and_port_only() {
        for good in [
            "http://127.0.0.1:8514",
            "https://[::1]:8514/",
            "https://logs",
        ] {
            assert!(server_url(good).is_ok(), "{good}");
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
            assert!(server_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reserved_characters_are_percent_encoded() {
        assert_eq!(encoded("a b&c=ü%"), "a%20b%26c%3D%C3%BC%25");
    }
}
