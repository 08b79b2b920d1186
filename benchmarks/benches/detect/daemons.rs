//! Runs both engines as servers: events over HTTP, all rules, until the last event is judged.
//!
//! ```text
//! posters ──NDJSON, bodies below 0.9 MB──► server ──► its own metrics: events judged, matches
//! ```
//!
//! Weir makes every event durable before it answers; rsigma keeps events in memory.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use weir_benchmarks::{machine, metrics};

use crate::corpus::{Corpus, Frames};

/// Maximum size of a body: rsigma truncates bodies of more than about a megabyte.
const BODY_BYTES_MAX: usize = 900_000;

/// Number of connections.
const POSTERS: usize = 4;

/// How long a server may take to be ready, to accept a body, and to judge the last event.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Paths of the two programs.
pub struct Programs {
    pub weir: PathBuf,
    pub rsigma: PathBuf,
}

/// Measurements of one run.
struct RunResult {
    seconds: f64,
    cpu_seconds: f64,
    matches: f64,
    memory_peak_bytes: u64,
}

/// Runs both in turn. Returns the medians, and all runs.
pub fn race(programs: &Programs, rules: &Path, corpus: &Corpus, rounds: usize) -> Result<Json> {
    let bodies = |pick: fn(&Frames) -> &[u8]| pack(corpus.events.iter().map(pick));
    let weir_bodies = bodies(|event| &event.weir);
    let rsigma_bodies = bodies(|event| &event.rsigma);
    let events = corpus.events.len();
    let (mut weir, mut rsigma) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        weir.push(measure(
            &mut Daemon::weir(&programs.weir, rules)?,
            &weir_bodies,
            events,
        )?);
        rsigma.push(measure(
            &mut Daemon::rsigma(&programs.rsigma, rules)?,
            &rsigma_bodies,
            events,
        )?);
    }
    let (a, b) = (summary(&weir, events), summary(&rsigma, events));
    let rate = |run: &Json| run["events_per_second"].as_f64().unwrap_or(f64::NAN);
    println!(
        "daemons: weir {:.0}/s, rsigma {:.0}/s, ratio {:.1}",
        rate(&a),
        rate(&b),
        rate(&a) / rate(&b)
    );
    let ratio = rate(&a) / rate(&b);
    Ok(json!({"events": events, "weir": a, "rsigma": b, "ratio": ratio}))
}

fn summary(runs: &[RunResult], events: usize) -> Json {
    let median = |of: fn(&RunResult) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let seconds = median(|run| run.seconds);
    let cpu = median(|run| run.cpu_seconds);
    json!({
        "events_per_second": events as f64 / seconds,
        "events_per_cpu_second": events as f64 / cpu,
        "matches": median(|run| run.matches),
        "memory_peak_bytes": median(|run| run.memory_peak_bytes as f64),
        "seconds": runs.iter().map(|run| run.seconds).collect::<Vec<_>>(),
        "cpu_seconds": runs.iter().map(|run| run.cpu_seconds).collect::<Vec<_>>(),
    })
}

/// Packs lines into bodies.
fn pack<'e>(events: impl Iterator<Item = &'e [u8]>) -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for event in events {
        let fits = |body: &&mut Vec<u8>| body.len() + event.len() < BODY_BYTES_MAX;
        let body = match bodies.last_mut().filter(fits) {
            Some(body) => body,
            None => bodies.push_mut(Vec::with_capacity(BODY_BYTES_MAX)),
        };
        body.extend_from_slice(event);
        body.push(b'\n');
    }
    bodies
}

fn measure(server: &mut Daemon, bodies: &[Vec<u8>], events: usize) -> Result<RunResult> {
    let cpu = |server: &Daemon| -> Result<f64> {
        let threads = machine::threads(server.child.id())?;
        Ok(threads.values().map(|(_, seconds)| seconds).sum())
    };
    let (before, began) = (cpu(server)?, Instant::now());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| -> Result<()> {
        let server = &*server;
        let post = || -> Result<()> {
            let mut connection = Connection::open(server)?;
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                connection.post(server, body)?;
            }
            Ok(())
        };
        let posters: Vec<_> = (0..POSTERS).map(|_| scope.spawn(post)).collect();
        for poster in posters {
            poster
                .join()
                .map_err(|_| anyhow::anyhow!("a poster panicked"))??;
        }
        Ok(())
    })?;
    let judged = loop {
        let text = server.metrics()?;
        if metrics::sum(&text, server.judged) >= events as f64 {
            break text;
        }
        ensure!(
            began.elapsed() < TIMEOUT,
            "the server judged too few events"
        );
        std::thread::sleep(Duration::from_millis(5));
    };
    Ok(RunResult {
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: cpu(server)? - before,
        matches: metrics::sum(&judged, server.matched),
        memory_peak_bytes: machine::memory_peak_bytes(server.child.id())?,
    })
}

/// A running server.
struct Daemon {
    child: Child,
    web: SocketAddr,
    path: &'static str,
    token: String,
    /// Metrics that count judged events and matches.
    judged: &'static str,
    matched: &'static str,
    folder: PathBuf,
}

impl Daemon {
    fn weir(binary: &Path, rules: &Path) -> Result<Self> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
        let folder = target.join(format!("daemons-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let web = free_port()?;
        let config = folder.join("weir.toml");
        // A worker for each of two cores. Recordings span many days in no order, so a long horizon
        // keeps everything unsettled.
        let text = format!(
            "[listen]\nhttp = \"{web}\"\nsyslog_udp = \"off\"\nsyslog_tcp = \"off\"\nagent = \"off\"\n\
             [graph]\nworkers = 2\n[time]\nhorizon = \"3650d\"\n[rules]\nbuiltin = false\npaths = [{:?}]\n",
            rules.display().to_string()
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new(binary);
        command.arg("--data-dir").arg(folder.join("data"));
        command.arg("--config").arg(config);
        let mut server = Self::start(command, web, folder)?;
        server.path = "/api/v1/events?source=host";
        server.judged = "weir_events_decoded_total";
        server.matched = "weir_rule_matches_total";
        server.wait()?;
        let token = std::fs::read_to_string(server.folder.join("data/token"))?;
        token.trim().clone_into(&mut server.token);
        Ok(server)
    }

    fn rsigma(binary: &Path, rules: &Path) -> Result<Self> {
        let web = free_port()?;
        let mut command = Command::new(binary);
        command.args(["engine", "daemon", "--input", "http", "--logsource-routing"]);
        command.args(["--batch-size", "512", "--buffer-size", "50000"]);
        command.args(["--output", "file:///dev/null", "--api-addr"]);
        command.arg(web.to_string()).arg("-r").arg(rules);
        let mut server = Self::start(command, web, PathBuf::new())?;
        server.path = "/api/v1/events";
        server.judged = "rsigma_events_processed_total";
        server.matched = "rsigma_detection_matches_total";
        server.wait()?;
        Ok(server)
    }

    fn start(mut command: Command, web: SocketAddr, folder: PathBuf) -> Result<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self {
            child: child.with_context(|| format!("could not start {command:?}"))?,
            web,
            path: "",
            token: String::new(),
            judged: "",
            matched: "",
            folder,
        })
    }

    /// Waits until the server is ready.
    fn wait(&mut self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < TIMEOUT {
            let status = Connection::open(self).and_then(|mut c| c.get(self, "/readyz"));
            if status.is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            ensure!(self.child.try_wait()?.is_none(), "the server ended at once");
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("the server was never ready")
    }

    fn metrics(&self) -> Result<String> {
        let (status, text) = Connection::open(self)?.get(self, "/metrics")?;
        ensure!(status == 200, "/metrics was answered {status}");
        Ok(text)
    }
}

impl Drop for Daemon {
    /// Stops the process and removes its folder.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A minimal HTTP client with a connection that stays open.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(server: &Daemon) -> Result<Self> {
        let socket = TcpStream::connect(server.web)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self(BufReader::new(socket)))
    }

    fn get(&mut self, server: &Daemon, path: &str) -> Result<(u16, String)> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
            server.token
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    /// Posts a body until the server accepts it. A busy server answers 429 or 503.
    fn post(&mut self, server: &Daemon, body: &[u8]) -> Result<()> {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
            server.path,
            server.token,
            body.len()
        );
        let began = Instant::now();
        loop {
            self.0.get_mut().write_all(head.as_bytes())?;
            self.0.get_mut().write_all(body)?;
            let (status, text) = self.answer()?;
            match status {
                200..300 => return Ok(()),
                429 | 503 if began.elapsed() < TIMEOUT => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                _ => anyhow::bail!("a body was answered {status}: {text}"),
            }
        }
    }

    fn answer(&mut self) -> Result<(u16, String)> {
        let (mut head, mut length, mut chunked) = (String::new(), 0, false);
        loop {
            let mut line = String::new();
            ensure!(
                self.0.read_line(&mut line)? > 0,
                "the connection was closed"
            );
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if head.is_empty() {
                head.clone_from(&line);
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            chunked |= line == "transfer-encoding: chunked";
        }
        let status = head.split(' ').nth(1).unwrap_or_default().parse()?;
        let mut body = Vec::new();
        if chunked {
            self.chunks(&mut body)?;
        } else {
            body.resize(length, 0);
            self.0.read_exact(&mut body)?;
        }
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16)?;
            let mut chunk = vec![0; size + 2];
            self.0.read_exact(&mut chunk)?;
            chunk.truncate(size);
            body.append(&mut chunk);
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// Finds a free port. It is released before the server binds it.
fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
