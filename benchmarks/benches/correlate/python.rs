//! Compares Weir with two stream processors for Python, in a virtual environment of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value as Json, json};
use weir_benchmarks::logins::{
    Login, LoginCondition, LoginRule, LoginStream, SKEWS, StreamShape, skewed,
};

use crate::race::{Rounds, Timing, ratios};
use crate::weir;

/// Packages, pinned because they are measured.
const PACKAGES: [&str; 2] = ["bytewax==0.21.1", "pathway==0.33.0"];
/// Interpreters to try: some versions of Python have no wheel of both.
const PYTHONS: [&str; 5] = [
    "python3",
    "python3.11",
    "python3.12",
    "python3.10",
    "python3.13",
];
const SEED: u64 = 11;
const SECONDS: i64 = 60;

/// An engine with its windows.
struct PeerSetup {
    engine: &'static str,
    window: &'static str,
    /// Arguments of `peers.py`.
    arguments: &'static [&'static str],
    /// One in this many events is measured.
    share: usize,
}

const SETUPS: [PeerSetup; 5] = [
    PeerSetup {
        engine: "bytewax",
        window: "one begins every 10 s",
        arguments: &["--hop", "10", "--wait", "60"],
        share: 2,
    },
    PeerSetup {
        engine: "bytewax",
        window: "one begins every second",
        arguments: &["--hop", "1", "--wait", "60"],
        share: 20,
    },
    PeerSetup {
        engine: "pathway",
        window: "one begins every 10 s",
        arguments: &["--hop", "10", "--wait", "60", "--commit", "1000"],
        share: 1,
    },
    PeerSetup {
        engine: "pathway",
        window: "every 10 s, all at once, nothing forgotten",
        arguments: &["--hop", "10"],
        share: 1,
    },
    PeerSetup {
        engine: "pathway",
        window: "one begins every second",
        arguments: &["--hop", "1", "--wait", "60", "--commit", "1000"],
        share: 4,
    },
];

/// Engine, windows and arguments in the experiment on order.
const SKEW_SETUPS: [(&str, &str, &[&str]); 4] = [
    (
        "bytewax",
        "every 10 s, waits 60 s",
        &["--hop", "10", "--wait", "60"],
    ),
    (
        "bytewax",
        "every second, waits 60 s",
        &["--hop", "1", "--wait", "60"],
    ),
    (
        "pathway",
        "every second, keeps 60 s",
        &["--hop", "1", "--wait", "60", "--commit", "100"],
    ),
    (
        "pathway",
        "every 10 s, keeps all",
        &["--hop", "10", "--commit", "100"],
    ),
];

/// Returns an interpreter with both engines, which it installs if needed.
fn python(folder: &Path) -> Result<PathBuf> {
    for name in PYTHONS {
        let home = folder.join(format!("environment-{name}"));
        let python = home.join("bin/python");
        let has = |python: &Path| {
            let mut command = Command::new(python);
            command
                .args(["-c", "import bytewax, pathway"])
                .stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if has(&python) {
            return Ok(python);
        }
        let created = Command::new(name).args(["-m", "venv"]).arg(&home).status();
        if !created.is_ok_and(|status| status.success()) {
            continue;
        }
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:"]);
        if install.args(PACKAGES).status()?.success() && has(&python) {
            return Ok(python);
        }
    }
    bail!("no Python has wheels of {}", PACKAGES.join(" and "))
}

struct Peers {
    python: PathBuf,
    folder: PathBuf,
}

impl Peers {
    fn write(&self, name: &str, logins: &[Login]) -> Result<PathBuf> {
        let file = self.folder.join(name);
        let lines: String = logins.iter().map(|login| login.line() + "\n").collect();
        std::fs::write(&file, lines)?;
        Ok(file)
    }

    fn run(
        &self,
        engine: &str,
        file: &Path,
        least: usize,
        arguments: &[&str],
    ) -> Result<(Timing, BTreeSet<String>)> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/correlate/peers.py");
        let mut command = Command::new(&self.python);
        command.arg(script).arg(engine).arg(file).args(arguments);
        command.args([
            "--least",
            &least.to_string(),
            "--seconds",
            &SECONDS.to_string(),
        ]);
        let output = command.output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{engine} {arguments:?}: {errors}");
        let text = String::from_utf8(output.stdout)?;
        let last = text.lines().last().context("the engine printed nothing")?;
        let found: Json = serde_json::from_str(last)?;
        let seconds = |name: &str| found[name].as_f64().context("the engine printed no time");
        let timing = Timing {
            cpu_s: seconds("cpu_s")?,
            wall_s: seconds("wall_s")?,
        };
        let users = found["users"].as_array().into_iter().flatten();
        let users = users.filter_map(|user| Some(user.as_str()?.to_owned()));
        Ok((timing, users.collect()))
    }
}

pub fn run(events: usize, rounds: usize) -> Result<Json> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/correlate-peers");
    std::fs::create_dir_all(&folder)?;
    let peers = Peers {
        python: python(&folder)?,
        folder,
    };
    let version = Command::new(&peers.python).arg("--version").output()?;
    Ok(json!({
        "python": String::from_utf8_lossy(&version.stdout).trim(),
        "packages": PACKAGES,
        "seed": SEED,
        "timespan_s": SECONDS,
        "speed": speed(&peers, events, rounds)?,
        "skew": skew(&peers)?,
    }))
}

fn speed(peers: &Peers, events: usize, rounds: usize) -> Result<Vec<Json>> {
    println!(
        "\n| engine | windows | events | events per CPU s | Weir | ratio | their groups: false, missed |"
    );
    println!("|---|---|---|---|---|---|---|");
    let rule = LoginRule {
        condition: LoginCondition::Count(50),
        seconds: SECONDS,
    };
    let shape = StreamShape {
        users: 50_000,
        is_skewed: true,
        per_second: 500,
        sources: 1_000,
        is_late: false,
    };
    let mut rows = Vec::new();
    for setup in SETUPS {
        let logins: Vec<Login> = LoginStream::new(SEED, shape)
            .take(events / setup.share)
            .collect();
        rows.push(compare(peers, &setup, &rule, &logins, rounds)?);
    }
    Ok(rows)
}

/// Compares the speed of one engine with Weir, and its groups with the plain loops.
fn compare(
    peers: &Peers,
    setup: &PeerSetup,
    rule: &LoginRule,
    logins: &[Login],
    rounds: usize,
) -> Result<Json> {
    let file = peers.write("speed.jsonl", logins)?;
    let batches = weir::batches(logins, 1_000);
    let standing = rule.standing(logins);
    let users: BTreeSet<String> = standing.iter().map(|row| Login::name(row.user)).collect();
    let mut found = BTreeSet::new();
    let both: [Rounds; 2] = crate::race::run(
        rounds,
        || {
            let outcome = weir::run(&rule.texts(), &batches)?;
            ensure!(outcome.standing(logins) == standing, "an alert differs");
            let weir::Outcome { cpu_s, wall_s, .. } = outcome;
            Ok((logins.len(), Timing { cpu_s, wall_s }))
        },
        || {
            let (timing, users) = peers.run(setup.engine, &file, 50, setup.arguments)?;
            found = users;
            Ok((logins.len(), timing))
        },
    )?;
    let [least, ratio, most] = ratios(&both);
    let wrong = [
        found.difference(&users).count(),
        users.difference(&found).count(),
    ];
    println!(
        "| {} | {} | {} | {} | {} | **{ratio:.0}** ({least:.0} to {most:.0}) | {}, {} of {} |",
        setup.engine,
        setup.window,
        logins.len(),
        both[1].text(),
        both[0].text(),
        wrong[0],
        wrong[1],
        users.len(),
    );
    Ok(json!({
        "engine": setup.engine,
        "window": setup.window,
        "asked": setup.arguments,
        "weir": both[0].json(),
        "theirs": both[1].json(),
        "ratio": {"min": least, "of_medians": ratio, "max": most},
        "groups": users.len(),
        "false": wrong[0],
        "missed": wrong[1],
    }))
}

fn skew(peers: &Peers) -> Result<Vec<Json>> {
    println!("\n| engine | windows | 0 s: false, missed | 30 s | 60 s | 300 s |");
    println!("|---|---|---|---|---|---|");
    let rule = LoginRule {
        condition: LoginCondition::Count(5),
        seconds: SECONDS,
    };
    let standing = rule.standing(&skewed(7, 0));
    let users: BTreeSet<String> = standing.iter().map(|row| Login::name(row.user)).collect();
    let mut rows = Vec::new();
    for (engine, window, arguments) in SKEW_SETUPS {
        let mut cells = Vec::new();
        for late in SKEWS {
            let file = peers.write("skew.jsonl", &skewed(7, late))?;
            let (_, found) = peers.run(engine, &file, 5, arguments)?;
            let wrong = [
                found.difference(&users).count(),
                users.difference(&found).count(),
            ];
            cells.push(format!("{}, {}", wrong[0], wrong[1]));
            rows.push(json!({
                "engine": engine,
                "window": window,
                "asked": arguments,
                "late_by_s": late,
                "true_groups": users.len(),
                "false": wrong[0],
                "missed": wrong[1],
            }));
        }
        println!("| {engine} | {window} | {} |", cells.join(" | "));
    }
    Ok(rows)
}
