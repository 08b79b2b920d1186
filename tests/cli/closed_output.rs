//! Verbs whose standard output or standard error has no reader: they end quietly with their own code.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support;
use crate::support::command::weir;
use crate::support::files::{root, write};
use crate::support::{Weir, config};

/// Arguments and the exit code, which a closed pipe does not change.
const CASES: &[(&str, i32)] = &[
    ("completions bash", 0),
    ("man", 0),
    ("init", 0),
    ("--help", 0),
    ("check", 0),
    ("check bad.md", 65),
    ("check --config bad.toml", 78),
    ("run --config bad.toml", 78),
    ("no-such-verb", 2),
    ("rules lint bad.yml", 65),
    ("rules lint --time good.yml", 0),
    ("rules list", 0),
    ("rules list bad.yml", 65),
    ("rules coverage", 0),
    ("replay --rules good.yml lines", 0),
    ("replay --rules bad.yml lines", 65),
    ("tap lines", 0),
    ("tap --rules bad.yml lines", 65),
    ("test untrue.md", 1),
    ("verify --data-dir data", 0),
    ("verify --data-dir none", 2),
    ("what-if --candidate good.yml lines", 0),
];

/// A story that is not true: it expects an alert and has no event.
const UNTRUE: &str = "# Nothing comes of it\n\n    rule + ssh_password_guessing\n\n    \
    08:00:00  linux  raw <38>Jan  1 08:00:00 web-1 sshd[2]: Failed password for root from \
    203.0.113.50 port 4 ssh2\n    ---- 08:06:00\n    \
    + alert  ssh_password_guessing  src_ip=203.0.113.50  medium\n";

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn prepare(folder: &Path) {
    let rule = root().join("rules/linux/ssh_password_guessing.yml");
    std::fs::copy(rule, folder.join("good.yml")).expect("a rule");
    for (name, text) in [
        ("bad.yml", "title: A\n"),
        ("bad.md", "# A story\n\n    nonsense\n"),
        ("untrue.md", UNTRUE),
        ("bad.toml", "[graph]\nx = 1\n"),
        ("lines", "<13>1 2026-01-01T00:00:00Z h app - - - a line\n"),
    ] {
        write(folder, name, text);
    }
    Weir::start(&folder.join("data"), &config("")).stop();
}

fn exit_code(command: &mut Command) -> Option<i32> {
    let mut child = command.spawn().expect("the binary can be started");
    support::wait(&mut child).expect("it ends").code()
}

#[test]
fn no_verb_fails_because_its_reader_has_closed_the_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    let mut wrong = Vec::new();
    for (args, code) in CASES {
        for (pipes, out, err) in [
            ("output", closed(), Stdio::null()),
            ("error", Stdio::null(), closed()),
            ("both", closed(), closed()),
        ] {
            let mut command = weir(args.split(' '));
            command.current_dir(folder.path()).stdout(out).stderr(err);
            let got = exit_code(&mut command);
            if got != Some(*code) {
                wrong.push((args, pipes, got));
            }
        }
    }
    assert!(wrong.is_empty(), "other exit codes: {wrong:#?}");
}

#[test]
fn a_full_disk_at_standard_output_is_a_failure() {
    for args in [&["man"][..], &["init"], &["check"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let mut command = weir(args);
        command
            .stdout(full.expect("the device exists"))
            .stderr(Stdio::null());
        assert_eq!(exit_code(&mut command), Some(74), "{args:?}");
    }
}

#[test]
fn a_server_without_readers_runs_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "weir.toml", config(""));
    let mut command = weir(["--config", &file]);
    command
        .env("WEIR_LOG", "debug")
        .stdout(closed())
        .stderr(closed());
    command.current_dir(folder.path());
    let mut child = command.spawn().expect("the binary can be started");
    support::until("the token", || {
        folder.path().join("weir-data/token").exists().then_some(())
    });
    // It answers SIGTERM once it listens, so it has written its log before it ends.
    support::until("its handlers", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught & (1 << 14) != 0).then_some(())
    });
    support::terminate(&child);
    let ended = support::wait(&mut child).expect("it ends");
    assert_eq!(ended.code(), Some(0));
}
