//! Runs the commands of `docs/operations.md` in folders that stand for machines, and compares the output
//! with the document.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::command::BINARY;
use support::files::{self, shown};
use support::outside::{find, rsyslog_module};
use support::{lasting_port, skipped};

/// Shell functions that stand for machines, programs with root rights and services.
const MACHINES: &str = include_str!("operations/machines.sh");

/// Machines that are not simulated. `tests/senders.rs` tests their programs.
const ELSEWHERE: &[&str] = &["shop2"];

/// A block of commands in the document, and the output that the document shows for it.
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
                let block = blocks.last_mut().expect("an output follows commands");
                block.shown.extend(inner.into_iter().map(str::to_owned));
            }
            _ => panic!("a block is `sh MACHINE`, or `text`, not `{kind}`"),
        }
    }
    blocks
}

/// Compares a line of output with the document, where `…` stands for anything.
fn is_like(line: &str, shown: &str) -> bool {
    let mut rest = Some(line);
    for part in shown
        .split('…')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
    }
    rest.is_some()
}

/// Name of the first program or rsyslog module that this machine lacks.
fn missing() -> Option<&'static str> {
    let programs = ["bash", "openssl", "rsyslogd", "logger", "curl"];
    let mut programs = programs.into_iter().filter(|name| find(name).is_none());
    let mut modules = ["omrelp", "lmnsd_gtls"].into_iter();
    let module = modules.find(|name| !rsyslog_module(name));
    programs.next().or(module)
}

/// Rewrites the document's names of hosts, folders and ports for one run, and its output back.
struct Substitution {
    root: String,
    ports: [(&'static str, String); 4],
}

impl Substitution {
    fn new(root: &Path) -> Self {
        Self {
            root: shown(root),
            ports: ["6514", "2514", "7514", "8514"].map(|port| (port, lasting_port().to_string())),
        }
    }

    fn commands(&self, block: &Block) -> String {
        if ELSEWHERE.contains(&block.machine.as_str()) {
            return ":".to_owned();
        }
        let mut commands = block.commands.replace("logs.example.com", "localhost");
        for folder in ["/etc/", "/var/lib/", "/usr/local/bin/"] {
            commands = commands.replace(folder, &format!("{}{folder}", self.root));
        }
        for (port, other) in &self.ports {
            commands = commands.replace(port, other);
        }
        commands
    }

    fn output(&self, output: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(output).replace(&self.root, "");
        for (port, other) in &self.ports {
            text = text.replace(other, port);
        }
        text.replace("localhost", "logs.example.com")
    }
}

/// Runs a script with the environment that [`MACHINES`] expects.
fn run_script(script: &str, folder: &Path, substitution: &Substitution) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let root = &substitution.root;
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("exec 2>&1\n{script}")])
        .env("ROOT", root)
        .env("HOME", folder.join("home"))
        .env("REPOSITORY", files::root())
        .env("WEIR", BINARY)
        .env("HTTP", &substitution.ports[3].1)
        .env(
            "PATH",
            format!("{root}/usr/local/bin:{path}:/usr/sbin:/sbin"),
        )
        // The document does not use these listeners.
        .env("WEIR__LISTEN__SYSLOG_UDP", "off")
        .env("WEIR__LISTEN__SYSLOG_TCP", "off")
        .current_dir(folder);
    bash.output().expect("bash can be started")
}

#[test]
fn the_commands_of_the_operations_page_print_the_shown_output() {
    if let Some(missing) = missing() {
        let test = "the_commands_of_the_operations_page_print_the_shown_output";
        return skipped(test, missing);
    }
    let page = std::fs::read_to_string(files::root().join("docs/operations.md"));
    let blocks = blocks(&page.expect("the document"));
    let folder = tempfile::tempdir().expect("a folder");
    let substitution = Substitution::new(folder.path());
    let mut script = MACHINES.to_owned();
    for block in &blocks {
        let commands = substitution.commands(block);
        script.push_str(&format!("\non {}\n{commands}\nleft\n", block.machine));
    }
    let ran = run_script(&script, folder.path(), &substitution);
    let output = substitution.output(&ran.stdout);
    assert!(ran.status.success(), "{}:\n{output}", ran.status);
    let outputs: Vec<&str> = output.split("@@ ").skip(1).collect();
    assert_eq!(outputs.len(), blocks.len(), "{output}");
    let mut lines = 0;
    for (block, output) in blocks.iter().zip(outputs) {
        for shown in &block.shown {
            let found = output.lines().any(|line| is_like(line, shown));
            let commands = &block.commands;
            assert!(
                found,
                "not in the output: {shown}\nof: {commands}\nbut: {output}"
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
