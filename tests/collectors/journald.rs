//! systemd's journal: its uploader, and export files.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use weir_schema::{JournaldExport, Transport};

use super::support::{Weir, config, frames, skipped};
use super::{EVENTS, assert_equal, parsed, replayed};

/// Entries in the export format, with messages that break naive readers.
fn export(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..count {
        let time = 1_795_300_000_000_000u64 + n as u64;
        let head = format!(
            "__CURSOR=c{n}\n__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={n}\n\
             _BOOT_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=web-1\nPRIORITY=6\n\
             SYSLOG_IDENTIFIER=sshd\nNUMBER={n}\n"
        );
        bytes.extend_from_slice(head.as_bytes());
        let odd: &[u8] = [
            &b"two\nlines"[..],
            b"\xff\x00binary",
            b"with = and \"quotes\"",
        ][n % 3];
        bytes.extend_from_slice(b"MESSAGE\n");
        bytes.extend_from_slice(&(odd.len() as u64).to_le_bytes());
        bytes.extend_from_slice(odd);
        bytes.extend_from_slice(b"\n\n");
    }
    bytes
}

/// Path of a systemd program, which is outside of `PATH`.
fn systemd(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/lib/systemd", "/lib/systemd"];
    folders
        .map(|folder| Path::new(folder).join(name))
        .into_iter()
        .find(|file| file.is_file())
}

#[test]
fn systemd_journal_upload_delivers_every_entry() {
    let test = "systemd_journal_upload_delivers_every_entry";
    let programs = (
        systemd("systemd-journal-remote"),
        systemd("systemd-journal-upload"),
    );
    let (Some(remote), Some(upload)) = programs else {
        return skipped(test, "systemd-journal-remote");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (file, journal) = (
        folder.path().join("in.export"),
        folder.path().join("in.journal"),
    );
    std::fs::write(&file, export(EVENTS)).expect("it can be written");
    let made = Command::new(remote)
        .arg(format!("--output={}", journal.display()))
        .args(["--split-mode=none", "-"])
        .stdin(std::fs::File::open(&file).expect("it was written"))
        .output()
        .expect("it can be run");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );

    let data = folder.path().join("data");
    let weir = Weir::start(&data, &config(""));
    let uploaded = Command::new(upload)
        .arg(format!("--url=http://weir:{}@{}", weir.token, weir.http))
        .arg(format!("--file={}", journal.display()))
        .arg("--follow=no")
        .arg(format!(
            "--save-state={}",
            folder.path().join("state").display()
        ))
        .output()
        .expect("it can be run");
    let err = String::from_utf8_lossy(&uploaded.stderr);
    assert!(uploaded.status.success(), "{err}\n{}", weir.stderr.text());
    weir.stop();
    let frames = frames(&data, Transport::Http);
    assert_equal("systemd-journal-upload", EVENTS, frames.len());
    let mut sent = JournaldExport::default();
    sent.push(&export(EVENTS));
    for frame in parsed(&frames) {
        let entry = sent
            .next_entry()
            .expect("it is an export")
            .expect("it is whole");
        let entry: Value = serde_json::from_slice(&entry).expect("an entry is JSON");
        for field in ["NUMBER", "MESSAGE", "__REALTIME_TIMESTAMP", "_HOSTNAME"] {
            assert_eq!(frame[field], entry[field], "{field} of {frame}");
        }
    }
}

#[test]
fn journal_exports_are_read_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("in.export");
    std::fs::write(&file, export(300)).expect("it can be written");
    let events = replayed(&file, 0);
    assert_eq!(events.len(), 300);
    assert_eq!(events[0]["time"], "2026-11-21T22:26:40.000000000Z");
    assert_eq!(events[0]["fields"]["program"], "sshd");
    assert!(events.iter().all(|event| event.get("problems").is_none()));
    std::fs::write(&file, &export(3)[..500]).expect("it can be written");
    assert_eq!(
        replayed(&file, 65).len(),
        0,
        "a truncated export is refused before its first event"
    );
}
