//! Faults of the disk: journal and ledger, reads, writes, syncs and space.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::TimeDelta;

use super::Expected::{Either, Ill, Well};
use super::{Expected, FaultPattern, HealthLog};
use crate::alerts::FollowedAlerts;
use crate::case::{Case, Facts, Setting};
use crate::faults::{EIO, ENOSPC, HANG, READ_JOURNAL, SYNC_JOURNAL, WRITE_JOURNAL, WRITE_LEDGER};
use crate::server::{Setup, TorturedServer};
use crate::{journal, lines};

/// Lines that a start replays for a second or more.
const REPLAYED: u64 = 600_000;

/// How a server may end while the fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    GoesOn,
    /// Exit code 75, so that its service manager starts it again.
    TriesAgain,
    /// Both are right: whether the failed call broke something depends on its moment.
    Any,
}

/// One row of the matrix.
#[derive(Clone, Copy, Debug)]
struct DiskCase {
    part: &'static str,
    pattern: FaultPattern,
    calls: u32,
    error: u32,
    live: Expected,
    ready: Expected,
    end: End,
}

/// Parts, the calls that fail, and the error.
const PARTS: [(&str, u32, u32); 5] = [
    ("journal-write", WRITE_JOURNAL, EIO),
    ("journal-sync", SYNC_JOURNAL, EIO),
    ("disk-read", READ_JOURNAL, EIO),
    ("disk-full", WRITE_JOURNAL | WRITE_LEDGER, ENOSPC),
    ("ledger", WRITE_LEDGER, EIO),
];

/// The matrix: a failed call is repeated, so only a stall of the journal's writer ends a server.
fn rows() -> Vec<DiskCase> {
    let mut rows = Vec::new();
    for (part, calls, error) in PARTS {
        for pattern in FaultPattern::ALL {
            let (live, ready, end) = match pattern {
                FaultPattern::Once if calls == WRITE_LEDGER => (Either, Either, End::Any),
                FaultPattern::Once => (Well, Either, End::GoesOn),
                // A storage engine that failed within a write takes no more: only a restart helps.
                FaultPattern::Minute | FaultPattern::Forever if calls == WRITE_LEDGER => {
                    (Either, Either, End::TriesAgain)
                }
                FaultPattern::Minute | FaultPattern::Forever => (Well, Ill, End::GoesOn),
                FaultPattern::Stalls => (Ill, Ill, End::TriesAgain),
            };
            let error = if pattern == FaultPattern::Stalls {
                HANG
            } else {
                error
            };
            rows.push(DiskCase {
                part,
                pattern,
                calls,
                error,
                live,
                ready,
                end,
            });
        }
    }
    rows
}

pub fn cases() -> Vec<Case> {
    let case = |row: DiskCase| {
        let name = format!("{}/{}", row.part, row.pattern.name());
        let question = "are acknowledged lines kept, is health true, does it recover?";
        Case::new(name, question, move |setting| run(&row, setting))
    };
    rows().into_iter().map(case).collect()
}

/// A sender over HTTP that remembers which lines were acknowledged.
#[derive(Default)]
struct CountingSender {
    next: u64,
    acknowledged: BTreeSet<u64>,
}

impl CountingSender {
    const LINES: u64 = 50;

    /// Sends some lines, and waits at most a second for their acknowledgement.
    fn send(&mut self, server: &TorturedServer) {
        let from = self.next;
        self.next += Self::LINES;
        let answer = server.post(&lines::counted(from, Self::LINES), Duration::from_secs(1));
        if answer.is_ok_and(|answer| answer.status == 200) {
            self.acknowledged.extend(from..from + Self::LINES);
        }
    }
}

fn run(row: &DiskCase, setting: &Setting) -> Result<Facts> {
    let setup = Setup {
        faults: true,
        ..Setup::default()
    };
    let mut server = TorturedServer::start(setting, &setup)?;
    let (mut sender, mut facts) = (CountingSender::default(), Facts::default());
    sender.send(&server);
    if row.calls == READ_JOURNAL {
        // Newest entries are read from memory, so the fault meets a start that replays.
        server.fill(REPLAYED)?;
        server.replay(&setup)?;
    }
    let times = (row.pattern == FaultPattern::Once).then_some(1);
    server.faults.set(row.calls, row.error, times)?;
    let health = observe(&mut server, &mut sender, row.pattern.duration(setting));
    facts.note("failed calls", server.faults.hits()?);
    row.live
        .judge(&mut facts, "healthz", health.live.as_ref(), setting);
    row.ready
        .judge(&mut facts, "readyz", health.ready.as_ref(), setting);
    judge_end(row, &mut server, &setup, &mut facts, setting)?;
    let alerts = recover(row, &mut server, &setup, &mut sender, &mut facts)?;
    facts.note("self-alerts", alerts.own().join(" "));
    server.stop_judged(&mut facts)?;
    let kept = journal::counted(&server.data())?;
    let lost = sender.acknowledged.difference(&kept).count();
    facts.note("acknowledged", sender.acknowledged.len());
    facts.judge("lost", lost, lost == 0);
    if facts.wrong.is_empty() {
        server.remove();
    }
    Ok(facts)
}

/// Sends and asks for health while the fault lasts, or until the process ends.
fn observe(server: &mut TorturedServer, sender: &mut CountingSender, lasts: Duration) -> HealthLog {
    let (mut health, began) = (HealthLog::default(), Instant::now());
    let mut round = 0_u8;
    while began.elapsed() < lasts && server.is_running() {
        // An alert in each round, so that the ledger has something to write.
        round = round.wrapping_add(1);
        let attack = lines::guessing(
            &format!("203.0.113.{round}"),
            &lines::time(TimeDelta::zero()),
        );
        let _ = server.post(&attack, Duration::from_secs(1));
        sender.send(server);
        if server.is_running() {
            health.sample(server, began);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    health
}

/// Ends the fault, and judges how the process has ended, if it has.
fn judge_end(
    row: &DiskCase,
    server: &mut TorturedServer,
    setup: &Setup,
    facts: &mut Facts,
    setting: &Setting,
) -> Result<()> {
    if server.is_running() {
        let holds = row.end != End::TriesAgain || setting.quick;
        facts.judge("end", "goes on", holds);
        return server.faults.clear();
    }
    let ended = server.await_end(Duration::from_secs(1))?;
    let end = ended
        .code
        .map_or("a signal".to_owned(), |code| format!("exit {code}"));
    facts.judge("end", end, row.end != End::GoesOn && ended.code == Some(75));
    server.faults.clear()?;
    server.start_again(setup)
}

/// After the fault: the server must be ready, and alert.
///
/// A storage engine that failed shows only at the next commit; that may end the process once more.
fn recover(
    row: &DiskCase,
    server: &mut TorturedServer,
    setup: &Setup,
    sender: &mut CountingSender,
    facts: &mut Facts,
) -> Result<FollowedAlerts> {
    let began = Instant::now();
    server.wait_until_ready(Duration::from_secs(60))?;
    facts.note("ready again", seconds(began.elapsed()));
    sender.send(server);
    let mut alerts = server.alerts()?;
    let attacker = Ipv4Addr::new(198, 51, 100, 7);
    let began = Instant::now();
    let mut told = server.attack(&alerts, attacker, Duration::from_secs(15));
    if told.is_none() && !server.is_running() && row.calls & WRITE_LEDGER != 0 {
        let ended = server.await_end(Duration::from_secs(1))?;
        facts.judge("end at the next commit", &ended, ended.code == Some(75));
        server.start_again(setup)?;
        server.wait_until_ready(Duration::from_secs(60))?;
        alerts = server.alerts()?;
        // The attack was acknowledged, so its alert is raised by the restart.
        let at = alerts.wait_for(
            lines::GUESSING,
            &attacker.to_string(),
            Duration::from_secs(15),
        );
        told = at.map(|at| at.saturating_duration_since(began));
    }
    facts.judge(
        "next alert",
        told.map_or("none".to_owned(), seconds),
        told.is_some(),
    );
    // Conditions are reported within a few seconds.
    std::thread::sleep(Duration::from_secs(3));
    Ok(alerts)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
