//! How long detection takes for one event: our own rules, against lines as servers write them.
//!
//! `cargo run --release -p weir-detect --example detect_speed [FOLDER OF RULES]`

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use weir_detect::{Detected, RuleBook, split_documents};
use weir_schema::{Control, Event, EventTime, LogSource, TenantKey, Value};

/// Rounds per set of events; the fastest of [`REPEATS`] is printed, as the rest is noise.
const ROUNDS: u32 = 20_000;
const REPEATS: u32 = 7;

type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const QUIET: [Row; 4] = [
    (
        "sshd",
        "Connection closed by 198.51.100.7 port 51812 [preauth]",
        &[
            ("host", "web-07"),
            ("process", "sshd"),
            ("pid", "2211"),
            ("src_ip", "198.51.100.7"),
        ],
    ),
    (
        "sudo",
        "alice : TTY=pts/0 ; PWD=/home/alice ; USER=alice ; COMMAND=/usr/bin/ls -l",
        &[
            ("host", "web-07"),
            ("process", "sudo"),
            ("user", "alice"),
            ("target_user", "alice"),
            ("command", "/usr/bin/ls -l"),
        ],
    ),
    (
        "cron",
        "(root) CMD (test -x /usr/sbin/anacron || run-parts --report /etc/cron.daily)",
        &[
            ("host", "web-07"),
            ("process", "CRON"),
            ("pid", "901"),
            ("user", "root"),
        ],
    ),
    (
        "",
        "Reloading configuration of unit nginx.service, a high performance web server",
        &[("host", "web-07"), ("process", "systemd"), ("pid", "1")],
    ),
];

const LOUD: [Row; 1] = [(
    "sshd",
    "Failed password for invalid user admin from 198.51.100.7 port 51812 ssh2",
    &[
        ("host", "web-07"),
        ("process", "sshd"),
        ("user", "admin"),
        ("src_ip", "198.51.100.7"),
        ("outcome", "failure"),
        ("action", "login"),
        ("method", "password"),
    ],
)];

fn main() -> std::io::Result<()> {
    let mut book = RuleBook::new();
    let start = Instant::now();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let folder = std::env::args_os().nth(1).map_or(own, PathBuf::from);
    load(&mut book, &folder)?;
    let (rules, plans) = (book.rules().len(), book.plans().count());
    println!(
        "{rules} rules, {plans} plans, loaded in {:.1?}",
        start.elapsed()
    );
    measure(&book, "no rule matches", &QUIET.map(event));
    measure(&book, "a failed login", &LOUD.map(event));
    Ok(())
}

fn load(book: &mut RuleBook, folder: &Path) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            load(book, &path)?;
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            for (_, text) in split_documents(&std::fs::read_to_string(&path)?) {
                let applied = book.apply(&Control::RulePut {
                    text: text.to_owned(),
                    origin: path.display().to_string(),
                    since: EventTime::MIN,
                });
                applied
                    .diagnostics
                    .iter()
                    .for_each(|found| eprintln!("{found}"));
            }
        }
    }
    Ok(())
}

fn event((service, message, fields): Row) -> Event<'static> {
    Event {
        time: EventTime(1),
        logsource: LogSource {
            category: None,
            product: Some("linux".to_owned()),
            service: (!service.is_empty()).then(|| service.to_owned()),
        },
        fields: fields
            .iter()
            .map(|(name, value)| (Cow::Borrowed(*name), Value::Text(Cow::Borrowed(*value))))
            .collect(),
        message: Cow::Borrowed(message),
        problems: Vec::new(),
    }
}

fn measure(book: &RuleBook, what: &str, events: &[Event<'_>]) {
    let mut out = Detected::default();
    let mut best = f64::INFINITY;
    let mut facts = 0;
    for _ in 0..REPEATS {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            for event in events {
                book.detect(event, TenantKey(1), None, &mut out);
                facts += out.facts.len();
            }
        }
        let count = f64::from(ROUNDS) * events.len() as f64;
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / count);
    }
    let detections = (ROUNDS * REPEATS) as usize * events.len();
    println!(
        "{what}: {best:.0} ns/event, {:.1} facts/event",
        facts as f64 / detections as f64
    );
}
