//! The matrix: each part of a server that can fail from outside, in each way.
//!
//! A worker of the graph that panics or hangs cannot be provoked from outside; tests in
//! `dataflow/src/host/tests.rs` and `src/server/health/` judge it, with a simulated clock.

use std::time::{Duration, Instant};

use crate::case::{Case, Facts, Setting};
use crate::server::TorturedServer;

mod disk;

mod sinks;

mod listeners;
pub use listeners::send_as_agent;

mod clock;
pub use clock::ShiftedServer;

/// All cases of the matrix.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        disk::cases(),
        sinks::cases(),
        listeners::cases(),
        clock::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How a fault comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPattern {
    Once,
    Minute,
    Forever,
    Stalls,
}

impl FaultPattern {
    pub const ALL: [Self; 4] = [Self::Once, Self::Minute, Self::Forever, Self::Stalls];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Minute => "minute",
            Self::Forever => "forever",
            Self::Stalls => "stalls",
        }
    }

    /// How long the fault is observed.
    #[must_use]
    pub fn duration(self, setting: &Setting) -> Duration {
        match self {
            Self::Once => Duration::from_secs(2),
            Self::Minute => setting.minute(),
            Self::Forever | Self::Stalls => setting.observed(),
        }
    }
}

/// The answers about health while a fault lasts.
#[derive(Debug, Default)]
pub struct HealthLog {
    /// First answers other than 200, with the time since the fault.
    pub live: Option<(Duration, String)>,
    pub ready: Option<(Duration, String)>,
}

impl HealthLog {
    /// Asks both routes once.
    pub fn sample(&mut self, server: &TorturedServer, began: Instant) {
        for (route, first) in [("/healthz", &mut self.live), ("/readyz", &mut self.ready)] {
            if first.is_some() {
                continue;
            }
            match server.probe(route) {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) => *first = Some((began.elapsed(), answer.body)),
                Err(error) => *first = Some((began.elapsed(), format!("no answer: {error}"))),
            }
        }
    }
}

/// An answer about health for a table.
#[must_use]
pub fn shown(first: Option<&(Duration, String)>) -> String {
    match first {
        None => "200".to_owned(),
        Some((after, reason)) => {
            let reason: String = reason.chars().take(120).collect();
            format!("503 after {} s ({reason})", after.as_secs())
        }
    }
}

/// The answer that health must give while a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// 200 throughout.
    Well,
    /// Anything but 200 at some time.
    Ill,
    /// Both are right: the fault may be over before it is found.
    Either,
}

impl Expected {
    /// Notes the answers and judges them; a quick run is too short to find a fault.
    pub fn judge(
        self,
        facts: &mut Facts,
        name: &'static str,
        first: Option<&(Duration, String)>,
        setting: &Setting,
    ) {
        let holds = match self {
            Self::Well => first.is_none(),
            Self::Ill => first.is_some() || setting.quick,
            Self::Either => true,
        };
        facts.judge(name, shown(first), holds);
    }
}
