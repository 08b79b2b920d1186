//! The verbs on the command line: output and exit codes.

mod support;

#[path = "cli/closed_output.rs"]
mod closed_output;

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use support::command::{Finished, finish, run, weir};
use support::files::{root, shown, write};
use support::{Weir, config};

/// Arguments of a verb, its exit code, and a part of its error message. `NONE` is a folder that does
/// not exist, `DATA` one that holds a token and nothing else.
const REFUSALS: &[(&str, i32, &str)] = &[
    ("--no-such-flag", 2, "--no-such-flag"),
    ("no-such-verb", 2, "no-such-verb"),
    ("tell", 2, "unrecognized subcommand 'tell'"),
    ("demo --speed 0", 2, "--speed must be"),
    ("send --from 3", 2, "--spool"),
    ("--config BAD --data-dir NONE", 78, "segment_mib"),
    ("--config WORSE --data-dir NONE", 78, "24h"),
    ("send --data-dir NONE /dev/null", 74, "--token-file"),
    (
        "send --data-dir DATA --to 127.0.0.1:1 --patience 1",
        69,
        "no server answers",
    ),
    (
        "explain ID --data-dir DATA --url http://127.0.0.1:1",
        69,
        "start one with",
    ),
    (
        "explain ID --data-dir DATA --url localhost",
        2,
        "http://127.0.0.1:8514",
    ),
    ("explain ../x --data-dir DATA", 2, "not the id of an alert"),
    ("verify --data-dir NONE", 2, "holds no journal"),
];

#[test]
fn refusals_name_their_reason_and_have_an_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = shown(folder.path());
    let bad = write(folder.path(), "bad.toml", "[journal]\nsegment_mb = 3\n");
    let worse = "[graph]\nworkers = 0\n[time]\nidle = \"soon\"\n";
    let worse = write(folder.path(), "worse.toml", worse);
    let token = write(folder.path(), "token", "0".repeat(64));
    std::fs::set_permissions(token, PermissionsExt::from_mode(0o600)).expect("the file is ours");
    for (args, code, message) in REFUSALS {
        let args = args
            .replace("NONE", &format!("{data}/none"))
            .replace("DATA", &data)
            .replace("WORSE", &worse)
            .replace("BAD", &bad)
            .replace("ID", "00112233445566778899aabbccddeeff");
        let Finished {
            code: got,
            out,
            err,
        } = finish(&mut weir(args.split(' ')));
        assert_eq!(got, Some(*code), "{args:?}: {out}{err}");
        assert!(err.contains(message), "{args:?}, not {message:?}: {err}");
    }
}

#[test]
fn config_is_accepted_before_and_after_the_verb() {
    let folder = tempfile::tempdir().expect("a folder");
    let unknown = write(folder.path(), "weir.toml", "[journal]\nno_such_key = 1\n");
    let rule = shown(&root().join("rules/linux/ssh_password_guessing.yml"));
    // A verb that reads the file refuses its unknown key.
    for args in [
        &["--config", &unknown][..],
        &["run", "--config", &unknown],
        &["--config", &unknown, "run"],
        &["rules", "lint", "--config", &unknown, &rule],
        &["rules", "--config", &unknown, "lint", &rule],
        &["--config", &unknown, "rules", "lint", &rule],
    ] {
        let Finished { code, out, err } = run(args);
        assert_eq!(code, Some(78), "{args:?}: {out}{err}");
        assert!(err.contains("no_such_key"), "{args:?}: {err}");
    }
    let valid = write(folder.path(), "valid.toml", "[graph]\nworkers = 1\n");
    for args in [
        ["rules", "lint", "--config", &valid, &rule],
        ["--config", &valid, "rules", "lint", &rule],
    ] {
        run(&args).assert_success();
    }
}

#[test]
fn check_reports_all_problems_with_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let rule = "title: A\nid: 5f0a5e9c-52d8-4c1e-9bb4-0f8a0d1f7a01\nlogsource:\n    product: linux\n\
                detection:\n    selection:\n        a: 1\n    condition: selection\n";
    let text = format!(
        "{rule}---\n{}",
        rule.replace("a01", "a02")
            .replace("condition: selection", "condition: selektion")
    );
    let rules = write(folder.path(), "two.yml", &text);
    let story = write(folder.path(), "story.md", "# A story\n\n    nonsense\n");
    let good = shown(&root().join("stories/tied_times.md"));
    let bad = write(folder.path(), "bad.toml", "[graph]\nworkers = 0\n");

    let Finished { code, out, .. } = run(&["check", &good]);
    assert_eq!(code, Some(0), "{out}");
    let Finished { code, out, .. } = run(&["check", "--rules", &rules, &story, &good]);
    assert_eq!(code, Some(65), "{out}");
    // The second document begins on line 10, and its condition is on its eighth line.
    assert!(out.contains(&format!("{rules}:17:16: ")), "{out}");
    assert!(out.contains(&format!("{story}:")), "{out}");
    let Finished { code, out, .. } = run(&["check", "--config", &bad, "--rules", &rules]);
    assert_eq!(code, Some(78), "{out}");
    assert!(
        out.contains("graph.workers") && out.contains(":17:16: "),
        "{out}"
    );
}

/// Lines that raise one alert. Their times are in the past, so the test needs no clock.
fn refusals() -> String {
    let line = |n: u32| {
        format!(
            "<85>1 2026-01-01T00:00:0{n}Z web1 sudo - - - \u{20} anna : 3 incorrect password attempts \
             ; TTY=pts/1 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/id\n"
        )
    };
    (0..4).map(line).collect()
}

#[test]
fn explain_and_verify_sent_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Weir::start(&data, &config(""));
    let dir = shown(&data);
    let lines = write(folder.path(), "lines", refusals());
    let to = server.agent.to_string();
    // The second run repeats the first line by line: no line counts twice.
    for _ in 0..2 {
        let send = ["send", "--to", &to, "--data-dir", &dir, "--spool", "7"];
        let Finished { code, out, err } = run(&[&send[..], &[&lines]].concat());
        assert_eq!((code, &*out), (Some(0), "4 lines acknowledged\n"), "{err}");
    }
    server.await_metric("weir_events_decoded_total", "", 4);
    assert_explained(&server);
    let verified = run(&["verify", "--data-dir", &dir]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(verified.err.contains("a server runs on"), "{verified:?}");
    server.stop();

    let verified = run(&["verify", "--ledger", "--data-dir", &dir]);
    verified.assert_success();
    for part in ["1 batches with 4 frames", "byte for byte"] {
        assert!(verified.out.contains(part), "{part}: {verified:?}");
    }
    rebuild_a_ledger_ahead_of_its_journal(&data);
    find_a_flipped_bit(&data);
}

/// `weir explain` shows the alert of [`refusals`], and knows no other alert.
fn assert_explained(server: &Weir) {
    let alert = support::until("an alert", || {
        let alerts = server.get("/api/v1/alerts").json();
        let found = alerts["alerts"].as_array()?.first()?.clone();
        (found["count"] == 4).then(|| found["alert"].as_str().map(str::to_owned))?
    });
    let explained = server.run(&["explain", &alert]);
    explained.assert_success();
    for part in [
        "stands.",
        "user=anna",
        "incorrect password",
        "sudo refuses",
        "1. raised",
    ] {
        assert!(explained.out.contains(part), "{part}: {explained:?}");
    }
    let unknown = server.run(&["explain", "00112233445566778899aabbccddeeff"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("knows no alert"), "{unknown:?}");
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join("journal")).expect("there is a journal");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|file| file.is_file() && file.file_name().is_some_and(|name| name != "lock"));
    files.sort();
    files
}

/// Cuts the journal's tail. The ledger is then ahead, and the next start rebuilds it.
fn rebuild_a_ledger_ahead_of_its_journal(data: &Path) {
    let dir = shown(data);
    let segments = segments(data);
    let last = segments.last().expect("a segment");
    let whole = std::fs::read(last).expect("it can be read");
    let mut length = whole.len();
    // Cut ticks and their seals, until an epoch with changes is gone.
    let out = loop {
        length = length
            .checked_sub(64)
            .expect("the ledger has applied something");
        std::fs::write(last, &whole[..length]).expect("it can be written");
        let verified = run(&["verify", "--data-dir", &dir]);
        if verified.out.contains("ledger: AHEAD") {
            assert_eq!(verified.code, Some(65));
            break verified.out;
        }
    };
    assert!(
        out.contains("DAMAGED") || out.contains("every checksum"),
        "{out}"
    );
    let server = Weir::start(data, &config(""));
    assert!(
        server.stderr.text().contains("rebuilding it"),
        "{}",
        server.stderr.text()
    );
    server.stop();
    let Finished { code, out, err } = run(&["verify", "--ledger", "--data-dir", &dir]);
    assert_eq!(code, Some(0), "{out}{err}");
}

/// Flips one bit of an acknowledged block, which `weir verify` reports with its segment.
fn find_a_flipped_bit(data: &Path) {
    let segments = segments(data);
    let first = segments.first().expect("a segment");
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(first)
        .expect("a segment");
    let mut byte = [0];
    let offset = 150;
    file.read_exact_at(&mut byte, offset)
        .expect("the segment is longer");
    file.write_all_at(&[byte[0] ^ 1], offset)
        .expect("it can be written");
    let Finished { code, out, err } = run(&["verify", "--data-dir", &shown(data)]);
    assert_eq!(code, Some(65), "{out}{err}");
    let name = first
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    assert!(out.contains("DAMAGED") && out.contains(&name), "{out}");
}
