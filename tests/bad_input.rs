//! What is broken, hostile or full gets a clear answer or is kept; nothing panics, stops, or is lost.

mod support;

use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::http::Request;
use support::{LIMIT, Weir, config, skipped, until};
use weir_schema::Transport;

/// A server on a fresh folder.
fn fresh() -> (tempfile::TempDir, Weir) {
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(&folder.path().join("data"), &config(""));
    (folder, weir)
}

fn line(n: usize) -> Vec<u8> {
    format!("<13>1 2026-01-01T00:00:00Z h app - - - line {n}\n").into_bytes()
}

#[test]
fn broken_streams_are_kept_and_hurt_nobody() {
    let (_folder, weir) = fresh();
    let deep = [
        b"{\"a\":".repeat(100_000),
        b"1".to_vec(),
        b"}".repeat(100_000),
    ]
    .concat();
    let mut deep_line = deep.clone();
    deep_line.push(b'\n');
    let mut deep_counted = format!("{} ", deep.len()).into_bytes();
    deep_counted.extend(&deep);
    // What is sent, how many events that makes, and which metric tells of it.
    let frame = "weir_frames_truncated_total";
    let framing = "weir_framing_errors_total";
    let problem = "weir_parse_failures_total";
    let cases: Vec<(&str, Vec<u8>, u64, &str, &str)> = vec![
        (
            "an oversized line",
            [vec![b'x'; 1 << 20], b"\n".to_vec()].concat(),
            1,
            frame,
            "",
        ),
        (
            "an oversized counted frame",
            [b"300000 ".to_vec(), vec![b'y'; 300_000]].concat(),
            1,
            frame,
            "",
        ),
        (
            "a count that lies",
            b"500 <13>short".to_vec(),
            1,
            framing,
            "",
        ),
        (
            "a count without end",
            [vec![b'9'; 4_000], b" <13>x\n".to_vec()].concat(),
            1,
            problem,
            "",
        ),
        (
            "a wrong count behind a good one",
            b"5 <13>a7x <13>b\n5 <13>c".to_vec(),
            3,
            framing,
            "",
        ),
        (
            "an unterminated line",
            b"<13>1 - - - - - - no end".to_vec(),
            1,
            problem,
            "time_missing",
        ),
        (
            "NUL in a line",
            b"<13>first\n<13>a\0b\0\0\n".to_vec(),
            2,
            problem,
            "",
        ),
        (
            "bytes that are no UTF-8",
            b"<13>\xff\xc0\xaf\xed\xa0\x80\n".to_vec(),
            1,
            problem,
            "utf8",
        ),
        ("nothing but NUL", vec![0; 70_000], 0, framing, ""),
        ("nothing but LF", vec![b'\n'; 70_000], 0, framing, ""),
        (
            "the year 9999",
            b"<13>1 9999-12-31T23:59:59Z h a - - - x\n".to_vec(),
            1,
            problem,
            "absurd",
        ),
        (
            "the year 0",
            b"<13>1 0000-01-01T00:00:00Z h a - - - x\n".to_vec(),
            1,
            problem,
            "",
        ),
        (
            "a second 61",
            b"<13>1 2026-01-01T00:00:61Z h a - - - x\n".to_vec(),
            1,
            problem,
            "",
        ),
        (
            "the 31st of February",
            b"<13>Feb 31 25:61:61 h a: x\n".to_vec(),
            1,
            problem,
            "",
        ),
        (
            "a far future",
            b"<13>1 2261-01-01T00:00:00Z h a - - - x\n".to_vec(),
            1,
            problem,
            "future",
        ),
        ("JSON 100,000 deep in a line", deep_line, 1, frame, ""),
        ("JSON 100,000 deep, counted", deep_counted, 1, frame, ""),
    ];
    for (name, bytes, events, metric, label) in cases {
        let journaled = weir.metric("weir_events_journaled_total", "") as u64;
        let told = weir.metric(metric, label);
        weir.send_tcp(&bytes);
        weir.await_metric("weir_events_journaled_total", "", journaled + events);
        weir.await_metric("weir_events_decoded_total", "", journaled + events);
        if events > 0 {
            until(&format!("{name} is told by {metric}"), || {
                (weir.metric(metric, label) > told).then_some(())
            });
        }
        weir.assert_well();
        println!("{name}: ok");
    }
    weir.stop();
}

#[test]
fn broken_datagrams_are_kept_and_hurt_nobody() {
    let (folder, weir) = fresh();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let datagrams: [&[u8]; 5] = [
        b"",
        &[0; 60_000],
        b"\xff\xfe\xfd",
        b"<999>1 x",
        &[b'{'; 65_000],
    ];
    for datagram in datagrams {
        socket.send_to(datagram, weir.udp).expect("it is sent");
    }
    weir.await_metric("weir_events_received_total", "udp", 4);
    weir.assert_well();
    let data = weir.data.clone();
    weir.stop();
    let kept = support::frames(&data, Transport::Udp);
    assert_eq!(
        kept,
        datagrams[1..]
            .iter()
            .map(|d| d.to_vec())
            .collect::<Vec<_>>()
    );
    drop(folder);
}

#[test]
fn broken_requests_get_a_clear_answer() {
    let (_folder, weir) = fresh();
    let deep = [
        b"{\"a\":".repeat(100_000),
        b"1".to_vec(),
        b"}".repeat(100_000),
    ]
    .concat();
    let lists = b"[".repeat(100_000);
    let huge = vec![b' '; (16 << 20) + 1];
    let events = "/api/v1/events";
    let rules = "/api/v1/rules";
    let yaml_deep = b"a: "
        .iter()
        .chain(&b"[".repeat(100_000))
        .copied()
        .collect::<Vec<u8>>();
    let cases: [(&str, &str, &[u8], u16); 14] = [
        ("POST", events, b"", 400),
        ("POST", events, b"no json\n", 400),
        ("POST", events, b"\xff\xfe\n", 400),
        ("POST", events, b"\"text\"\n[1]\n3\n", 400),
        ("POST", events, &lists, 400),
        ("POST", events, &huge, 413),
        ("PUT", rules, b"title: [", 422),
        ("PUT", rules, b"", 422),
        ("PUT", rules, b"# nothing\n---\n", 422),
        (
            "PUT",
            rules,
            b"title: no detection\nlogsource: {product: x}\n",
            422,
        ),
        ("PUT", rules, b"\xff", 400),
        ("PUT", rules, &yaml_deep, 422),
        ("GET", "/api/v1/alerts/zzz", b"", 400),
        ("GET", "/api/v1/alerts?limit=x", b"", 400),
    ];
    for (method, path, body, status) in cases {
        let reply = weir.send(Request::new(method, path).body(body));
        let shown: String = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(
            reply.status,
            status,
            "{method} {path} {shown:?}: {}",
            reply.text()
        );
        assert!(reply.json()["detail"].is_string(), "{}", reply.text());
        weir.assert_well();
    }
    // Deep objects are refused, or kept with the problem; either is told.
    let reply = weir.send(Request::new("POST", events).body(&deep));
    assert!(matches!(reply.status, 200 | 400), "{}", reply.text());
    // A rule that is wrong further down is refused with its line, and none of the text is taken.
    let text = "title: Good\nid: good\nlogsource: {product: x}\n\
                detection: {s: {a: 1}, condition: s}\nlevel: low\n---\n\
                title: Bad\nid: bad\nlogsource: {product: x}\n\
                detection: {s: {a: 1}, condition: s and nobody}\nlevel: low\n";
    let reply = weir.send(Request::new("PUT", rules).body(text.as_bytes()));
    assert_eq!(reply.status, 422, "{}", reply.text());
    let first = &reply.json()["diagnostics"][0];
    assert!(
        first["line"].as_u64().is_some_and(|line| line >= 7),
        "{first}"
    );
    assert!(
        first["message"]
            .as_str()
            .is_some_and(|text| text.contains("nobody")),
        "{first}"
    );
    let listed = weir.get(rules).text();
    assert!(
        !listed.contains("\"good\""),
        "half of a refused text runs: {listed}"
    );
    weir.assert_well();
    // Not HTTP at all.
    let mut stream = std::net::TcpStream::connect(weir.http).expect("it is open");
    stream
        .write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")
        .expect("it is read");
    drop(stream);
    // Not the agent protocol.
    for bytes in [
        b"\xff\xff\xff\xff".as_slice(),
        b"\x08\0\0\0garbage!",
        b"\0\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = std::net::TcpStream::connect(weir.agent).expect("it is open");
        stream.write_all(bytes).expect("it is read");
        // It may have been refused and closed already.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let mut said = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut said);
    }
    weir.assert_well();
    weir.stop();
}

#[test]
fn a_configuration_that_cannot_be_used_ends_the_start_with_78() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, word) in [
        ("[journal]\nsegment_mb = 3\n", "segment_mb"),
        ("colour = 1\n", "colour"),
        ("[listen]\nhttp = \"nowhere\"\n", "nowhere"),
        ("[graph]\nworkers = 0\n", "graph.workers"),
        ("not toml", "line 1"),
    ] {
        let not = Weir::try_start(folder.path(), text)
            .err()
            .expect("it is refused");
        assert_eq!(not.code, Some(78), "{}", not.stderr);
        assert!(not.stderr.contains(word), "{}", not.stderr);
    }
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let (_folder, weir) = fresh();
    let not = Weir::try_start(&weir.data, &config(""))
        .err()
        .expect("it is refused");
    assert!(not.code.is_some_and(|code| code != 0), "{not:?}");
    assert!(
        not.stderr.contains("in use by another process"),
        "{}",
        not.stderr
    );
    weir.assert_well();
    weir.stop();
}

/// Mounts a small file system; `None` where this process may not.
struct Small(PathBuf);

impl Small {
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

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

const ALERTING: usize = 2;

/// Lines that do not compress; one in [`ALERTING`] raises an alert of its own.
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

#[test]
fn a_full_disk_refuses_what_is_new_and_loses_nothing_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(small) = Small::mount(&folder.path().join("small")) else {
        let test = "a_full_disk_refuses_what_is_new_and_loses_nothing_old";
        return skipped(test, "the right to mount a small file system");
    };
    let data = small.0.join("data");
    let weir = Weir::start(&data, &config("[journal]\nsegment_mib = 1\n"));
    // Fills the disk by requests of 100 lines; each is acknowledged whole or refused whole.
    let body = |n: usize| {
        let lines: Vec<Vec<u8>> = (0..100).map(|k| noise(n * 100 + k)).collect();
        lines.join(&b'\n')
    };
    let post = |n: usize| {
        let body = body(n);
        let request = Request::new("POST", "/api/v1/events").header("Content-Type", "text/plain");
        weir.send(request.body(&body))
    };
    let mut acknowledged = Vec::new();
    let full = (0..1_000).find(|n| {
        let reply = post(*n);
        if reply.status == 200 {
            acknowledged.push(*n);
            return false;
        }
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(reply.text().contains("full"), "{}", reply.text());
        true
    });
    let full = full.expect("eight MiB are full at some time");
    // It lives, and says what is wrong; a TCP sender is held back, and not lost.
    assert_eq!(
        Request::new("GET", "/healthz")
            .send(weir.http)
            .expect("it lives")
            .status,
        200
    );
    let held = [line(1), line(2)].concat();
    let mut stream = std::net::TcpStream::connect(weir.tcp).expect("it is open");
    stream.write_all(&held).expect("it is read");
    weir.await_metric("weir_events_received_total", "tcp", 2);
    assert!(weir.metric("weir_journal_faults_total", "") >= 1.0);
    // Room is made: everything goes on without a restart.
    small.remount("size=64m");
    let held_too = acknowledged.len() as u64 * 100 + 2;
    weir.await_metric("weir_events_journaled_total", "", held_too);
    until("new events are taken", || {
        (post(full).status == 200).then_some(())
    });
    acknowledged.push(full);
    // Every alert is said, those whose commit met the full disk, too.
    let raised = (acknowledged.len() * 100 / ALERTING) as u64;
    let faults = weir.metric("weir_commit_faults_total", "");
    println!("{raised} alerts are due; {faults} commits met the full disk");
    weir.await_metric("weir_alerts_total", "raised", raised);
    let wanted = acknowledged.len() as u64 * 100 + 2;
    weir.await_metric("weir_events_decoded_total", "", wanted);
    weir.assert_well();
    drop(stream);
    weir.stop();
    let kept = support::frames(&data, Transport::Http);
    let sent = acknowledged
        .iter()
        .flat_map(|n| (0..100).map(move |k| noise(n * 100 + k)));
    let sent: Vec<Vec<u8>> = sent.collect();
    println!(
        "a full disk after {} requests; {} lines kept",
        full,
        kept.len()
    );
    for line in &sent {
        let times = kept.iter().filter(|frame| *frame == line).count();
        assert_eq!(times, 1, "{}", String::from_utf8_lossy(&line[..60]));
    }
    assert_eq!(kept.len(), sent.len());
    let tcp = support::frames(&data, Transport::Tcp);
    for n in [1, 2] {
        let held = line(n);
        assert_eq!(
            tcp.iter()
                .filter(|frame| **frame == held.trim_ascii_end())
                .count(),
            1
        );
    }
}

#[test]
fn a_folder_that_cannot_be_written_ends_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(small) = Small::mount(&folder.path().join("small")) else {
        let test = "a_folder_that_cannot_be_written_ends_the_start";
        return skipped(test, "the right to mount a small file system");
    };
    let data = small.0.join("data");
    let weir = Weir::start(&data, &config(""));
    weir.assert_well();
    weir.stop();
    small.remount("ro");
    for data in [data.clone(), small.0.join("new")] {
        let not = Weir::try_start(&data, &config(""))
            .err()
            .expect("it cannot run");
        assert!(matches!(not.code, Some(74 | 77)), "{not:?}");
        assert!(
            not.stderr.to_lowercase().contains("read-only"),
            "{}",
            not.stderr
        );
        assert!(
            not.stderr.contains(&small.0.display().to_string()),
            "{}",
            not.stderr
        );
    }
    small.remount("rw");
    Weir::start(&data, &config("")).assert_well();
}

/// Alerts of the rule for denied sudo, many enough for the ledger to have something to lose.
fn alerting(weir: &Weir, users: usize) {
    let sudo = |user: usize| {
        format!(
            "<86>1 2026-01-01T10:00:00Z db7 sudo - - - u{user} : TTY=pts/0 ; PWD=/ ; USER=root ; \
             COMMAND=/usr/bin/systemctl stop auditd\n"
        )
    };
    let mut text: String = (0..users).map(sudo).collect();
    text.push_str("<13>1 2026-01-01T10:05:00Z db7 cron - - - later\n");
    weir.send_tcp(text.as_bytes());
    weir.await_metric("weir_events_decoded_total", "", users as u64 + 1);
}

/// All alerts with their histories, as the API tells them.
fn alerts(weir: &Weir) -> Vec<Value> {
    let listed = weir.get("/api/v1/alerts?limit=1000&standing=all").json();
    let mut all = Vec::new();
    for alert in listed["alerts"].as_array().expect("a list") {
        let id = alert["alert"].as_str().expect("its id");
        all.push(weir.get(&format!("/api/v1/alerts/{id}")).json());
    }
    all
}

fn flip(file: &Path, offset: u64) {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)
        .expect("it is long enough");
    byte[0] ^= 0x40;
    file.write_all_at(&byte, offset).expect("it can be written");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("it is there");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("it is there").path())
        .collect();
    files.sort();
    files
}

#[test]
fn a_flipped_byte_of_the_journal_is_told_and_set_aside() {
    let (_folder, weir) = fresh();
    let data = weir.data.clone();
    for n in 0..20 {
        weir.send_tcp(&line(n));
        weir.await_metric("weir_events_journaled_total", "", n as u64 + 1);
    }
    weir.stop();
    let segment = files(&data.join("journal"))
        .into_iter()
        .find(|file| file.extension().is_some());
    let segment = segment.expect("a segment");
    let length = std::fs::metadata(&segment).expect("it is there").len();
    flip(&segment, length - length / 4);
    let weir = Weir::start(&data, &config(""));
    let said = weir.stderr.text();
    assert!(said.contains("the journal is damaged"), "{said}");
    assert!(!files(&data.join("journal/quarantine")).is_empty());
    assert!(weir.metric("weir_journal_damage_total", "") >= 1.0);
    until("it is ready", || {
        (weir.get("/readyz").status == 200).then_some(())
    });
    weir.assert_well();
    weir.stop();
}

#[test]
fn a_damaged_ledger_is_set_aside_and_made_anew() {
    let (_folder, weir) = fresh();
    let data = weir.data.clone();
    alerting(&weir, 200);
    until("all alerts", || (alerts(&weir).len() >= 200).then_some(()));
    let before = alerts(&weir);
    weir.stop();
    let database = data.join("ledger/db");
    let length = std::fs::metadata(&database).expect("it is there").len();
    let damages: [(&str, &dyn Fn()); 4] = [
        ("bytes flipped", &|| {
            // In what it holds: most of a small database is empty space.
            let bytes = std::fs::read(&database).expect("it is there");
            let title = b"Maintenance as root";
            let places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(title));
            let flipped = places.map(|at| flip(&database, at as u64)).count();
            assert!(flipped > 0, "the ledger holds no title");
        }),
        ("a byte flipped at the end", &|| {
            let bytes = std::fs::read(&database).expect("it is there");
            let end = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .expect("it holds something");
            flip(&database, end as u64);
        }),
        ("cut in half", &|| {
            let file = std::fs::OpenOptions::new().write(true).open(&database);
            file.expect("it is there")
                .set_len(length / 2)
                .expect("it can be cut");
        }),
        ("overwritten", &|| {
            std::fs::write(&database, vec![0x5a; length as usize]).expect("it can be written");
        }),
    ];
    let mut told = 0;
    for (name, damage) in damages {
        damage();
        let weir = Weir::start(&data, &config(""));
        until("it is ready", || {
            (weir.get("/readyz").status == 200).then_some(())
        });
        // The storage engine may itself give up its last writes; then the journal gives them back.
        let rebuilds = weir.metric("weir_state_rebuilds_total", "") as usize;
        let said = weir.stderr.text().contains("; rebuilding it");
        assert_eq!(rebuilds, usize::from(said), "{name}");
        told += rebuilds;
        let aside = data.join("quarantine");
        let aside = if told > 0 { files(&aside).len() } else { 0 };
        assert_eq!(aside, told, "{name}");
        assert!(alerts(&weir) == before, "{name}: alerts differ");
        println!(
            "{name}: {}",
            if said {
                "set aside"
            } else {
                "given up by the engine"
            }
        );
        weir.assert_well();
        weir.stop();
    }
    assert!(told > 0, "no damage was told");
}
