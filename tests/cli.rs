//! The verbs as people type them: what they print, and the exit code that they end with.

mod support;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Weir, config};

/// Exit code, standard output and standard error of `weir` with these arguments.
fn weir(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    (output.status.code(), out, err)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("it can be written");
    shown(&path)
}

#[test]
fn what_cannot_be_done_is_refused_with_its_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = shown(&folder.path().join("none"));
    let bad = write(folder.path(), "bad.toml", "[journal]\nsegment_mb = 3\n");
    let worse = write(
        folder.path(),
        "worse.toml",
        "[graph]\nworkers = 0\n[time]\nidle = \"soon\"\n",
    );
    let token = write(folder.path(), "token", &"0".repeat(64));
    std::process::Command::new("chmod")
        .args(["600", &token])
        .status()
        .expect("chmod can be run");
    let data = shown(folder.path());
    let id = "00112233445566778899aabbccddeeff";
    // Arguments, exit code, and what the message must say.
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--no-such-flag"], 2, "--no-such-flag"),
        (&["no-such-verb"], 2, "no-such-verb"),
        (&["demo", "--speed", "0"], 2, "--speed must be"),
        (&["send", "--from", "3"], 2, "--spool"),
        (
            &["--config", &bad, "--data-dir", &nowhere],
            78,
            "segment_mib",
        ),
        (&["--config", &worse, "--data-dir", &nowhere], 78, "24h"),
        (
            &["send", "--data-dir", &nowhere, "/dev/null"],
            74,
            "--token-file",
        ),
        (
            &["send", "--data-dir", &data, "--to", "127.0.0.1:1"],
            69,
            "no server answers",
        ),
        (
            &[
                "explain",
                id,
                "--data-dir",
                &data,
                "--url",
                "http://127.0.0.1:1",
            ],
            69,
            "start it with",
        ),
        (
            &["explain", id, "--data-dir", &data, "--url", "localhost"],
            2,
            "http://127.0.0.1:8514",
        ),
        (
            &["explain", "../x", "--data-dir", &data],
            2,
            "no id of an alert",
        ),
        (&["verify", "--data-dir", &nowhere], 2, "holds no journal"),
    ];
    for (args, code, says) in cases {
        let (got, out, err) = weir(args);
        assert_eq!(got, Some(*code), "{args:?}: {out}{err}");
        assert!(
            err.contains(says),
            "{args:?} says nothing of {says:?}: {err}"
        );
    }
}

#[test]
fn a_check_tells_all_problems_with_their_places() {
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
    let good = shown(&Path::new(env!("CARGO_MANIFEST_DIR")).join("stories/tied_times.md"));
    let bad = write(folder.path(), "bad.toml", "[graph]\nworkers = 0\n");

    let (code, out, _) = weir(&["check", &good]);
    assert_eq!(code, Some(0), "{out}");
    let (code, out, _) = weir(&["check", "--rules", &rules, &story, &good]);
    assert_eq!(code, Some(65), "{out}");
    // The second document begins on line 10, and its condition stands on its eighth line.
    assert!(out.contains(&format!("{rules}:17:16: ")), "{out}");
    assert!(out.contains(&format!("{story}:")), "{out}");
    let (code, out, _) = weir(&["check", "--config", &bad, "--rules", &rules]);
    assert_eq!(code, Some(78), "{out}");
    assert!(
        out.contains("graph.workers") && out.contains(":17:16: "),
        "{out}"
    );
}

/// Lines that raise one alert, at a time of the past that needs no clock.
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
fn what_is_sent_is_explained_and_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Weir::start(&data, &config(""));
    let dir = shown(&data);
    let lines = write(folder.path(), "lines", &refusals());
    let (to, url) = (server.agent.to_string(), format!("http://{}", server.http));
    // The second run repeats the first line by line: nothing is counted twice.
    for _ in 0..2 {
        let send = [
            "send",
            "--to",
            &to,
            "--data-dir",
            &dir,
            "--spool",
            "7",
            &lines,
        ];
        let (code, out, err) = weir(&send);
        assert_eq!((code, &*out), (Some(0), "4 lines acknowledged\n"), "{err}");
    }
    server.await_metric("weir_events_decoded_total", "", 4);
    let alert = support::until("an alert", || {
        let alerts = server.get("/api/v1/alerts").json();
        let found = alerts["alerts"].as_array()?.first()?.clone();
        (found["count"] == 4).then(|| found["alert"].as_str().map(str::to_owned))?
    });
    let explain = ["explain", &alert, "--url", &url, "--data-dir", &dir];
    let (code, out, err) = weir(&explain);
    assert_eq!(code, Some(0), "{err}");
    for said in [
        "stands.",
        "user=anna",
        "incorrect password",
        "sudo refuses",
        "1. raised",
    ] {
        assert!(out.contains(said), "{said:?} is not in: {out}");
    }
    let unknown = "00112233445566778899aabbccddeeff";
    let (code, _, err) = weir(&["explain", unknown, "--url", &url, "--data-dir", &dir]);
    assert!(
        code == Some(1) && err.contains("knows no alert"),
        "{code:?}: {err}"
    );
    let (code, _, err) = weir(&["verify", "--data-dir", &dir]);
    assert!(
        code == Some(1) && err.contains("a server runs on"),
        "{code:?}: {err}"
    );
    server.stop();

    let (code, out, err) = weir(&["verify", "--ledger", "--data-dir", &dir]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        out.contains("1 batches with 4 frames") && out.contains("byte for byte"),
        "{out}"
    );
    ahead_of_its_journal(&data);
    flipped(&data);
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

/// Cuts the journal's tail: the ledger then knows epochs that never were, and is derived anew.
fn ahead_of_its_journal(data: &Path) {
    let dir = shown(data);
    let segments = segments(data);
    let last = segments.last().expect("a segment");
    let whole = std::fs::read(last).expect("it can be read");
    let mut length = whole.len();
    // Back over ticks and the seals behind them, until an epoch with changes is gone.
    let (_, out, _) = loop {
        length = length
            .checked_sub(64)
            .expect("the ledger has applied something");
        std::fs::write(last, &whole[..length]).expect("it can be written");
        let verified = weir(&["verify", "--data-dir", &dir]);
        if verified.1.contains("ledger: AHEAD") {
            assert_eq!(verified.0, Some(65));
            break verified;
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
    let (code, out, err) = weir(&["verify", "--ledger", "--data-dir", &dir]);
    assert_eq!(code, Some(0), "{out}{err}");
}

/// One bit of an acknowledged block: told with its place.
fn flipped(data: &Path) {
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
        .expect("it is so long");
    file.write_all_at(&[byte[0] ^ 1], offset)
        .expect("it can be written");
    let (code, out, err) = weir(&["verify", "--data-dir", &shown(data)]);
    assert_eq!(code, Some(65), "{out}{err}");
    let name = first
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    assert!(out.contains("DAMAGED") && out.contains(&name), "{out}");
}
