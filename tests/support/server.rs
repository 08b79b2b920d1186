//! A real server as a child process, reached over plain sockets and ended by its process id.

use std::ffi::OsStr;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Instant;

use weir_agent::{AgentClient, AgentIdentity};

use super::command::{Finished, finish, weir};
use super::http::{Reply, Request};
use super::log::Log;
use super::{LIMIT, PAUSE, balance, terminate, until, wait};

/// A running server with its addresses, its token and its output.
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

/// Address of a listener that the configuration does not have.
const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server that ended before it listened.
#[derive(Debug)]
pub struct NotStarted {
    pub code: Option<i32>,
    pub stderr: String,
}

impl Weir {
    /// Starts a server on a data folder and waits until it listens.
    pub fn start(data: &Path, config: &str) -> Self {
        match Self::try_start(data, config) {
            Ok(weir) => weir,
            Err(not) => panic!("the server ended with {:?}:\n{}", not.code, not.stderr),
        }
    }

    /// [`Weir::start`] with more variables in the environment.
    pub fn start_with(data: &Path, config: &str, environment: &[(&str, &OsStr)]) -> Self {
        match Self::try_start_with(data, config, environment) {
            Ok(weir) => weir,
            Err(not) => panic!("the server ended with {:?}:\n{}", not.code, not.stderr),
        }
    }

    /// Starts a server, or returns the reason why it ended.
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
        let mut child = weir([
            "--config".as_ref(),
            file.path(),
            "--data-dir".as_ref(),
            data,
        ])
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
        let stdout = Log::of(child.stdout.take().expect("it is piped"));
        let stderr = Log::of(child.stderr.take().expect("it is piped"));
        // Dropping this value ends the child from here on.
        let mut weir = Self {
            child,
            data: data.to_owned(),
            stderr,
            stdout,
            udp: NO_ADDRESS,
            tcp: NO_ADDRESS,
            tls: NO_ADDRESS,
            relp: NO_ADDRESS,
            agent: NO_ADDRESS,
            http: NO_ADDRESS,
            token: String::new(),
        };
        let Some(line) = weir.stderr.wait_for("\"listening\"", LIMIT) else {
            let ended = weir.stderr.ended();
            assert!(ended, "no listener, no end: {}", weir.stderr.text());
            let status = weir.child.wait().expect("its status");
            let stderr = weir.stderr.text();
            assert!(!stderr.contains("panicked"), "{stderr}");
            return Err(NotStarted {
                code: status.code(),
                stderr,
            });
        };
        weir.read_addresses(&line);
        let token = std::fs::read_to_string(data.join("token")).expect("the first start makes it");
        weir.token = token.trim().to_owned();
        Ok(weir)
    }

    /// Takes the addresses from the log line in which the server states its listeners.
    fn read_addresses(&mut self, line: &str) {
        let line: serde_json::Value = serde_json::from_str(line).expect("its log is JSON");
        let address = |listener: &str| {
            let text = line["fields"][listener].as_str().unwrap_or_default();
            let text = text.trim_start_matches("Some(").trim_end_matches(')');
            text.parse().unwrap_or(NO_ADDRESS)
        };
        (self.udp, self.tcp) = (address("udp"), address("tcp"));
        (self.tls, self.relp) = (address("tls"), address("relp"));
        (self.agent, self.http) = (address("agent"), address("http"));
    }

    /// Kills the process, which then cannot flush anything.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("its status");
        self.assert_calm();
    }

    /// Sends SIGTERM and returns the exit code.
    pub fn end(mut self) -> Option<i32> {
        let code = self.terminate().code();
        self.assert_calm();
        code
    }

    /// Sends SIGTERM.
    pub fn signal(&self) {
        terminate(&self.child);
    }

    /// Waits until the server ends by itself and returns the exit code.
    pub fn await_end(mut self) -> Option<i32> {
        let status = wait(&mut self.child);
        self.assert_calm();
        status.and_then(|status| status.code())
    }

    /// Stops the server as an operator would.
    ///
    /// Fails unless the metrics add up and the server ends with success. Every accepted event is
    /// then journaled and evaluated.
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

    /// Waits until the metrics account for every received event.
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
        // The last lines may still be in the pipe.
        self.stderr.wait_for_end(LIMIT);
        let text = self.stderr.text();
        assert!(!text.contains("panicked"), "{text}");
    }

    /// Sends a request with the token.
    pub fn send(&self, request: Request<'_>) -> Reply {
        let reply = request.token(&self.token).send(self.http);
        reply.unwrap_or_else(|error| panic!("no answer: {error}\n{}", self.stderr.text()))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send(Request::new("GET", path))
    }

    /// Sum of all samples of a metric whose labels contain `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = self.get("/metrics").text();
        let samples = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']) && rest.contains(labels))
        });
        let value = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok());
        samples.filter_map(value).sum()
    }

    /// Waits until the metric is at least `least`.
    pub fn await_metric(&self, name: &str, labels: &str, least: u64) {
        let what = format!("{name}{{{labels}}} >= {least}");
        until(&what, || {
            (self.metric(name, labels) >= least as f64).then_some(())
        });
    }

    /// Sends bytes over one syslog connection and waits until the server has received them all.
    pub fn send_tcp(&self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.tcp).expect("the port is open");
        stream.write_all(bytes).expect("it is read");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("it is open");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        // The server closes the connection once it has handed over everything.
        let _ = std::io::Read::read(&mut stream, &mut [0]);
    }

    /// Waits until the server has replayed its journal. A test may run without rules.
    pub fn await_ready(&self) {
        until("the server is ready", || {
            let reply = self.get("/readyz");
            let without_rules = || reply.text().contains(r#""detail":"no rule is in force""#);
            (reply.status == 200 || without_rules()).then_some(())
        });
    }

    /// Sends events over the agent protocol and waits until they are durable.
    ///
    /// `spool` must differ between calls, because the server drops what a spool repeats.
    pub fn send_as_agent(&self, agent: &str, spool: u64, events: &[Vec<u8>]) {
        let identity = AgentIdentity {
            agent: agent.to_owned(),
            spool,
            token: self.token.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let client = AgentClient::connect(&self.agent.to_string(), identity).await;
            let client = client.expect("the agents' port is open");
            for event in events {
                client.push(event.clone()).await.expect("it has room");
            }
            client.close().await.expect("it becomes durable");
        });
    }

    /// Fails unless the server answers and accepts a valid line. Holds after any attack.
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
        let log = self.stderr.text();
        assert!(!log.contains("panicked"), "{log}");
    }

    /// Command-line options with which a verb queries this server.
    pub fn client_options(&self) -> [String; 4] {
        let url = format!("http://{}", self.http);
        let data = self.data.display().to_string();
        ["--url".to_owned(), url, "--data-dir".to_owned(), data]
    }

    /// Runs a verb that queries this server.
    pub fn run(&self, args: &[&str]) -> Finished {
        finish(weir(args).args(self.client_options()))
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // A test that reached its end has stopped the server already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
