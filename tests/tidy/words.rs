//! Banned words in the code, and what pure crates must not touch.

use crate::source::words;
use crate::{fail_with, sources};

/// Crates whose results are a function of their input alone.
const PURE: &[&str] = &[
    "schema/src/",
    "ingest/parse/src/",
    "detect/src/",
    "operators/src/",
];

/// Names that a pure crate must not use: clocks, I/O, locks and logs.
const IMPURE: &[&str] = &[
    "SystemTime",
    "Instant",
    "TcpStream",
    "UdpSocket",
    "Mutex",
    "RwLock",
    "Condvar",
    "tracing",
    "println",
    "eprintln",
];

/// Modules of the standard library that do I/O or start threads.
const IMPURE_STD: &[&str] = &["env", "fs", "process", "thread"];

#[test]
fn no_banned_word_is_used() {
    let mut faults = Vec::new();
    for source in sources() {
        for (at, word) in words(&source.code) {
            let before = source.code[..at].trim_end();
            let after = source.code[at + word.len()..].trim_start();
            let is_shipped = source.shipped[at..].starts_with(word);
            let why = match word {
                "do_send" => "fills a mailbox without limit: use `send` or `try_send`",
                word if word.to_lowercase().starts_with("unbounded") => {
                    "has no limit: use a bounded channel"
                }
                "channel" if is_std_channel(before, after) => {
                    "has no limit: use `sync_channel` or a bounded channel"
                }
                "unsafe" if !source.is_generated() => "is for generated code only",
                "todo" | "unimplemented" | "dbg" if after.starts_with('!') => "is not finished",
                "ignore" if before.ends_with("#[") => "hides a test: print SKIPPED and why instead",
                "unwrap" if is_shipped && !source.is_generated() && is_call(before, after) => {
                    "may panic: return an error, or `expect` with the reason why it holds"
                }
                "print" | "println" | "eprint" | "eprintln"
                    if is_shipped && after.starts_with('!') && source.path.starts_with("src/") =>
                {
                    "panics if its reader is gone: use `outln!` or `errln!` of `src/console.rs`"
                }
                _ => continue, // Every other word may stand.
            };
            faults.push(format!("{}: `{word}` {why}", source.place(at)));
        }
    }
    fail_with(&faults, "banned words are in the code");
}

#[test]
fn a_skipped_test_reports_to_standard_error() {
    let mut faults = Vec::new();
    for source in sources() {
        let skips = source
            .strings
            .iter()
            .filter(|(_, text)| text.starts_with("SKIPPED: "));
        for (at, _) in skips {
            if source.code[..*at].trim_end().ends_with("println!(") {
                let place = source.place(*at);
                faults.push(format!(
                    "{place}: libtest hides this line: write it to `std::io::stderr()`"
                ));
            }
        }
    }
    fail_with(&faults, "skipped tests are hidden");
}

#[test]
fn pure_crates_touch_no_clock_no_file_no_lock_and_no_log() {
    let mut faults = Vec::new();
    for source in sources() {
        if !PURE.iter().any(|folder| source.path.starts_with(folder)) || source.is_generated() {
            continue;
        }
        for (at, word) in words(&source.shipped) {
            let is_std = source.shipped[..at].ends_with("std::");
            if IMPURE.contains(&word) || (is_std && IMPURE_STD.contains(&word)) {
                faults.push(format!(
                    "{}: `{word}` has no place in a pure crate",
                    source.place(at)
                ));
            }
        }
    }
    fail_with(&faults, "pure crates are impure");
}

fn is_call(before: &str, after: &str) -> bool {
    before.ends_with('.') && after.starts_with("()")
}

/// Whether this is `channel()` without a capacity, for more than one value.
fn is_std_channel(before: &str, after: &str) -> bool {
    let after = match after
        .strip_prefix("::<")
        .and_then(|inner| inner.split_once(">("))
    {
        Some((_, rest)) => rest,
        None => match after.strip_prefix('(') {
            Some(rest) => rest,
            None => return false,
        },
    };
    after.starts_with(')') && !before.ends_with("oneshot::")
}
