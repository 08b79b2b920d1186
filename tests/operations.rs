//! Runs the commands of `docs/operations.md` as they stand, in folders in place of machines, and finds
//! in what they answer what the document shows.

mod support;

use std::path::Path;
use std::process::Command;

use support::outside::{find, rsyslog_module};
use support::{lasting_port, skipped};

/// The stand-ins for machines.
const MACHINES: &str = include_str!("operations/machines.sh");

/// Machines that have no stand-in: what runs there is tested beside its program (`tests/senders.rs`).
const ELSEWHERE: &[&str] = &["shop2"];

/// A block of the document that is run, and what it is shown to answer.
struct Block {
    machine: String,
    commands: String,
    shown: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let inner: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind.split_once(' ') {
            Some(("sh", machine)) => blocks.push(Block {
                machine: machine.to_owned(),
                commands: inner.join("\n"),
                shown: Vec::new(),
            }),
            _ if kind == "text" => {
                let block = blocks.last_mut().expect("an answer stands behind commands");
                block.shown.extend(inner.into_iter().map(str::to_owned));
            }
            _ => panic!("a block is `sh MACHINE`, or `text`, not `{kind}`"),
        }
    }
    blocks
}

/// Whether a line of the answer is as shown, where `…` stands for anything.
fn is_like(answer: &str, shown: &str) -> bool {
    let mut rest = Some(answer);
    for part in shown
        .split('…')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
    }
    rest.is_some()
}

#[test]
fn the_page_on_operations_runs_as_it_stands() {
    let name = "the_page_on_operations_runs_as_it_stands";
    for program in ["bash", "openssl", "rsyslogd", "logger", "curl"] {
        if find(program).is_none() {
            return skipped(name, program);
        }
    }
    for module in ["omrelp", "lmnsd_gtls"] {
        if !rsyslog_module(module) {
            return skipped(name, module);
        }
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(repository.join("docs/operations.md"));
    let blocks = blocks(&page.expect("the document"));
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let ports = ["6514", "2514", "7514", "8514"].map(|port| (port, lasting_port().to_string()));
    let mut script = MACHINES.to_owned();
    for block in &blocks {
        let mut commands = block.commands.replace("logs.example.com", "localhost");
        for place in ["/etc/", "/var/lib/", "/usr/local/bin/"] {
            commands = commands.replace(place, &format!("{root}{place}"));
        }
        for (port, other) in &ports {
            commands = commands.replace(port, other);
        }
        let machine = &block.machine;
        let commands = match ELSEWHERE.contains(&machine.as_str()) {
            true => ":".to_owned(),
            false => commands,
        };
        script.push_str(&format!("\non {machine}\n{commands}\nleft\n"));
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let ran = Command::new("bash")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .env("ROOT", &root)
        .env("HOME", folder.path().join("home"))
        .env("REPOSITORY", repository)
        .env("WEIR", env!("CARGO_BIN_EXE_weir"))
        .env("HTTP", &ports[3].1)
        .env(
            "PATH",
            format!("{root}/usr/local/bin:{path}:/usr/sbin:/sbin"),
        )
        // These doors are not the document's.
        .env("WEIR__LISTEN__SYSLOG_UDP", "off")
        .env("WEIR__LISTEN__SYSLOG_TCP", "off")
        .current_dir(folder.path())
        .output()
        .expect("bash can be started");
    let mut said = String::from_utf8_lossy(&ran.stdout).replace(&root, "");
    for (port, other) in &ports {
        said = said.replace(other, port);
    }
    let said = said.replace("localhost", "logs.example.com");
    assert!(ran.status.success(), "{}:\n{said}", ran.status);
    let answers: Vec<&str> = said.split("@@ ").skip(1).collect();
    assert_eq!(answers.len(), blocks.len(), "{said}");
    let mut lines = 0;
    for (block, answer) in blocks.iter().zip(answers) {
        for shown in &block.shown {
            let found = answer.lines().any(|line| is_like(line, shown));
            assert!(
                found,
                "not answered: {shown}\nby: {}\nbut: {answer}",
                block.commands
            );
            lines += 1;
        }
    }
    assert!(
        blocks.len() > 12 && lines > 12,
        "{} blocks, {lines} lines",
        blocks.len()
    );
    println!(
        "{} blocks were run, {lines} lines of answers found",
        blocks.len()
    );
}
