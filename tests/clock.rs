//! The server's clock, wrong once: real servers under faketime, which sets their wall clock.

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use support::command::{finish, weir as run_weir};
use support::{Weir, config, skipped, until};
use weir_schema::{AlertRecord, ClockJumpKind, Control, Entry};
use weir_store::journal::{Journal, JournalOptions};
use weir_store::ledger::Ledger;

/// The library that sets the clock of a process, on Debian.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let files = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    files.into_iter().find(|file| file.is_file())
}

/// Starts a server whose wall clock is as far from the real one as `offset` says.
fn start(data: &Path, library: &Path, offset: &Path) -> Weir {
    let environment: [(&str, &OsStr); 4] = [
        ("LD_PRELOAD", library.as_os_str()),
        ("FAKETIME_TIMESTAMP_FILE", offset.as_os_str()),
        ("FAKETIME_NO_CACHE", "1".as_ref()),
        // Only the wall clock is wrong: the time since boot cannot be set.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".as_ref()),
    ];
    let weir = Weir::start_with(data, &config(""), &environment);
    weir.await_ready();
    weir
}

/// An attack of now: ten failed logins of one address.
fn attack(weir: &Weir, address: &str) {
    let now = chrono::Utc::now().to_rfc3339();
    let line = |port| {
        format!(
            "<38>1 {now} h sshd 1 - - Failed password for root from {address} port {port} ssh2\n"
        )
    };
    let lines: String = (2_000..2_010).map(line).collect();
    weir.send_tcp(lines.as_bytes());
}

/// The alerts about events that stand in a ledger of a stopped server.
fn alerts(data: &Path) -> Vec<AlertRecord> {
    let ledger = Ledger::open(&data.join("ledger")).expect("a ledger");
    let all = ledger.records(None, 1_000).expect("it can be read");
    let is_about_events =
        |record: &AlertRecord| record.standing && !record.rule.starts_with("weir.");
    all.into_iter().filter(is_about_events).collect()
}

/// The kinds of the jumps that the journal of a stopped server holds.
fn jumps(data: &Path) -> Vec<ClockJumpKind> {
    let (writer, _) = Journal::open(&data.join("journal"), JournalOptions::default())
        .expect("the journal is sound");
    let entries = writer
        .reader()
        .entries()
        .map(|entry| entry.expect("it can be read"));
    let kind = |entry: Entry| match entry {
        Entry::Control(Control::ClockJump(jump)) => Some(jump.kind),
        _ => None,
    };
    entries.filter_map(kind).collect()
}

fn self_alert(weir: &Weir) {
    until("the alert about the clock", || {
        let reply = weir.get("/api/v1/alerts?rule=weir.self.clock-jumped");
        reply.text().contains("clock jumped").then_some(())
    });
}

/// W2: a wall clock that is wrong for three seconds hides no attack.
#[test]
fn a_clock_that_is_wrong_once_hides_no_attack() {
    let Some(library) = faketime() else {
        return skipped("a_clock_that_is_wrong_once_hides_no_attack", "no faketime");
    };
    for wrong in ["+2d", "-2d", "+10y"] {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let offset = folder.path().join("offset");
        std::fs::write(&offset, "+0").expect("it can be written");
        let weir = start(&data, &library, &offset);
        std::fs::write(&offset, wrong).expect("it can be written");
        weir.await_metric("weir_clock_jumps_total", "", 1);
        self_alert(&weir);
        weir.send_tcp(b"a line of a printer without any time\n");
        weir.await_metric("weir_events_journaled_total", "", 1);
        std::fs::write(&offset, "+0").expect("it can be written");
        weir.stderr.wait_for("jumped back", support::LIMIT);
        attack(&weir, "198.51.100.9");
        weir.await_metric("weir_events_journaled_total", "", 11);
        weir.stop();
        let found = alerts(&data);
        assert!(!found.is_empty(), "{wrong}");
        assert_eq!(
            jumps(&data),
            [ClockJumpKind::Doubted, ClockJumpKind::TakenBack],
            "{wrong}"
        );
    }
}

/// W2: a run under a wrong clock blinds later ones; the repair of its receive times mends that.
#[test]
fn the_repair_of_a_wrong_run_finds_the_attacks_after_it() {
    let Some(library) = faketime() else {
        return skipped(
            "the_repair_of_a_wrong_run_finds_the_attacks_after_it",
            "no faketime",
        );
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let offset = folder.path().join("offset");
    let run = |offset_text: &str, act: &dyn Fn(&Weir)| {
        std::fs::write(&offset, offset_text).expect("it can be written");
        let weir = start(&data, &library, &offset);
        act(&weir);
        weir.stop();
    };
    run("+0", &|weir| {
        weir.send_tcp(b"a line of a printer without any time\n")
    });
    run("+2d", &|weir| {
        weir.send_tcp(b"a line of a printer without any time\n")
    });
    run("+0", &|weir| {
        self_alert(weir);
        attack(weir, "198.51.100.9");
    });
    assert_eq!(jumps(&data), [ClockJumpKind::StartedBefore]);
    assert!(alerts(&data).is_empty(), "{:?}", alerts(&data));

    let shown = data.display().to_string();
    let state = |more: &[&str]| {
        let words = ["state", "clock", "--data-dir", &shown];
        finish(&mut run_weir(words.iter().chain(more)))
    };
    let listed = state(&[]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.out.contains("stretch 2: epochs "), "{listed:?}");
    let refused = state(&["--repair", "--stretch", "9", "--by", "-2d"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let repaired = state(&["--repair", "--stretch", "2", "--by", "-2d"]);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    assert!(repaired.out.contains("cause clock_repair"), "{repaired:?}");

    run("+0", &|_| {});
    let found = alerts(&data);
    assert!(!found.is_empty());
    let told: Vec<_> = found.iter().map(|record| record.cause.name()).collect();
    assert!(told.contains(&"clock_repair"), "{told:?}");
    // New attacks are found, and nothing is told twice.
    run("+0", &|weir| attack(weir, "198.51.100.10"));
    assert!(alerts(&data).len() > found.len());
    let verified = finish(run_weir(["verify", "--ledger", "--data-dir"]).arg(&data));
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
