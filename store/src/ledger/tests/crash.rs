//! Checks damaged ledgers, and ledgers whose process is killed, in child processes.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::*;

const CHECK_FOLDER: &str = "WEIR_TEST_CHECK_LEDGER";

/// Not a test: a child process of the tests below, which checks a ledger. sled may crash it.
#[test]
fn check_ledger_in_child() {
    if let Some(dir) = env::var_os(CHECK_FOLDER) {
        check(Path::new(&dir)).unwrap();
    }
}

fn run_check(dir: &Path, limit_s: u64) -> Result<(), String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "ledger::tests::crash::check_ledger_in_child"])
        .env(CHECK_FOLDER, dir);
    let limit = Duration::from_secs(limit_s);
    let limits = CheckLimits {
        cpu: limit,
        asleep: limit,
    };
    match check_in_child(command, limits, |_| {}).unwrap() {
        LedgerCheck::Sound => Ok(()),
        LedgerCheck::Damaged(reason) => Err(reason),
        LedgerCheck::NotPossible(reason) => panic!("the check could not be done: {reason}"),
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy_folder(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}

/// Flips one bit in a file of the ledger, for even seeds in a nonzero byte. Describes the flip.
fn flip_bit(dir: &Path, seed: u64) -> String {
    let random = |salt: u64, below: u64| {
        let hash = EventId::of(&[&seed.to_le_bytes(), &salt.to_le_bytes()]);
        hash.0[0] % below
    };
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.is_file()).collect();
    files.sort();
    // One time in five any file, otherwise the one with the data.
    let path = match random(0, 5) {
        0 => &files[random(1, files.len() as u64) as usize],
        _ => files.iter().find(|path| path.ends_with("db")).unwrap(),
    };
    let mut bytes = fs::read(path).unwrap();
    let candidates: Vec<_> = match seed % 2 {
        0 => (0..bytes.len()).filter(|at| bytes[*at] != 0).collect(),
        _ => (0..bytes.len()).collect(),
    };
    let Some(at) = candidates.get(random(2, candidates.len().max(1) as u64) as usize) else {
        return format!("seed {seed}: nothing to flip in {}", path.display());
    };
    bytes[*at] ^= 1 << random(3, 8);
    fs::write(path, &bytes).unwrap();
    format!("seed {seed}: byte {at} of {}", path.display())
}

#[test]
fn flipped_bits_are_detected_or_leave_the_state_of_an_epoch() {
    const TRIES: u64 = 100;
    let source = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(source.path()).unwrap();
    let mut at_epoch = vec![export(&ledger)];
    for epoch in 1..=30 {
        ledger
            .commit(&commit(epoch, epoch % 11..epoch % 11 + 12))
            .unwrap();
        at_epoch.push(export(&ledger));
    }
    ledger.sync().unwrap();
    drop(ledger);
    run_check(source.path(), 60).unwrap();

    let mut detected = 0;
    for seed in 0..TRIES {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("ledger");
        copy_folder(source.path(), &dir);
        let flip = flip_bit(&dir, seed);
        if run_check(&dir, 10).is_err() {
            detected += 1;
            quarantine(&dir, "flipped").unwrap();
            continue;
        }
        let ledger = Ledger::open(&dir).unwrap();
        let epoch = ledger.applied().0 as usize;
        assert_eq!(Some(&export(&ledger)), at_epoch.get(epoch), "{flip}");
    }
    // How much of sled's files is in use depends on the timing of its threads. This only checks
    // that some flips hit used bytes.
    assert!(
        detected >= TRIES / 20,
        "only {detected} flips were detected"
    );
}

const COMMIT_FOLDER: &str = "WEIR_TEST_COMMIT_LEDGER";

/// The commit of the killed process at `epoch`.
fn child_commit(epoch: u64) -> Commit {
    commit(epoch, epoch % 11..epoch % 11 + 12)
}

/// Not a test: the child process that the test below kills.
#[test]
fn commit_in_child_until_killed() {
    let Some(dir) = env::var_os(COMMIT_FOLDER) else {
        return;
    };
    let ledger = Ledger::open(Path::new(&dir)).unwrap();
    for epoch in ledger.applied().0 + 1.. {
        ledger.commit(&child_commit(epoch)).unwrap();
        if epoch % 5 == 0 {
            ledger.sync().unwrap();
        }
        println!("applied {epoch}");
    }
}

#[test]
fn ledger_of_killed_process_has_whole_epochs() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, twin) = (parent.path().join("ledger"), parent.path().join("twin"));
    let twin = Ledger::open(&twin).unwrap();
    let mut before = 0;
    for (round, lines) in [1, 7, 23, 4, 60, 2, 31, 12, 90, 5].into_iter().enumerate() {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "ledger::tests::crash::commit_in_child_until_killed",
            ])
            .arg("--nocapture")
            .env(COMMIT_FOLDER, &dir)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let applied = output
            .map(Result::unwrap)
            .filter(|line| line.contains("applied"));
        assert_eq!(applied.take(lines).count(), lines, "round {round}");
        child.kill().unwrap();
        child.wait().unwrap();

        run_check(&dir, 60).unwrap();
        let ledger = Ledger::open(&dir).unwrap();
        let now = ledger.applied().0;
        // Synced epochs are there: all but the last five that the child printed.
        assert!(
            now + 5 >= before + lines as u64,
            "round {round}: {before} to {now}"
        );
        for epoch in twin.applied().0 + 1..=now {
            twin.commit(&child_commit(epoch)).unwrap();
        }
        assert_eq!(export(&ledger), export(&twin), "round {round}");
        before = now;
    }
}
