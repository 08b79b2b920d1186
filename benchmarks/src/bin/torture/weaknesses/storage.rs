//! W6, W14 and W22: reads that fail, a slow check of the ledger, a lock that is removed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::seconds;
use crate::case::{Case, Facts, Setting};
use crate::client;
use crate::faults::{EIO, HANG, READ_JOURNAL, READ_LEDGER};
use crate::lines;
use crate::server::{Setup, TorturedServer};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "W6/reads",
            "does a read error of half a second stop the graph?",
            reads,
        ),
        Case::new(
            "W14/slow-check",
            "is a ledger whose check is slow called damaged?",
            slow_check,
        ),
        Case::new(
            "W22/lock",
            "can a second server write after the lock is removed?",
            lock,
        ),
    ]
}

fn faulty() -> Setup {
    Setup {
        faults: true,
        ..Setup::default()
    }
}

/// Fills the journal, starts again, and lets reads fail for half a second of the replay.
fn reads(setting: &Setting) -> Result<Facts> {
    let mut server = TorturedServer::start(setting, &faulty())?;
    server.fill(600_000)?;
    server.replay(&faulty())?;
    server.faults.set(READ_JOURNAL, EIO, None)?;
    std::thread::sleep(Duration::from_millis(500));
    let mut facts = Facts::default();
    facts.note("failed reads", server.faults.hits()?);
    server.faults.clear()?;
    let ready = server.wait_until_ready(Duration::from_secs(60));
    facts.judge("ready afterwards", ready.is_ok(), ready.is_ok());
    if let Ok(alerts) = server.alerts() {
        let address = Ipv4Addr::new(198, 51, 100, 8);
        let told = server.attack(&alerts, address, Duration::from_secs(15));
        facts.judge(
            "attack afterwards told after",
            seconds(told),
            told.is_some(),
        );
    }
    server.remove();
    Ok(facts)
}

/// The check reads the ledger; it hangs for longer than its limit was.
fn slow_check(setting: &Setting) -> Result<Facts> {
    if setting.quick {
        return Ok(Facts::skip("a slow check needs more than a minute"));
    }
    let mut server = TorturedServer::start(setting, &faulty())?;
    let alerts = server.alerts()?;
    let address = Ipv4Addr::new(198, 51, 100, 8);
    let told = server.attack(&alerts, address, Duration::from_secs(15));
    let mut facts = Facts::default();
    facts.judge("alert before", seconds(told), told.is_some());
    server.stop()?;
    server.faults.set(READ_LEDGER, HANG, None)?;
    server.start_again(&faulty())?;
    std::thread::sleep(Duration::from_secs(70));
    server.faults.clear()?;
    let began = Instant::now();
    server.wait_until_ready(Duration::from_secs(120))?;
    facts.note("ready after", seconds(Some(began.elapsed())));
    let quarantine = server.data().join("quarantine");
    let aside = std::fs::read_dir(quarantine).map_or(0, Iterator::count);
    facts.judge("ledgers set aside", aside, aside == 0);
    server.remove();
    Ok(facts)
}

/// A second server on the folder of the first, whose lock file is gone.
fn lock(setting: &Setting) -> Result<Facts> {
    let mut server = TorturedServer::start(setting, &Setup::default())?;
    server.post(&lines::counted(0, 100), Duration::from_secs(5))?;
    std::fs::remove_file(server.data().join("journal/lock"))?;
    let data = server.data().display().to_string();
    let mut second = server.verb(&["--data-dir", &data]);
    let [tcp, udp, http] = weir_benchmarks::server::free_ports()?;
    second.env("WEIR__LISTEN__SYSLOG_TCP", tcp.to_string());
    second.env("WEIR__LISTEN__SYSLOG_UDP", udp.to_string());
    second
        .env("WEIR__LISTEN__HTTP", http.to_string())
        .env("WEIR__LISTEN__AGENT", "off");
    let ended = client::run(&mut second, b"", Duration::from_secs(10))?;
    let mut facts = Facts::default();
    let code = ended.and_then(|ended| ended.status.code());
    facts.judge(
        "second server",
        format!("{code:?}"),
        code.is_some_and(|code| code != 0),
    );
    // The first one goes on, or ends; it never acknowledges beside a second one.
    let answer = server.post(&lines::counted(100, 100), Duration::from_secs(5));
    facts.note(
        "the first one answers",
        answer.map_or(0, |answer| answer.status),
    );
    let ended = server.stop()?;
    facts.note("end of the first", ended);
    let verified = server.verb(&["verify", "--data-dir", &data]).output()?;
    let code = verified.status.code();
    facts.judge("verify", format!("{code:?}"), code == Some(0));
    server.remove();
    Ok(facts)
}
