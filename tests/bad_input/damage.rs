//! Damaged journals and ledgers: reported, moved to quarantine, and rebuilt.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{Weir, config, until};
use super::{fresh, line};

/// Raises one alert for each user, so that the ledger has something to lose.
fn raise_alerts(weir: &Weir, users: usize) {
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

/// All alerts with their histories, from the API.
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
fn a_flipped_byte_of_the_journal_is_reported_and_quarantined() {
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
    let log = weir.stderr.text();
    assert!(log.contains("the journal is damaged"), "{log}");
    assert!(!files(&data.join("journal/quarantine")).is_empty());
    assert!(weir.metric("weir_journal_damage_total", "") >= 1.0);
    weir.await_ready();
    weir.assert_well();
    weir.stop();
}

/// Ways to damage the ledger's database.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// Bytes of stored values. Most of a small database is empty space.
    Values,
    /// The last byte that is not zero.
    End,
    CutInHalf,
    Overwritten,
}

impl Damage {
    fn inflict(self, database: &Path, length: u64) {
        let bytes = std::fs::read(database).expect("it is there");
        match self {
            Self::Values => {
                let title = b"Maintenance as root";
                let places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(title));
                let flipped = places.map(|at| flip(database, at as u64)).count();
                assert!(flipped > 0, "the ledger holds no title");
            }
            Self::End => {
                let end = bytes.iter().rposition(|byte| *byte != 0);
                flip(database, end.expect("it holds something") as u64);
            }
            Self::CutInHalf => {
                let file = std::fs::OpenOptions::new().write(true).open(database);
                let cut = file.expect("it is there").set_len(length / 2);
                cut.expect("it can be cut");
            }
            Self::Overwritten => {
                std::fs::write(database, vec![0x5a; length as usize]).expect("it can be written");
            }
        }
    }
}

#[test]
fn a_damaged_ledger_is_quarantined_and_rebuilt() {
    let (_folder, weir) = fresh();
    let data = weir.data.clone();
    raise_alerts(&weir, 200);
    until("all alerts", || (alerts(&weir).len() >= 200).then_some(()));
    let before = alerts(&weir);
    weir.stop();
    let database = data.join("ledger/db");
    let length = std::fs::metadata(&database).expect("it is there").len();
    let mut quarantined = 0;
    for damage in [
        Damage::Values,
        Damage::End,
        Damage::CutInHalf,
        Damage::Overwritten,
    ] {
        damage.inflict(&database, length);
        let weir = Weir::start(&data, &config(""));
        weir.await_ready();
        // The storage engine may itself discard its last writes. Then the journal restores them.
        let rebuilds = weir.metric("weir_state_rebuilds_total", "") as usize;
        let logged = weir.stderr.text().contains("; rebuilding it");
        assert_eq!(rebuilds, usize::from(logged), "{damage:?}");
        quarantined += rebuilds;
        let folder = data.join("quarantine");
        let found = if quarantined > 0 {
            files(&folder).len()
        } else {
            0
        };
        assert_eq!(found, quarantined, "{damage:?}");
        assert!(alerts(&weir) == before, "{damage:?}: alerts differ");
        println!("{damage:?}: {rebuilds} rebuilds");
        weir.assert_well();
        weir.stop();
    }
    assert!(quarantined > 0, "no damage was found");
}
