//! The engines that take turns, and what is asked of each in the same way.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use weir_benchmarks::server::{Follower, Server, Setup};
use weir_benchmarks::{machine, metrics};

use crate::kernel;
use crate::load::Sent;
use crate::rsyslog::Rsyslog;

/// Between two looks at how far an engine is.
const LOOK: Duration = Duration::from_millis(50);

/// An engine that gets no further for so long is done. Longer than a second, after which Weir has
/// heard from the kernel what it dropped.
const QUIET: Duration = Duration::from_millis(1_500);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Journaled, synced, parsed, twenty rules and their alerts.
    Weir,
    /// Journaled, synced, parsed.
    WeirWithoutRules,
    /// Parsed, written as JSON; never synced.
    Rsyslog,
}

/// Programs and the folder in which they have theirs.
pub struct Places {
    pub weir: PathBuf,
    pub rsyslogd: PathBuf,
    pub folder: PathBuf,
}

pub enum Running {
    Weir(Server, Follower),
    Rsyslog(Rsyslog),
}

/// How far an engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Progress {
    /// Lines durable, or bytes written.
    kept: f64,
    /// Lines decoded and judged, of Weir alone.
    judged: f64,
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From the first byte sent to the last line that was kept, and to the last that was judged.
    pub kept_seconds: f64,
    pub judged_seconds: f64,
    pub cpu_seconds: f64,
    pub memory_peak_bytes: u64,
    pub lines: u64,
    pub dropped_by_kernel: u64,
    /// Of Weir alone: dropped with a reason, alerts raised, what it says that the kernel dropped.
    pub dropped_by_us: u64,
    pub alerts: u64,
    pub kernel_drops_told: Option<u64>,
}

impl Engine {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir, 20 rules",
            Self::WeirWithoutRules => "weir, no rules",
            Self::Rsyslog => "rsyslog, JSON",
        }
    }

    pub fn start(self, places: &Places) -> Result<Running> {
        if self == Self::Rsyslog {
            let started = Rsyslog::start(&places.rsyslogd, &places.folder)?;
            return Ok(Running::Rsyslog(started));
        }
        let setup = Setup {
            without_rules: self == Self::WeirWithoutRules,
            ..Setup::default()
        };
        let server = Server::start(&places.weir, &places.folder, setup)?;
        let follower = server.follow_alerts()?;
        Ok(Running::Weir(server, follower))
    }
}

impl Running {
    pub fn tcp(&self) -> SocketAddr {
        match self {
            Self::Weir(server, _) => server.tcp,
            Self::Rsyslog(rsyslog) => rsyslog.tcp,
        }
    }

    pub fn udp(&self) -> SocketAddr {
        match self {
            Self::Weir(server, _) => server.udp,
            Self::Rsyslog(rsyslog) => rsyslog.udp,
        }
    }

    fn process(&self) -> u32 {
        match self {
            Self::Weir(server, _) => server.process(),
            Self::Rsyslog(rsyslog) => rsyslog.process(),
        }
    }

    fn progress(&self) -> Result<Progress> {
        Ok(match self {
            Self::Weir(server, _) => {
                let said = server.metrics()?;
                let decoded = metrics::sum(&said, "weir_source_decoded_total");
                Progress {
                    kept: metrics::sum(&said, "weir_events_journaled_total"),
                    judged: decoded + metrics::sum(&said, "weir_source_problem_events_total"),
                }
            }
            Self::Rsyslog(rsyslog) => Progress {
                kept: rsyslog.written() as f64,
                judged: 0.0,
            },
        })
    }

    /// Sends a load, waits until nothing more comes of it, and ends the engine.
    pub fn measure(self, send: impl FnOnce(&Self) -> Result<Sent>) -> Result<(Sent, Outcome)> {
        let before = machine::cpu_seconds(self.process())?;
        let sent = send(&self)?;
        let mut at = Progress::default();
        let (mut kept, mut judged) = (sent.began, sent.began);
        loop {
            let (now, next) = (Instant::now(), self.progress()?);
            if next.kept != at.kept {
                kept = now;
            }
            if next.judged != at.judged {
                judged = now;
            }
            if next == at && now.duration_since(kept.max(judged)) > QUIET {
                break;
            }
            at = next;
            std::thread::sleep(LOOK);
        }
        let mut outcome = Outcome {
            kept_seconds: kept.duration_since(sent.began).as_secs_f64(),
            judged_seconds: judged.duration_since(sent.began).as_secs_f64(),
            cpu_seconds: machine::cpu_seconds(self.process())? - before,
            memory_peak_bytes: machine::memory_peak_bytes(self.process())?,
            dropped_by_kernel: kernel::dropped_at(self.udp().port())?,
            ..Outcome::default()
        };
        match self {
            Self::Weir(server, follower) => {
                let said = server.metrics()?;
                let told = metrics::sum(&said, "weir_udp_kernel_dropped_total");
                outcome.lines = metrics::sum(&said, "weir_events_journaled_total") as u64;
                outcome.dropped_by_us = metrics::sum(&said, "weir_events_dropped_total") as u64;
                outcome.kernel_drops_told = Some(told as u64);
                outcome.alerts = follower.raised_total();
                server.stop()?;
            }
            Self::Rsyslog(rsyslog) => outcome.lines = rsyslog.stop()?,
        }
        Ok((sent, outcome))
    }
}

impl Outcome {
    /// As one row of a run.
    pub fn row(&self, engine: Engine, load: &str, sent: &Sent, before_sockets: u64) -> Value {
        let all = self.kept_seconds.max(self.judged_seconds);
        json!({
            "engine": engine.name(),
            "load": load,
            "sent": sent.lines,
            "refused_by_the_senders_kernel": sent.refused,
            "sending_seconds": sent.took.as_secs_f64(),
            "sender_cpu_seconds": sent.cpu_seconds,
            "kept": self.lines,
            "dropped_by_kernel_at_the_socket": self.dropped_by_kernel,
            "dropped_by_kernel_as_weir_tells": self.kernel_drops_told,
            "dropped_by_kernel_before_sockets_by_anyone": before_sockets,
            "dropped_by_weir": self.dropped_by_us,
            "alerts": self.alerts,
            "kept_seconds": self.kept_seconds,
            "all_seconds": all,
            "lines_per_second": self.lines as f64 / all,
            "cpu_seconds": self.cpu_seconds,
            "lines_per_cpu_second": self.lines as f64 / self.cpu_seconds,
            "memory_peak_bytes": self.memory_peak_bytes,
        })
    }
}
