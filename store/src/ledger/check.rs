//! Checks whether a ledger is valid, and quarantines a damaged one.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use weir_schema::Epoch;

use super::error::OpenLedgerError;
use super::store::Ledger;
use crate::files;

/// The contents of a valid ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckReport {
    pub applied: Epoch,
    /// Keys in the ledger.
    pub keys: u64,
}

/// The result of a check in another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerCheck {
    Sound,
    /// The ledger cannot be trusted: a checksum, a panic or a crash says so.
    Damaged(String),
    /// The check could not do its work: the disk is full, the process was killed, another one has
    /// the ledger. This says nothing about the ledger.
    NotPossible(String),
}

/// The resources that a check has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckProgress {
    pub elapsed: Duration,
    /// Time on a processor, in steps of 10 ms.
    pub cpu: Duration,
    /// Bytes that passed in calls of read and write.
    pub bytes: u64,
}

/// The limits of a check. How long it takes is none of them: a slow disk is not damage.
#[derive(Clone, Copy, Debug)]
pub struct CheckLimits {
    /// Time on a processor. Only an endless loop needs more.
    pub cpu: Duration,
    /// Time asleep without a byte read. Only a deadlock lasts longer; a process that waits for the
    /// disk does not count as asleep.
    pub asleep: Duration,
}

/// Opens the ledger in `dir` and checks all of it. A missing folder is an empty ledger.
///
/// May panic, or never return, if sled's own files are damaged; see [`check_in_child`].
pub fn check(dir: &Path) -> Result<CheckReport, OpenLedgerError> {
    if !dir.exists() {
        return Ok(CheckReport {
            applied: Epoch(0),
            keys: 0,
        });
    }
    let ledger = Ledger::open(dir)?;
    Ok(CheckReport {
        applied: ledger.applied(),
        keys: ledger.len(),
    })
}

/// Exit code of a check that could not do its work: `EX_IOERR` of `sysexits.h`.
pub const NOT_POSSIBLE_CODE: i32 = 74;

/// Pause between two looks at the child.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Pause between two looks at its resources.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of the child's messages that are read.
const MESSAGES_BYTES_MAX: u64 = 64 << 10;

/// Words in the child's messages that show what the machine lacks.
const LACKS: [&str; 7] = [
    "No space left on device",
    "StorageFull",
    "Disk quota exceeded",
    "Read-only file system",
    "Too many open files",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
];

/// Runs `command`, which must call [`check`], exit with 0 only if that succeeds, and with
/// [`NOT_POSSIBLE_CODE`] if it could not do its work.
///
/// Waits for as long as the child works. Calls `observe` every second.
pub fn check_in_child(
    mut command: Command,
    limits: CheckLimits,
    mut observe: impl FnMut(CheckProgress),
) -> io::Result<LedgerCheck> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let messages = read_messages(&mut child);
    let started = Instant::now();
    let mut watch = ChildWatch::default();
    let mut measured = started;
    loop {
        if let Some(status) = child.try_wait()? {
            let messages = messages.and_then(|messages| messages.recv().ok());
            return Ok(judge(status, &messages.unwrap_or_default()));
        }
        if measured.elapsed() >= MEASURE_INTERVAL {
            measured = Instant::now();
            if let Some(usage) = ChildUsage::of(child.id()) {
                let progress = watch.look(started.elapsed(), usage);
                observe(progress);
                if let Some(reason) = watch.hangs(progress, limits) {
                    child.kill()?;
                    child.wait()?;
                    return Ok(LedgerCheck::Damaged(reason));
                }
            }
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Reads the child's messages on another thread, so that a full pipe does not stop the child.
fn read_messages(child: &mut Child) -> Option<Receiver<String>> {
    let mut pipe = child.stderr.take()?;
    let (sender, receiver) = sync_channel(1);
    let read = move || {
        let mut messages = Vec::new();
        let _ = pipe
            .by_ref()
            .take(MESSAGES_BYTES_MAX)
            .read_to_end(&mut messages);
        let _ = io::copy(&mut pipe, &mut io::sink());
        let _ = sender.send(String::from_utf8_lossy(&messages).into_owned());
    };
    let reader = thread::Builder::new().name("weir-check".to_owned());
    reader.spawn(read).ok().map(|_| receiver)
}

/// Judges a check that has ended.
fn judge(status: ExitStatus, messages: &str) -> LedgerCheck {
    if status.success() {
        return LedgerCheck::Sound;
    }
    let lacks = LACKS.iter().find(|word| messages.contains(**word));
    if let Some(lack) = lacks {
        return LedgerCheck::NotPossible((*lack).to_owned());
    }
    // SIGKILL comes from a person or from the system, when memory ends; a crash has other signals.
    let was_killed = matches!(status.signal(), Some(2 | 9 | 15));
    if was_killed || status.code() == Some(NOT_POSSIBLE_CODE) {
        let why = messages.lines().next_back().unwrap_or_default();
        return LedgerCheck::NotPossible(format!("its check ended with {status}: {why}"));
    }
    LedgerCheck::Damaged(format!("its check ended with {status}"))
}

/// The resources that a process uses, as the system counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ChildUsage {
    cpu: Duration,
    bytes: u64,
    is_asleep: bool,
}

impl ChildUsage {
    /// `None` where the system does not say.
    fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let io = fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
        Self::parse(&stat, &io)
    }

    /// Reads `stat`, whose second field may hold anything in brackets, and `io`.
    fn parse(stat: &str, io: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
        // Fields 3, 14 and 15 of proc(5): state, and time in hundredths of a second.
        let cpu = Duration::from_millis((ticks(11)? + ticks(12)?) * 10);
        let count = |name: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|count| count.trim().parse::<u64>().ok())
                .unwrap_or(0)
        };
        Some(Self {
            cpu,
            bytes: count("rchar:") + count("wchar:"),
            is_asleep: *fields.first()? == "S",
        })
    }
}

/// Finds a child that hangs.
#[derive(Debug, Default)]
struct ChildWatch {
    last: Option<ChildUsage>,
    /// When it was last not idly asleep.
    active: Duration,
}

impl ChildWatch {
    fn look(&mut self, elapsed: Duration, usage: ChildUsage) -> CheckProgress {
        let idle = usage.is_asleep && self.last == Some(usage);
        if !idle {
            self.active = elapsed;
        }
        self.last = Some(usage);
        CheckProgress {
            elapsed,
            cpu: usage.cpu,
            bytes: usage.bytes,
        }
    }

    fn hangs(&self, progress: CheckProgress, limits: CheckLimits) -> Option<String> {
        if progress.cpu >= limits.cpu {
            let seconds = progress.cpu.as_secs();
            return Some(format!(
                "its check does not end: it has computed for {seconds} s"
            ));
        }
        let asleep = progress.elapsed.saturating_sub(self.active);
        let seconds = asleep.as_secs();
        (asleep >= limits.asleep).then(|| format!("its check hangs: it slept for {seconds} s"))
    }
}

/// Most quarantined ledgers with the same label.
const QUARANTINED_MAX: u32 = 1000;

/// Moves the ledger in `dir` to the folder `quarantine` beside it. The new name ends in `label`.
///
/// The ledger must not be open. Returns the new path.
pub fn quarantine(dir: &Path, label: &str) -> io::Result<PathBuf> {
    // The parent of a bare name has an empty path, which means the current folder.
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let sanitize = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let label: String = label.chars().map(sanitize).collect();
    let folder = parent.join("quarantine");
    files::create_private_folder(&folder)?;
    for attempt in 0..QUARANTINED_MAX {
        let suffix = match attempt {
            0 => String::new(),
            more => format!("-{more}"),
        };
        let target = folder.join(format!("{name}-{label}{suffix}"));
        if target.symlink_metadata().is_ok() {
            continue;
        }
        fs::rename(dir, &target)?;
        files::sync_folder(&folder)?;
        files::sync_folder(parent)?;
        return Ok(target);
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "too many quarantined ledgers have this label; remove some from the quarantine folder",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CheckLimits = CheckLimits {
        cpu: Duration::from_secs(600),
        asleep: Duration::from_secs(300),
    };

    fn shell(script: &str) -> LedgerCheck {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        check_in_child(command, LIMITS, |_| {}).expect("a shell can be started")
    }

    /// W14: a full disk, a killed check and another process are not damage.
    #[test]
    fn a_check_that_cannot_do_its_work_says_nothing_about_the_ledger() {
        assert_eq!(shell("exit 0"), LedgerCheck::Sound);
        for script in [
            "echo 'Io(Kind(StorageFull))' >&2; exit 101",
            "echo 'panicked: No space left on device (os error 28)' >&2; exit 101",
            "echo 'weir: the ledger is in use' >&2; exit 74",
            "kill -KILL $$",
        ] {
            let checked = shell(script);
            assert!(
                matches!(checked, LedgerCheck::NotPossible(_)),
                "{script}: {checked:?}"
            );
        }
        for script in [
            "exit 1",
            "echo 'panicked at sled' >&2; exit 101",
            "kill -SEGV $$",
        ] {
            let checked = shell(script);
            assert!(
                matches!(checked, LedgerCheck::Damaged(_)),
                "{script}: {checked:?}"
            );
        }
    }

    fn usage(cpu: u64, bytes: u64, state: &str) -> ChildUsage {
        let stat = format!("7 (weir) (x)) {state} 1 7 7 0 -1 0 0 0 0 0 {cpu} 0 0 0 20 0");
        let io = format!("rchar: {bytes}\nwchar: 0\n");
        ChildUsage::parse(&stat, &io).expect("it is in the format of proc(5)")
    }

    /// W14: a check is never damaged by time. The clock is simulated.
    #[test]
    fn a_slow_check_is_waited_for_and_one_that_hangs_is_not() {
        let hangs_within = |hours: u64, usage: &dyn Fn(u64) -> ChildUsage| {
            let mut watch = ChildWatch::default();
            (0..hours * 3_600).find(|second| {
                let progress = watch.look(Duration::from_secs(*second), usage(*second));
                watch.hangs(progress, LIMITS).is_some()
            })
        };
        // A disk that gives a kilobyte a second, or nothing at all for an hour.
        assert_eq!(
            hangs_within(5, &|second| usage(0, second * 1_000, "S")),
            None
        );
        assert_eq!(hangs_within(5, &|_| usage(3, 1_000, "D")), None);
        // A processor that gives two percent.
        assert_eq!(hangs_within(5, &|second| usage(second * 2, 0, "R")), None);
        // An endless loop, and a deadlock.
        assert_eq!(
            hangs_within(5, &|second| usage(second * 100, 0, "R")),
            Some(600)
        );
        assert_eq!(hangs_within(5, &|_| usage(3, 1_000, "S")), Some(300));
    }

    #[test]
    fn the_usage_of_a_process_is_known() {
        assert!(ChildUsage::of(std::process::id()).is_some());
        assert_eq!(ChildUsage::parse("", ""), None);
    }
}
