//! Starts real servers for the end-to-end tests, talks to them over plain sockets, ends them by pid.

// Each test binary compiles this file and uses a part of it.
#![allow(dead_code)]

pub mod balance;
pub mod http;
pub mod log;
pub mod outside;
pub mod pki;

use std::ffi::OsStr;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_schema::{Batch, BatchSeq};
use weir_store::journal::{Journal, JournalOptions, JournalReader};

use http::{Reply, Request};
use log::Log;

/// Nothing here takes so long unless it hangs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A configuration with every door on a port that is free.
pub fn config(more: &str) -> String {
    config_with_agent(0, more)
}

/// The same with the agents' door on a port that outlives a restart.
pub fn config_with_agent(port: u16, more: &str) -> String {
    format!(
        "{more}\n[listen]\nsyslog_udp = \"127.0.0.1:0\"\nsyslog_tcp = \"127.0.0.1:0\"\n\
         agent = \"127.0.0.1:{port}\"\nhttp = \"127.0.0.1:0\"\n"
    )
}

/// As [`config`], with a door of RELP and, within `tls`, what stands in that table.
pub fn config_with_streams(relp: u16, tls: &str, more: &str) -> String {
    let tls_door = match tls {
        "" => "",
        _ => "syslog_tls = \"127.0.0.1:0\"\n",
    };
    let listen = format!("{tls_door}relp = \"127.0.0.1:{relp}\"\n");
    format!("{}{listen}[tls]\n{tls}", config(more))
}

/// A port outside of the range that the kernel gives to others, for it must be free again later.
pub fn lasting_port() -> u16 {
    use std::hash::{BuildHasher, Hasher};
    until("a free port", || {
        let random = std::hash::RandomState::new().build_hasher().finish();
        let port = 10_240 + u16::try_from(random % 20_000).ok()?;
        let free = std::net::TcpListener::bind(("127.0.0.1", port));
        free.ok().map(|_| port)
    })
}

/// A server, and all that it said.
pub struct Weir {
    child: Child,
    pub data: PathBuf,
    pub stderr: Arc<Log>,
    pub stdout: Arc<Log>,
    pub udp: SocketAddr,
    pub tcp: SocketAddr,
    pub tls: SocketAddr,
    pub relp: SocketAddr,
    pub agent: SocketAddr,
    pub http: SocketAddr,
    pub token: String,
}

/// A server that ended before it listened.
#[derive(Debug)]
pub struct NotStarted {
    pub code: Option<i32>,
    pub stderr: String,
}

impl Weir {
    /// Starts a server on the data folder `data`, which must listen soon.
    pub fn start(data: &Path, config: &str) -> Self {
        match Self::try_start(data, config) {
            Ok(weir) => weir,
            Err(not) => panic!("the server ended with {:?}:\n{}", not.code, not.stderr),
        }
    }

    /// The same, with more in its environment.
    pub fn start_with(data: &Path, config: &str, environment: &[(&str, &OsStr)]) -> Self {
        match Self::try_start_with(data, config, environment) {
            Ok(weir) => weir,
            Err(not) => panic!("the server ended with {:?}:\n{}", not.code, not.stderr),
        }
    }

    /// Starts a server, or tells why it would not.
    pub fn try_start(data: &Path, config: &str) -> Result<Self, NotStarted> {
        Self::try_start_with(data, config, &[])
    }

    fn try_start_with(
        data: &Path,
        config: &str,
        environment: &[(&str, &OsStr)],
    ) -> Result<Self, NotStarted> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), config).expect("the configuration can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .arg("--config")
            .arg(file.path())
            .arg("--data-dir")
            .arg(data)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let stdout = Log::of(child.stdout.take().expect("it is piped"));
        let stderr = Log::of(child.stderr.take().expect("it is piped"));
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // From here on the child ends with this value.
        let mut weir = Self {
            child,
            data: data.to_owned(),
            stderr,
            stdout,
            udp: nowhere,
            tcp: nowhere,
            tls: nowhere,
            relp: nowhere,
            agent: nowhere,
            http: nowhere,
            token: String::new(),
        };
        let Some(line) = weir.stderr.wait_for("\"listening\"", LIMIT) else {
            assert!(
                weir.stderr.ended(),
                "it neither listens nor ends: {}",
                weir.stderr.text()
            );
            let status = weir.child.wait().expect("its status");
            let stderr = weir.stderr.text();
            assert!(!stderr.contains("panicked"), "{stderr}");
            return Err(NotStarted {
                code: status.code(),
                stderr,
            });
        };
        let line: serde_json::Value = serde_json::from_str(&line).expect("its log is JSON");
        let address = |door: &str| {
            let text = line["fields"][door].as_str().unwrap_or_default();
            let text = text.trim_start_matches("Some(").trim_end_matches(')');
            text.parse().unwrap_or(nowhere)
        };
        (weir.udp, weir.tcp) = (address("udp"), address("tcp"));
        (weir.tls, weir.relp) = (address("tls"), address("relp"));
        (weir.agent, weir.http) = (address("agent"), address("http"));
        let token = std::fs::read_to_string(data.join("token")).expect("the first start makes it");
        weir.token = token.trim().to_owned();
        Ok(weir)
    }

    /// As a power cut of the process.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("its status");
        self.assert_calm();
    }

    /// Tells it to stop; the code with which it did.
    pub fn end(mut self) -> Option<i32> {
        let code = self.terminate().code();
        self.assert_calm();
        code
    }

    /// Waits until it has ended by itself; the code with which it did.
    pub fn await_end(mut self) -> Option<i32> {
        let status = wait(&mut self.child);
        self.assert_calm();
        status.and_then(|status| status.code())
    }

    /// Ends it as an operator would; all that was accepted is journaled and judged then, and what
    /// came is accounted for.
    pub fn stop(mut self) {
        self.assert_balanced();
        let status = self.terminate();
        assert!(
            status.success(),
            "it ended with {status}: {}",
            self.stderr.text()
        );
        self.assert_calm();
    }

    /// Waits until all that came has gone its way: not an event is missing then.
    pub fn assert_balanced(&self) {
        let mut text = String::new();
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            text = self.get("/metrics").text();
            if balance::imbalances(&text).is_empty() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        balance::assert_balanced(&text);
    }

    fn terminate(&mut self) -> ExitStatus {
        terminate(&self.child);
        let status = wait(&mut self.child);
        status.unwrap_or_else(|| panic!("it does not end: {}", self.stderr.text()))
    }

    fn assert_calm(&self) {
        // What was said last is still on its way through the pipe.
        self.stderr.wait_for_end(LIMIT);
        let text = self.stderr.text();
        assert!(!text.contains("panicked"), "{text}");
    }

    /// A request with the token.
    pub fn send(&self, request: Request<'_>) -> Reply {
        let reply = request.token(&self.token).send(self.http);
        reply.unwrap_or_else(|error| panic!("no answer: {error}\n{}", self.stderr.text()))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send(Request::new("GET", path))
    }

    /// All samples of a metric whose labels contain `labels`, added up.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = self.get("/metrics").text();
        let samples = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']) && rest.contains(labels))
        });
        let value = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok());
        samples.filter_map(value).sum()
    }

    /// Waits until the metric has reached `least`.
    pub fn await_metric(&self, name: &str, labels: &str, least: u64) {
        let what = format!("{name}{{{labels}}} >= {least}");
        until(&what, || {
            (self.metric(name, labels) >= least as f64).then_some(())
        });
    }

    /// Sends bytes over one connection to the syslog port, and waits until the server has them all.
    pub fn send_tcp(&self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.tcp).expect("the port is open");
        stream.write_all(bytes).expect("it is read");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("it is open");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        // The server ends the connection once it has handed everything over.
        let _ = std::io::Read::read(&mut stream, &mut [0]);
    }

    /// What must hold whatever was done to the server: it answers, and takes a good line in.
    pub fn assert_well(&self) {
        assert_eq!(
            Request::new("GET", "/healthz")
                .send(self.http)
                .expect("it lives")
                .status,
            200
        );
        let before = self.metric("weir_events_journaled_total", "") as u64;
        self.send_tcp(b"<13>1 2026-01-01T00:00:00Z h app - - - a good line\n");
        self.await_metric("weir_events_journaled_total", "", before + 1);
        let said = self.stderr.text();
        assert!(!said.contains("panicked"), "{said}");
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // It has ended already where a test got to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// SIGTERM, which only a process can send without `unsafe`.
pub fn terminate(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.expect("kill can be run").success());
}

/// The status of a child that is about to end; `None` if it does not.
pub fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("its status") {
            return Some(status);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

/// Between two looks at another process; no test depends on how long it is.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until `look` finds something: other processes tell us no sooner.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(LIMIT, what, look)
}

pub fn until_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Says so, past the capture of the test runner, where a test cannot be run here.
pub fn skipped(test: &str, absent: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {absent}");
}

/// The journal of a server that has ended.
pub fn journal(data: &Path) -> JournalReader {
    let options = JournalOptions {
        fsync: false,
        ..JournalOptions::default()
    };
    let (writer, report) = Journal::open(&data.join("journal"), options).expect("it can be read");
    assert!(report.damage.is_empty(), "{report:?}");
    writer.reader()
}

/// The batches of the journal of a server that has ended.
pub fn batches(data: &Path) -> Vec<(BatchSeq, Arc<Batch>)> {
    let batches = journal(data).batches();
    batches
        .map(|batch| batch.expect("it can be read"))
        .collect()
}

/// The frames of a transport's batches, in order.
pub fn frames(data: &Path, transport: weir_schema::Transport) -> Vec<Vec<u8>> {
    let batches = batches(data).into_iter();
    let batches = batches.filter(|(_, batch)| batch.transport == transport);
    batches
        .flat_map(|(_, batch)| {
            let frames = batch.frames.iter().map(<[u8]>::to_vec);
            frames.collect::<Vec<_>>()
        })
        .collect()
}
