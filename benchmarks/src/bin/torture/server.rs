//! The server under test: a process with a folder, faults, and answers about its health.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::alerts::FollowedAlerts;
use crate::case::{Facts, Setting};
use crate::client::{self, Answer, Request};
use crate::faults::Faults;
use crate::lines;

/// A stop must end by then.
pub const STOP_MAX: Duration = Duration::from_secs(20);
/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(60);
/// How long an answer about health may take.
const HEALTH_MAX: Duration = Duration::from_secs(5);

/// Numbers the folders of a run.
static FOLDERS: AtomicU64 = AtomicU64::new(0);

/// Settings of a server.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Sections of the configuration besides `[listen]`.
    pub config: String,
    /// Preloads the library of disk faults.
    pub faults: bool,
    /// More environment.
    pub environment: Vec<(&'static str, String)>,
    /// Limit of open files.
    pub files_max: Option<u32>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// `None`: by a signal.
    pub code: Option<i32>,
    pub took: Duration,
    /// It did not end in time and was killed.
    pub killed: bool,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.took.as_secs_f64();
        match (self.killed, self.code) {
            (true, _) => write!(f, "no end after {seconds:.0} s, killed"),
            (_, Some(code)) => write!(f, "{code} after {seconds:.1} s"),
            (_, None) => write!(f, "a signal after {seconds:.1} s"),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct TorturedServer {
    child: Child,
    weir: PathBuf,
    folder: PathBuf,
    pub faults: Faults,
    pub tcp: SocketAddr,
    pub agent: SocketAddr,
    pub http: SocketAddr,
    pub token: String,
}

impl TorturedServer {
    /// Starts a server on a new folder and waits until it is ready.
    pub fn start(setting: &Setting, setup: &Setup) -> Result<Self> {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = setting
            .folder
            .join(format!("{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let [tcp, udp, http] = weir_benchmarks::server::free_ports()?;
        let [agent, ..] = weir_benchmarks::server::free_ports()?;
        let listen = format!(
            "[listen]\nsyslog_tcp = \"{tcp}\"\nsyslog_udp = \"{udp}\"\nhttp = \"{http}\"\n\
             agent = \"{agent}\"\n"
        );
        std::fs::write(folder.join("listen.toml"), listen)?;
        let faults = Faults::compile(&folder)?;
        let child = Self::spawn(&setting.weir, &folder, setup, &faults)?;
        let mut server = Self {
            child,
            weir: setting.weir.clone(),
            folder,
            faults,
            tcp,
            agent,
            http,
            token: String::new(),
        };
        server.wait_until_ready(START_MAX)?;
        Ok(server)
    }

    fn spawn(weir: &Path, folder: &Path, setup: &Setup, faults: &Faults) -> Result<Child> {
        let listen = std::fs::read_to_string(folder.join("listen.toml"))?;
        let config = folder.join("weir.toml");
        std::fs::write(&config, listen + &setup.config)?;
        let mut log = std::fs::OpenOptions::new();
        let log = log.create(true).append(true).open(folder.join("log"))?;
        let mut command = match setup.files_max {
            Some(files) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={files}:{files}")).arg(weir);
                command
            }
            None => Command::new(weir),
        };
        command
            .arg("--data-dir")
            .arg(folder.join("data"))
            .arg("--config")
            .arg(config);
        if setup.faults {
            command.envs(faults.environment());
        }
        command.envs(setup.environment.iter().cloned());
        let command = command.stdout(Stdio::null()).stderr(log);
        command
            .spawn()
            .with_context(|| format!("could not start {}", weir.display()))
    }

    /// Starts the server again on the same folder, without waiting for it.
    pub fn start_again(&mut self, setup: &Setup) -> Result<()> {
        self.child = Self::spawn(&self.weir, &self.folder, setup, &self.faults)?;
        Ok(())
    }

    /// Journals `lines` counted lines, so that the next start has something to replay.
    pub fn fill(&self, lines: u64) -> Result<()> {
        const LINES: u64 = 20_000;
        for from in (0..lines).step_by(LINES as usize) {
            // Numbers that no sender of a case uses.
            let text = lines::counted((1 << 40) + from, LINES);
            let answer = self.post(&text, Duration::from_secs(60))?;
            ensure!(answer.status == 200, "not journaled: {}", answer.body);
        }
        Ok(())
    }

    /// Stops and starts the server, and returns as soon as it listens, while it replays.
    pub fn replay(&mut self, setup: &Setup) -> Result<()> {
        self.stop()?;
        self.start_again(setup)?;
        let began = Instant::now();
        while self.probe("/healthz").is_err() && began.elapsed() < START_MAX && self.is_running() {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    pub fn wait_until_ready(&mut self, limit: Duration) -> Result<()> {
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < limit {
            match self.probe("/readyz") {
                Ok(answer) if answer.status == 200 => {
                    self.token = std::fs::read_to_string(self.data().join("token"))?
                        .trim()
                        .into();
                    return Ok(());
                }
                Ok(answer) => last = answer.body,
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the server ended with {status}; see {}",
                    self.log().display()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("not ready within {} s: {last}", limit.as_secs())
    }

    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// A verb of the binary, with its token and address in the environment.
    #[must_use]
    pub fn verb(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.weir);
        command
            .args(arguments)
            .env("WEIR_URL", format!("http://{}", self.http));
        command.env("WEIR_TOKEN", &self.token);
        command
    }

    /// Asks a health route, which needs no token.
    pub fn probe(&self, path: &str) -> Result<Answer> {
        self.request("GET", path, "", b"", HEALTH_MAX)
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<Answer> {
        let token = &self.token;
        let request = Request {
            method,
            path,
            token,
            headers,
            body,
        };
        client::send(self.http, request, limit)
    }

    /// Posts lines; the answer comes once they are durable.
    pub fn post(&self, lines: &str, limit: Duration) -> Result<Answer> {
        let headers = "Content-Type: text/plain\r\n";
        self.request(
            "POST",
            "/api/v1/events?source=torture",
            headers,
            lines.as_bytes(),
            limit,
        )
    }

    /// Sends lines over TCP, and closes the connection.
    pub fn send(&self, lines: &str) -> Result<()> {
        let mut stream = TcpStream::connect(self.tcp)?;
        Ok(std::io::Write::write_all(&mut stream, lines.as_bytes())?)
    }

    pub fn alerts(&self) -> Result<FollowedAlerts> {
        FollowedAlerts::follow(self.http, &self.token)
    }

    /// An attack of `address`: when its alert arrived, or none within `limit`.
    pub fn attack(
        &self,
        alerts: &FollowedAlerts,
        address: Ipv4Addr,
        limit: Duration,
    ) -> Option<Duration> {
        let began = Instant::now();
        let address = address.to_string();
        let attack = lines::guessing(&address, &lines::time(chrono::TimeDelta::zero()));
        self.post(&attack, limit).ok()?;
        let at = alerts.wait_for(lines::GUESSING, &address, limit)?;
        Some(at.saturating_duration_since(began))
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn signal(&self, name: &str) -> Result<()> {
        let process = self.process().to_string();
        Command::new("kill")
            .args([&format!("-{name}"), &process])
            .status()?;
        Ok(())
    }

    /// Waits for the end of the process; kills it after `limit`.
    pub fn await_end(&mut self, limit: Duration) -> Result<Ended> {
        let began = Instant::now();
        loop {
            let took = began.elapsed();
            if let Some(status) = self.child.try_wait()? {
                let code = status.code();
                return Ok(Ended {
                    code,
                    took,
                    killed: false,
                });
            }
            if took > limit {
                self.child.kill()?;
                self.child.wait()?;
                return Ok(Ended {
                    code: None,
                    took,
                    killed: true,
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Result<Ended> {
        self.signal("TERM")?;
        self.await_end(STOP_MAX + Duration::from_secs(10))
    }

    /// Stops the server, and judges whether it ended well and in time.
    pub fn stop_judged(&mut self, facts: &mut Facts) -> Result<()> {
        let ended = self.stop()?;
        let well = ended.code == Some(0) && ended.took <= STOP_MAX;
        facts.judge("stop", &ended, well);
        Ok(())
    }

    /// Removes the folder, unless its case has failed.
    pub fn remove(self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Drop for TorturedServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
