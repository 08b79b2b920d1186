//! Runs the measured server as a child process on loopback, and follows its alerts.

use std::collections::HashMap;
use std::io::BufRead;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{http, machine, metrics};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How long the server may take to start, and to stop.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Changes that are counted: more than a run of an hour can have. More are a bug of the server.
const CHANGES_MAX: u64 = 10_000_000;

/// Settings of a server that differ from the defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerSetup {
    /// Workers of the graph.
    pub workers: Option<u16>,
    /// Disables all rules, also the built-in ones.
    pub without_rules: bool,
}

/// Counters of a server at one instant.
#[derive(Debug)]
pub struct ServerSnapshot {
    pub journaled: f64,
    pub threads: machine::Threads,
}

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    child: Mutex<Child>,
    process: u32,
    folder: PathBuf,
    pub tcp: SocketAddr,
    pub udp: SocketAddr,
    web: SocketAddr,
    token: String,
}

impl ServerProcess {
    /// Starts `binary` on a fresh folder below `parent`, and waits until it is ready.
    pub fn start(binary: &Path, parent: &Path, setup: ServerSetup) -> Result<Self> {
        let folder = parent.join(format!("end-to-end-{}", std::process::id()));
        ensure!(!folder.exists(), "{} already exists", folder.display());
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        let [tcp, udp, web] = free_ports()?;
        let child = Self::command(binary, &folder, [tcp, udp, web], setup)?
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {}", binary.display()))?;
        let mut server = Self {
            process: child.id(),
            child: Mutex::new(child),
            token: String::new(),
            folder,
            tcp,
            udp,
            web,
        };
        // Without rules a server is never ready, and a fresh one has nothing to replay.
        let probe = if setup.without_rules {
            "/healthz"
        } else {
            "/readyz"
        };
        server.wait_until(probe)?;
        let token = server.folder.join("data/token");
        server.token = std::fs::read_to_string(&token)
            .with_context(|| format!("could not read {}", token.display()))?
            .trim()
            .to_owned();
        Ok(server)
    }

    /// Makes the command line and configuration: folder, listeners, workers. All else is the
    /// default, including fsync.
    fn command(
        binary: &Path,
        folder: &Path,
        [tcp, udp, web]: [SocketAddr; 3],
        setup: ServerSetup,
    ) -> Result<Command> {
        let config = folder.join("weir.toml");
        let mut text = format!(
            "[listen]\nsyslog_tcp = \"{tcp}\"\nsyslog_udp = \"{udp}\"\nhttp = \"{web}\"\n\
             agent = \"off\"\n"
        );
        if setup.without_rules {
            text.push_str("\n[rules]\nbuiltin = false\n");
        }
        if let Some(workers) = setup.workers {
            text.push_str(&format!("\n[graph]\nworkers = {workers}\n"));
        }
        std::fs::write(&config, text)
            .with_context(|| format!("could not write {}", config.display()))?;
        let mut command = Command::new(binary);
        command
            .arg("--quiet")
            .arg("--data-dir")
            .arg(folder.join("data"))
            .arg("--config")
            .arg(config);
        Ok(command)
    }

    fn wait_until(&self, probe: &str) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < TIMEOUT {
            if http::get(self.web, probe, "").is_ok() {
                return Ok(());
            }
            ensure!(
                self.is_running()?,
                "the server stopped at once; its output is above"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the server was not ready within {} s", TIMEOUT.as_secs())
    }

    /// The process id.
    #[must_use]
    pub const fn process(&self) -> u32 {
        self.process
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_running(&self) -> Result<bool> {
        Ok(self.child().try_wait()?.is_none())
    }

    pub fn metrics(&self) -> Result<String> {
        http::get(self.web, "/metrics", &self.token)
    }

    pub fn snapshot(&self) -> Result<ServerSnapshot> {
        Ok(ServerSnapshot {
            journaled: metrics::sum(&self.metrics()?, "weir_events_journaled_total"),
            threads: machine::threads(self.process)?,
        })
    }

    pub fn memory_peak_bytes(&self) -> Result<u64> {
        machine::memory_peak_bytes(self.process)
    }

    /// Bytes of all files in the server's folder.
    pub fn folder_bytes(&self) -> Result<u64> {
        let (mut folders, mut bytes) = (vec![self.folder.clone()], 0);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                // The file may have been removed since the folder was listed.
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                    Ok(metadata) => bytes += metadata.len(),
                    Err(_) => {}
                }
            }
        }
        Ok(bytes)
    }

    /// Starts a thread that reads every change of every alert.
    pub fn follow_alerts(&self) -> Result<AlertFollower> {
        let path = "/api/v1/stream/alerts.ndjson?after=0-0&state=all";
        let body = http::open(self.web, path, &self.token, None)?;
        let follower = AlertFollower::default();
        let reader = follower.clone();
        // The thread ends when the server closes the stream.
        std::thread::Builder::new()
            .name("follower".into())
            .spawn(move || {
                for line in body.lines() {
                    let Ok(line) = line else { break };
                    reader.note(&line, Instant::now());
                }
            })?;
        Ok(follower)
    }

    /// Stops the server with SIGTERM, and removes its folder.
    pub fn stop(self) -> Result<()> {
        let process = self.process.to_string();
        Command::new("kill")
            .args(["-TERM", &process])
            .status()
            .context("could not run kill")?;
        let began = Instant::now();
        while self.is_running()? {
            if began.elapsed() > TIMEOUT {
                self.child().kill()?;
                bail!(
                    "the server did not stop within {} s of SIGTERM",
                    TIMEOUT.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
        Ok(())
    }
}

impl Drop for ServerProcess {
    /// Kills the process. The folder stays if a run has failed.
    fn drop(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Finds free ports: TCP, UDP and TCP. They are released before the server binds them, so on a busy
/// machine the start may fail.
pub fn free_ports() -> Result<[SocketAddr; 3]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (a, b) = (listen()?, listen()?);
    Ok([a.local_addr()?, datagrams.local_addr()?, b.local_addr()?])
}

/// Counts the changes in the alert stream.
#[derive(Clone, Debug, Default)]
pub struct AlertFollower(Arc<Mutex<FollowerState>>);

#[derive(Debug, Default)]
struct FollowerState {
    changes: u64,
    raised: u64,
    retracted: u64,
    /// When the first alert of a rule and address arrived.
    raised_at: HashMap<(String, String), Instant>,
}

impl AlertFollower {
    fn note(&self, line: &str, at: Instant) {
        let Ok(change) = serde_json::from_str::<Value>(line) else {
            return;
        };
        let mut state = self.state();
        if state.changes >= CHANGES_MAX {
            return;
        }
        state.changes += 1;
        match change["change"].as_str() {
            Some("raised") => {
                state.raised += 1;
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let key = (text(&change["rule"]), text(&change["group"]["src_ip"]));
                state.raised_at.entry(key).or_insert(at);
            }
            Some("retracted") => state.retracted += 1,
            // Revisions, and heartbeats.
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, FollowerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn raised_total(&self) -> u64 {
        self.state().raised
    }

    pub fn retracted_total(&self) -> u64 {
        self.state().retracted
    }

    pub fn raised_at(&self, rule: &str, address: &str) -> Option<Instant> {
        let key = (rule.to_owned(), address.to_owned());
        self.state().raised_at.get(&key).copied()
    }
}
