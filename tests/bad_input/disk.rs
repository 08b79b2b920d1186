//! Full and read-only disks.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_schema::Transport;

use super::line;
use super::support::http::{Reply, Request};
use super::support::{Weir, config, frames, skipped, until};

/// A small file system, mounted while the value lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts 8 MiB; `None` if this process has no right to.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(at);
        let mounted = mount.stderr(std::process::Stdio::null()).status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(at.to_owned()))
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        let status = mount
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .status();
        assert!(status.expect("it can be run").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// One line in this many raises an alert.
const ALERTING: usize = 2;

/// Lines of one request.
const LINES: usize = 100;

/// A line that does not compress. One in [`ALERTING`] raises an alert of its own.
fn noise(n: usize) -> Vec<u8> {
    let mut state = n as u64 + 1;
    let mut text = match n % ALERTING {
        0 => format!(
            "<86>1 2026-01-01T10:00:00Z h sudo - - - u{n} : TTY=pts/0 ; PWD=/ ; USER=root ; \
             COMMAND=/usr/bin/systemctl stop "
        ),
        _ => format!("<13>1 2026-01-01T10:00:00Z h app - - - line {n} "),
    };
    for _ in 0..60 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:016x}", state ^ (state >> 29)));
    }
    text.into_bytes()
}

/// Lines of request `n`.
fn lines(n: usize) -> Vec<Vec<u8>> {
    (0..LINES).map(|k| noise(n * LINES + k)).collect()
}

/// Sends request `n`, which the server accepts whole or refuses whole.
fn post(weir: &Weir, n: usize) -> Reply {
    let body = lines(n).join(&b'\n');
    let request = Request::new("POST", "/api/v1/events").header("Content-Type", "text/plain");
    weir.send(request.body(&body))
}

/// Sends requests until the server refuses one because the disk is full; returns its number.
fn fill(weir: &Weir) -> usize {
    let full = (0..1_000).find(|n| {
        let reply = post(weir, *n);
        if reply.status == 200 {
            return false;
        }
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(reply.text().contains("full"), "{}", reply.text());
        true
    });
    full.expect("a thousand requests fill eight MiB")
}

#[test]
fn a_full_disk_refuses_new_events_and_loses_no_accepted_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(&folder.path().join("small")) else {
        let test = "a_full_disk_refuses_new_events_and_loses_no_accepted_ones";
        return skipped(test, "the right to mount a small file system");
    };
    let data = disk.0.join("data");
    let weir = Weir::start(&data, &config("[journal]\nsegment_mib = 1\n"));
    let full = fill(&weir);
    // The server lives and reports the fault. A TCP sender has to wait but loses nothing.
    let health = Request::new("GET", "/healthz").send(weir.http);
    assert_eq!(health.expect("a reply").status, 200);
    let waiting = [line(1), line(2)].concat();
    let mut stream = TcpStream::connect(weir.tcp).expect("the port is open");
    stream.write_all(&waiting).expect("the server reads");
    weir.await_metric("weir_events_received_total", "tcp", 2);
    assert!(weir.metric("weir_journal_faults_total", "") >= 1.0);
    // With room again, everything continues without a restart.
    disk.remount("size=64m");
    weir.await_metric("weir_events_journaled_total", "", (full * LINES) as u64 + 2);
    until("new events are accepted", || {
        (post(&weir, full).status == 200).then_some(())
    });
    let accepted = (full + 1) * LINES;
    // Alerts whose commit met the full disk are raised, too.
    let raised = accepted / ALERTING;
    let faults = weir.metric("weir_commit_faults_total", "");
    println!("{raised} alerts are due; {faults} commits met the full disk");
    weir.await_metric("weir_alerts_total", "raised", raised as u64);
    weir.await_metric("weir_events_decoded_total", "", accepted as u64 + 2);
    weir.assert_well();
    drop(stream);
    weir.stop();
    assert_stored(&data, full + 1);
}

/// Every line of the first `requests` requests is in the journal once, and so are the lines over TCP.
fn assert_stored(data: &Path, requests: usize) {
    let stored = frames(data, Transport::Http);
    let sent: Vec<Vec<u8>> = (0..requests).flat_map(lines).collect();
    println!("{requests} requests; {} lines stored", stored.len());
    for line in &sent {
        let times = stored.iter().filter(|frame| *frame == line).count();
        assert_eq!(times, 1, "{}", String::from_utf8_lossy(&line[..60]));
    }
    assert_eq!(stored.len(), sent.len());
    let tcp = frames(data, Transport::Tcp);
    for n in [1, 2] {
        let line = line(n);
        let times = tcp.iter().filter(|frame| **frame == line.trim_ascii_end());
        assert_eq!(times.count(), 1);
    }
}

#[test]
fn a_read_only_folder_ends_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(&folder.path().join("small")) else {
        let test = "a_read_only_folder_ends_the_start";
        return skipped(test, "the right to mount a small file system");
    };
    let data = disk.0.join("data");
    let weir = Weir::start(&data, &config(""));
    weir.assert_well();
    weir.stop();
    disk.remount("ro");
    for data in [data.clone(), disk.0.join("new")] {
        let refused = Weir::try_start(&data, &config(""))
            .err()
            .expect("the start fails");
        assert!(matches!(refused.code, Some(74 | 77)), "{refused:?}");
        assert!(
            refused.stderr.to_lowercase().contains("read-only"),
            "{}",
            refused.stderr
        );
        assert!(
            refused.stderr.contains(&disk.0.display().to_string()),
            "{}",
            refused.stderr
        );
    }
    disk.remount("rw");
    Weir::start(&data, &config("")).assert_well();
}
