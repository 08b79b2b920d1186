//! The engines that take turns, with the same measurements for each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use weir_benchmarks::server::{AlertFollower, ServerProcess, ServerSetup};
use weir_benchmarks::{machine, metrics};

use crate::kernel;
use crate::load::SentLoad;
use crate::rsyslog::Rsyslog;

/// Interval between two reads of the progress.
const POLL: Duration = Duration::from_millis(50);

/// An engine without progress for this long is done. It is more than a second, after which Weir
/// has read the drops of the kernel.
const IDLE: Duration = Duration::from_millis(1_500);

/// A measured engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Journals, syncs and parses; applies twenty rules.
    Weir,
    /// Journals, syncs and parses.
    WeirWithoutRules,
    /// Parses and writes JSON; never syncs.
    Rsyslog,
}

/// Paths of the programs, and the parent of their folders.
pub struct ProgramPaths {
    pub weir: PathBuf,
    pub rsyslogd: PathBuf,
    pub folder: PathBuf,
}

/// A running engine.
pub enum RunningEngine {
    Weir(ServerProcess, AlertFollower),
    Rsyslog(Rsyslog),
}

/// Progress of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Progress {
    /// Durable lines, or written bytes.
    kept: f64,
    /// Decoded and judged lines; only for Weir.
    judged: f64,
}

/// Result of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Time from the first sent byte to the last kept line, and to the last judged line.
    pub kept_seconds: f64,
    pub judged_seconds: f64,
    pub cpu_seconds: f64,
    pub memory_peak_bytes: u64,
    pub lines: u64,
    pub dropped_by_kernel: u64,
    /// Lines that Weir dropped with a reason, and the alerts it raised; only for Weir.
    pub dropped_by_weir: u64,
    pub alerts: u64,
    /// Drops of the kernel, as Weir reports them.
    pub kernel_drops_reported: Option<u64>,
}

impl Engine {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir, 20 rules",
            Self::WeirWithoutRules => "weir, no rules",
            Self::Rsyslog => "rsyslog, JSON",
        }
    }

    pub fn start(self, paths: &ProgramPaths) -> Result<RunningEngine> {
        if self == Self::Rsyslog {
            let started = Rsyslog::start(&paths.rsyslogd, &paths.folder)?;
            return Ok(RunningEngine::Rsyslog(started));
        }
        let setup = ServerSetup {
            without_rules: self == Self::WeirWithoutRules,
            ..ServerSetup::default()
        };
        let server = ServerProcess::start(&paths.weir, &paths.folder, setup)?;
        let follower = server.follow_alerts()?;
        Ok(RunningEngine::Weir(server, follower))
    }
}

impl RunningEngine {
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
                let text = server.metrics()?;
                let decoded = metrics::sum(&text, "weir_source_decoded_total");
                Progress {
                    kept: metrics::sum(&text, "weir_events_journaled_total"),
                    judged: decoded + metrics::sum(&text, "weir_source_problem_events_total"),
                }
            }
            Self::Rsyslog(rsyslog) => Progress {
                kept: rsyslog.written() as f64,
                judged: 0.0,
            },
        })
    }

    /// Sends a load, waits until the engine is done, and stops it.
    pub fn measure(
        self,
        send: impl FnOnce(&Self) -> Result<SentLoad>,
    ) -> Result<(SentLoad, Outcome)> {
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
            if next == at && now.duration_since(kept.max(judged)) > IDLE {
                break;
            }
            at = next;
            std::thread::sleep(POLL);
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
                let text = server.metrics()?;
                let reported = metrics::sum(&text, "weir_udp_kernel_dropped_total");
                outcome.lines = metrics::sum(&text, "weir_events_journaled_total") as u64;
                outcome.dropped_by_weir = metrics::sum(&text, "weir_events_dropped_total") as u64;
                outcome.kernel_drops_reported = Some(reported as u64);
                outcome.alerts = follower.raised_total();
                server.stop()?;
            }
            Self::Rsyslog(rsyslog) => outcome.lines = rsyslog.stop()?,
        }
        Ok((sent, outcome))
    }
}

impl Outcome {
    /// The result as one row of a run.
    pub fn row(&self, engine: Engine, load: &str, sent: &SentLoad, before_sockets: u64) -> Value {
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
            "dropped_by_kernel_as_weir_tells": self.kernel_drops_reported,
            "dropped_by_kernel_before_sockets_by_anyone": before_sockets,
            "dropped_by_weir": self.dropped_by_weir,
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
