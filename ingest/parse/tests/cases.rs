//! Lines that people really sent, each with its verdict: read as expected, or a gap that is known.
//!
//! The inputs are not part of the project. They lie in the folder `WEIR_CASES`, or in `cases` beside
//! `WEIR_DATA`; without them the test is skipped.

mod common;

use std::io::Write;
use std::path::PathBuf;

use weir_parse::{Context, decode, event_json, observables};
use weir_schema::{Event, Format, ReceiveTime};

use common::{context, field_text, log_source};

/// 2026-11-30T12:00:00Z, soon after the newest input.
const RECEIVED: ReceiveTime = ReceiveTime(1_796_040_000_000_000_000);

/// A row of the page, a file, its lines (from 1), and what each must have, in the form `name=value`
/// that two spaces separate; `name!` must exist, `name=` must not.
type Row = (&'static str, &'static str, &'static [usize], &'static str);

const SSHD: &str =
    "host=web1  program=sshd  user=root  src_ip=192.0.2.9  outcome=failure  SOURCE=/linux/sshd";

const ROWS: &[Row] = &[
    (
        "G01",
        "i30-lines-in-json.json",
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
        SSHD,
    ),
    (
        "G03",
        "i31-json-in-syslog.log",
        &[1],
        "host=ids1  src_ip=192.0.2.9  dest_port=22",
    ),
    (
        "G03",
        "i31-json-in-syslog.log",
        &[2],
        "EventID=4625  TargetUserName=jdoe  SOURCE=/windows/",
    ),
    (
        "G03",
        "i31-json-in-syslog.log",
        &[4, 5, 7, 8],
        "host=web1  user=jdoe  action=login  src_ip=192.0.2.9",
    ),
    (
        "G03",
        "i31-json-in-syslog.log",
        &[6],
        "user=jdoe  target_user=root  outcome=failure  SOURCE=/linux/sudo",
    ),
    (
        "G05",
        "i12-containers.log",
        &[1],
        "host=  PROBLEMS=truncated",
    ),
    ("G05", "i12-containers.log", &[2], "host="),
    ("G05", "i12-containers.log", &[3], SSHD),
    (
        "G05",
        "i12-containers.log",
        &[4],
        "host=  user=jdoe  src_ip=192.0.2.9",
    ),
    (
        "G06",
        "i12-containers.log",
        &[5, 8],
        "src_ip=192.0.2.44  cs-uri=/admin.php",
    ),
    (
        "G06",
        "i12-containers.log",
        &[6],
        "user=jdoe  src_ip=192.0.2.9",
    ),
    ("G06", "i12-containers.log", &[7], SSHD),
    (
        "G07",
        "i01-cisco-ios-clocks.log",
        &[1],
        "SOURCE=/cisco/  user=jdoe  PROBLEMS=time_missing",
    ),
    (
        "G07",
        "i01-cisco-ios-clocks.log",
        &[2, 3, 4, 5],
        "SOURCE=/cisco/  user=jdoe  src_ip=192.0.2.5  PROBLEMS=",
    ),
    (
        "G07",
        "i01-cisco-ios-clocks.log",
        &[6, 7],
        "host=sw01  PROBLEMS=  SOURCE=/cisco/",
    ),
    (
        "G07",
        "i01-cisco-ios-clocks.log",
        &[8, 9, 11],
        "PROBLEMS=  SOURCE=/cisco/",
    ),
    (
        "G07",
        "i01-cisco-ios-clocks.log",
        &[10],
        "host=sw01  user=jdoe  src_ip=192.0.2.77  PROBLEMS=",
    ),
    (
        "G07",
        "i01-cisco-ios-clocks.log",
        &[12],
        "program=pim  PROBLEMS=  SOURCE=/cisco/",
    ),
    (
        "G08",
        "i32-cisco-asa-bent.log",
        &[1],
        "program=  user=jdoe  src_ip=192.0.2.9  PROBLEMS=",
    ),
    (
        "G08",
        "i32-cisco-asa-bent.log",
        &[2],
        "program=  src_ip=192.0.2.16  dst_ip=198.51.100.89  PROBLEMS=",
    ),
    (
        "G08",
        "i32-cisco-asa-bent.log",
        &[3],
        "host=firepower  src_ip=192.0.2.9  dst_port=53",
    ),
    (
        "G08",
        "i32-cisco-asa-bent.log",
        &[4],
        "host=  src_ip=192.0.2.9  dst_port=22",
    ),
    (
        "G08",
        "i32-cisco-asa-bent.log",
        &[5],
        "host=fw1  src_ip=192.0.2.9  dst_port=22",
    ),
    (
        "G08",
        "i20-nas.log",
        &[7],
        "host=fw1  src_ip=192.0.2.1  dst_port=53  action=block",
    ),
    (
        "G07",
        "i32-cisco-asa-bent.log",
        &[6, 7],
        "host=ASR920  PROBLEMS=",
    ),
    (
        "G09",
        "i17-rfc5424-bent.log",
        &[3],
        "host=web1.example  pid=6993",
    ),
    (
        "G09",
        "i17-rfc5424-bent.log",
        &[4],
        "host=esp01  program=tasmota",
    ),
    ("G09", "i17-rfc5424-bent.log", &[9, 10, 11], SSHD),
    (
        "G09",
        "i34-checkpoint-rsa.log",
        &[3, 4, 9, 10],
        "host=web1  program!  PROBLEMS=unparsed",
    ),
    (
        "G10",
        "i17-rfc5424-bent.log",
        &[1, 2, 5],
        "host=web1  program!  PROBLEMS=",
    ),
    (
        "G11",
        "i14-header-words.log",
        &[6, 7],
        "host=localhost  program=sshd  user=jdoe  src_ip=192.0.2.9",
    ),
    (
        "G11",
        "i14-header-words.log",
        &[9],
        "host=bigip1  program=sshd  user=root  src_ip=192.0.2.9",
    ),
    (
        "G11",
        "i14-header-words.log",
        &[10],
        "host=bigip1  program=tmm",
    ),
    ("G14", "i23-journal.json", &[1, 4, 5], SSHD),
    (
        "G14",
        "i23-journal.json",
        &[2],
        "program=app  MESSAGE=info: user jdoe logged in",
    ),
    ("G15", "i15-cef.log", &[1], "pub=Zm9vYmFy=  psk=YmF6cXV4=="),
    (
        "G17",
        "i32-cisco-asa-bent.log",
        &[9, 10, 11, 12, 13],
        "PROBLEMS=",
    ),
    ("G27", "i13-auditd-enriched.log", &[1, 6], "UID=root"),
    ("G30", "i05-unifi.log", &[1], "host=ap-1  program=hostapd"),
    (
        "G30",
        "i05-unifi.log",
        &[3],
        "host=  program=dropbear  user=jdoe  src_ip=192.0.2.9",
    ),
    ("G30", "i05-unifi.log", &[4], "host=  program=switch"),
    (
        "G30",
        "i05-unifi.log",
        &[5],
        "host=MiniSwitch  program=NETDEV",
    ),
    (
        "G31",
        "i17-rfc5424-bent.log",
        &[7],
        "host=pa01.example  user=admin  src_ip=192.0.2.55  outcome=failure",
    ),
    (
        "G31",
        "i17-rfc5424-bent.log",
        &[8],
        "host=  src_ip=192.0.2.29  dst_ip=198.51.100.2  dst_port=53",
    ),
    (
        "G32",
        "i03-fortinet.log",
        &[1, 2],
        "srcip=192.0.2.44  PROBLEMS=",
    ),
    (
        "G32",
        "i35-quoted-pairs.log",
        &[1, 2],
        "srcip=192.0.2.44  PROBLEMS=",
    ),
    ("G33", "i03-fortinet.log", &[3, 4], "PROBLEMS=  host!"),
    ("G33", "i03b-forti-zone.log", &[3, 4], "usr=jdoe  PROBLEMS="),
    (
        "G33",
        "i35-quoted-pairs.log",
        &[3],
        "user=jdoe  srcip=192.0.2.44",
    ),
    (
        "G34",
        "i33-relays.log",
        &[1],
        "host=udm1  program=ubios-udapi-server",
    ),
    ("G34", "i33-relays.log", &[2, 7], SSHD),
    (
        "G34",
        "i33-relays.log",
        &[3, 4],
        "host=web1  relay_host=relay1  user=root  src_ip=192.0.2.9",
    ),
    (
        "G34",
        "i33-relays.log",
        &[6],
        "host=web1  relay_host=198.51.100.5  user=root",
    ),
    (
        "G35",
        "i06-meraki.log",
        &[1, 2, 3, 4],
        "host=mx-1  PROBLEMS=",
    ),
    (
        "G35",
        "i06-meraki.log",
        &[1, 3],
        "src_ip=192.0.2.10  dst_port=443",
    ),
    (
        "G36",
        "i09-filterlog.log",
        &[1, 2, 3, 4],
        "action!  src_ip!  dst_ip!  SOURCE=firewall//filterlog",
    ),
    (
        "G37",
        "i10-mikrotik.log",
        &[2, 3],
        "src_ip!  dst_ip!  SOURCE=firewall/mikrotik/",
    ),
    (
        "G37",
        "i10-mikrotik.log",
        &[1, 4, 5],
        "user=jdoe  src_ip=192.0.2.88  action=login",
    ),
    (
        "G38",
        "i11-snare.log",
        &[1, 2],
        "EventID=4625  SOURCE=/windows/",
    ),
    (
        "G38",
        "i11-snare.log",
        &[1],
        "TargetUserName=jdoe  IpAddress=192.0.2.9",
    ),
    (
        "G39",
        "i34-checkpoint-rsa.log",
        &[1],
        "src_ip=192.0.2.9  dst_ip=198.51.100.7  dst_port=53  PROBLEMS=",
    ),
    (
        "G40",
        "i04-pri-then-prose.log",
        &[1, 2, 3],
        "host=  program=",
    ),
    ("G40", "i14-header-words.log", &[8], "host=sol10  user=root"),
    (
        "G40",
        "i08-esxi.log",
        &[4],
        "host=esx01  user=root  src_ip=192.0.2.9",
    ),
    (
        "Citrix",
        "i20-nas.log",
        &[4],
        "user=jdoe  src_ip=192.0.2.29  action=login",
    ),
    (
        "Sophos UTM",
        "i20-nas.log",
        &[6],
        "host=utm1  program=sshd  user=root",
    ),
];

/// Returns the folder of the inputs; `None`, and says so, if there is none.
fn folder() -> Option<PathBuf> {
    let beside = || Some(PathBuf::from(std::env::var_os("WEIR_DATA")?).join("../cases"));
    let named = std::env::var_os("WEIR_CASES").map(PathBuf::from);
    let folder = named.or_else(beside).map(|folder| folder.join("ingest"));
    let found = folder.filter(|folder| folder.exists());
    if found.is_none() {
        let skipped = b"SKIPPED: cases_have_their_verdicts: no folder of cases (WEIR_CASES)\n";
        let _ = std::io::stderr().write_all(skipped);
    }
    found
}

fn value(event: &Event<'_>, name: &str) -> String {
    match name {
        "SOURCE" => log_source(event),
        "MESSAGE" => event.message.to_string(),
        "PROBLEMS" => {
            let names: Vec<_> = event.problems.iter().map(|p| p.name()).collect();
            names.join(" ")
        }
        name => match field_text(event, name).as_str() {
            "-" => String::new(),
            text => text.to_owned(),
        },
    }
}

/// Returns what differs from the row.
fn faults(event: &Event<'_>, expected: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for pair in expected.split("  ") {
        match pair.split_once('=') {
            // The clock of some inputs is ahead of the receipt.
            Some(("PROBLEMS", wanted)) => {
                let got = value(event, "PROBLEMS").replace("time_in_future", "");
                if got != wanted {
                    faults.push(format!("problems: {got:?}"));
                }
            }
            Some((name, wanted)) if value(event, name) != wanted => {
                faults.push(format!("{name}: {:?}, not {wanted:?}", value(event, name)));
            }
            Some(_) => {}
            None => {
                let name = pair.trim_end_matches('!');
                if value(event, name).is_empty() {
                    faults.push(format!("{name} is missing"));
                }
            }
        }
    }
    faults
}

#[test]
fn cases_have_their_verdicts() {
    let Some(folder) = folder() else {
        return;
    };
    let context = Context {
        received: RECEIVED,
        ..context(Format::Auto)
    };
    let (mut lines, mut all) = (0, Vec::new());
    for (row, file, numbers, expected) in ROWS {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let frames: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let mut verdict = "read";
        for number in *numbers {
            lines += 1;
            let event = decode(frames[number - 1], &context);
            let _ = observables(&event);
            let faults = faults(&event, expected);
            if !faults.is_empty() {
                verdict = "FAULT";
                all.push(format!(
                    "{row} {file}:{number}: {faults:?}\n  {}",
                    event_json(&event)
                ));
            }
        }
        println!("{row:12} {file:28} {numbers:?} {verdict}");
    }
    assert!(
        all.is_empty(),
        "{} of {lines} lines:\n{}",
        all.len(),
        all.join("\n")
    );
}
