//! Plain sockets to a server: HTTP requests from any address of this machine, lines over TCP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// A request over HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'r> {
    pub method: &'r str,
    pub path: &'r str,
    pub token: &'r str,
    /// Further headers, each with its line end.
    pub headers: &'r str,
    pub body: &'r [u8],
}

/// Sends a request and reads the answer to its end, within `limit`.
pub fn send(to: SocketAddr, request: Request<'_>, limit: Duration) -> Result<Answer> {
    let stream = TcpStream::connect_timeout(&to, limit).context("could not connect")?;
    exchange(stream, to, request, limit)
}

/// Sends a request over a connection.
pub fn exchange(
    mut stream: TcpStream,
    to: SocketAddr,
    request: Request<'_>,
    limit: Duration,
) -> Result<Answer> {
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let Request {
        method,
        path,
        token,
        headers,
        body,
    } = request;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {token}\r\n{headers}\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut bytes = Vec::new();
    let began = Instant::now();
    let mut part = [0; 16 << 10];
    loop {
        match stream.read(&mut part)? {
            0 => break,
            read => bytes.extend_from_slice(part.get(..read).unwrap_or_default()),
        }
        if began.elapsed() > limit {
            bail!("no whole answer within {} s", limit.as_secs());
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer {
        status: status.context("no status")?,
        body: body.trim().to_owned(),
    })
}

/// Connects from an address of this machine: 127.0.1.1 is another peer than 127.0.0.1.
///
/// The library binds no client sockets, so a helper process of the system does it.
pub fn hold_connections(
    from: &[Ipv4Addr],
    each: usize,
    to: SocketAddr,
    say: &str,
) -> Result<Holder> {
    let script = include_str!("hold.py");
    let from: Vec<String> = from.iter().map(ToString::to_string).collect();
    let mut child = Command::new("python3")
        .args(["-c", script])
        .args([
            from.join(","),
            each.to_string(),
            to.ip().to_string(),
            to.port().to_string(),
        ])
        .arg(say)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("python3 is needed to connect from several addresses")?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("it is piped")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    let held = line.trim().parse().unwrap_or(0);
    Ok(Holder { child, held })
}

/// A process that holds connections until it is dropped.
#[derive(Debug)]
pub struct Holder {
    child: std::process::Child,
    /// Connections that were accepted.
    pub held: usize,
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends one line over TCP from an address, and reports whether the server took it.
pub fn line_from(from: Ipv4Addr, to: SocketAddr, lines: &str) -> Result<bool> {
    let script = "import socket,sys\n\
        s=socket.socket();s.settimeout(5);s.bind((sys.argv[1],0))\n\
        s.connect((sys.argv[2],int(sys.argv[3])));s.sendall(sys.stdin.buffer.read())\n\
        s.shutdown(socket.SHUT_WR)\n\
        try: ok = s.recv(1)==b''\n\
        except OSError: ok = False\n\
        sys.exit(0 if ok else 1)\n";
    let mut child = Command::new("python3")
        .args([
            "-c",
            script,
            &from.to_string(),
            &to.ip().to_string(),
            &to.port().to_string(),
        ])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child
        .stdin
        .take()
        .context("it is piped")?
        .write_all(lines.as_bytes())?;
    Ok(child.wait()?.success())
}

/// Runs a command and returns its output, or nothing after `limit`.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Result<Option<Output>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("it is piped")?;
    // A command may end before it has read everything.
    let _ = stdin.write_all(input);
    drop(stdin);
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Some(child.wait_with_output()?))
}
