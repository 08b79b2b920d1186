//! The exit code of every verb, compared with `docs/exit-codes.md`.

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::command::{Finished, finish, run, weir};
use support::files::{root, write};
use support::{Weir, config};

/// A story that is not true: a single failure raises no alert.
const STORY: &str = "# Nothing comes of it\n\n    rule + ssh_password_guessing\n\n    08:00:00  linux  raw \
    <38>Jan  1 08:00:00 web-1 sshd[2]: Failed password for root from 203.0.113.50 port 4 ssh2\n    \
    ---- 08:06:00\n    + alert  ssh_password_guessing  src_ip=203.0.113.50  medium\n";

/// Exit codes and arguments.
///
/// `THERE` stands for the options of a running server, `NOBODY` for those of no server, and `STRANGER`
/// for those of the server with a wrong token.
const CASES: &[(i32, &str)] = &[
    (78, "--config bad.toml"),
    (78, "--config nowhere"),
    (78, "--config bad.toml run"),
    (74, "--data-dir /proc/x run"),
    (1, "--data-dir data run"),
    (74, "replay nowhere"),
    (74, "replay --rules nowhere lines"),
    (65, "replay --rules bad.yml lines"),
    (0, "replay --quiet lines"),
    (1, "test untrue.md"),
    (65, "test bad.md"),
    (74, "test nowhere"),
    (2, "demo --seed x"),
    (0, "send --to AGENT --data-dir data lines"),
    (69, "send --to 127.0.0.1:1 --data-dir data lines"),
    (77, "send --to AGENT --data-dir other lines"),
    (74, "send --to AGENT --data-dir data nowhere"),
    (74, "send --to AGENT --data-dir none lines"),
    (74, "send --to AGENT --data-dir data --ca nowhere lines"),
    (65, "send --to AGENT --data-dir data --ca lines lines"),
    (1, "explain ID THERE"),
    (2, "explain xyz THERE"),
    (69, "explain ID NOBODY"),
    (77, "explain ID STRANGER"),
    (0, "check"),
    (65, "check --rules bad.yml"),
    (65, "check --rules nowhere"),
    (65, "check bad.md"),
    (78, "check --config bad.toml"),
    (0, "rules lint good.yml"),
    (65, "rules lint bad.yml"),
    (65, "rules lint nowhere"),
    (65, "rules list bad.yml"),
    (65, "rules test bad.yml"),
    (65, "rules coverage bad.yml"),
    (0, "rules add good.yml THERE"),
    (65, "rules add bad.yml THERE"),
    (74, "rules add nowhere THERE"),
    (69, "rules add good.yml NOBODY"),
    (77, "rules add good.yml STRANGER"),
    (1, "rules remove nosuch THERE"),
    (1, "rules disable nosuch THERE"),
    (1, "rules enable nosuch THERE"),
    (78, "rules lint --config bad.toml good.yml"),
    (2, "verify --data-dir none"),
    (1, "verify --data-dir data"),
    (2, "state clock --data-dir none"),
    (1, "state clock --data-dir data"),
    (2, "what-if THERE"),
    (2, "what-if --show zz THERE"),
    (1, "what-if --show 0000000000000000 THERE"),
    (65, "what-if bad.yml THERE"),
    (69, "what-if good.yml NOBODY"),
    (77, "what-if good.yml STRANGER"),
    (65, "what-if --rules bad.yml lines"),
    (0, "sinks list THERE"),
    (1, "sinks dead nosuch THERE"),
    (2, "sinks dead a.b THERE"),
    (69, "sinks list NOBODY"),
    (77, "sinks list STRANGER"),
    (0, "init"),
    (2, "init bad.yml"),
    (74, "init nowhere/weir.toml"),
    (0, "health --ready --url HTTP"),
    (2, "health --url nonsense"),
    (69, "health --url http://127.0.0.1:1"),
    (65, "health --url https://127.0.0.1:1 --ca lines"),
    (74, "health --url https://127.0.0.1:1 --ca nowhere"),
    (0, "tap lines"),
    (2, "tap --stage alerts lines"),
    (74, "tap nowhere"),
    (74, "tap --rules nowhere lines"),
    (65, "tap --rules bad.yml lines"),
    (69, "tap NOBODY"),
    (77, "tap STRANGER"),
    (0, "top --once --interval 1 THERE"),
    (69, "top NOBODY"),
    (77, "top STRANGER"),
    (2, "completions nosuch"),
    (0, "completions bash"),
    (0, "man"),
    (0, "help"),
    (2, "--no-such-flag"),
];

/// Writes a token file that the server did not make.
fn write_token(folder: &Path) {
    let file = write(folder, "token", "0".repeat(64));
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).expect("the file is ours");
}

/// Files that the arguments of [`CASES`] name.
fn write_files(folder: &Path) {
    let rule = root().join("rules/linux/ssh_password_guessing.yml");
    std::fs::copy(rule, folder.join("good.yml")).expect("a rule");
    for (name, text) in [
        ("bad.yml", "title: A\n"),
        ("bad.md", "# A story\n\n    nonsense\n"),
        ("untrue.md", STORY),
        ("bad.toml", "[graph]\nx = 1\n"),
        ("lines", "<13>1 2026-01-01T00:00:00Z h app - - - a line\n"),
    ] {
        write(folder, name, text);
    }
    write_token(&folder.join("other"));
}

#[test]
fn every_verb_ends_as_the_table_of_exit_codes_says() {
    let folder = tempfile::tempdir().expect("a folder");
    write_files(folder.path());
    let server = Weir::start(&folder.path().join("data"), &config(""));
    server.await_ready();
    let http = format!("http://{}", server.http);
    let (mut wrong, mut codes, mut words) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (code, args) in CASES {
        let command = args
            .replace("THERE", &format!("--url {http} --data-dir data"))
            .replace("STRANGER", &format!("--url {http} --data-dir other"))
            .replace("NOBODY", "--url http://127.0.0.1:1 --data-dir data")
            .replace("HTTP", &http)
            .replace("AGENT", &server.agent.to_string())
            .replace("ID", "00000000000000000000000000000000");
        let ended = finish(weir(command.split_whitespace()).current_dir(folder.path()));
        if ended.code != Some(*code) {
            wrong.push((args, *code, ended));
        }
        codes.insert(*code);
        words.extend(args.split(' '));
    }
    server.stop();
    assert!(wrong.is_empty(), "other exit codes: {wrong:#?}");
    // 75 takes several processes: `tests/cluster.rs`.
    codes.insert(75);
    assert_eq!(codes, documented_codes());
    for verb in verbs() {
        assert!(words.contains(&*verb), "no case for `{verb}`");
    }
}

/// Exit codes of the table in `docs/exit-codes.md`.
fn documented_codes() -> BTreeSet<i32> {
    let page = std::fs::read_to_string(root().join("docs/exit-codes.md")).expect("the document");
    let cells = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    cells.filter_map(|code| code.parse().ok()).collect()
}

/// Verbs that `weir --help` lists.
fn verbs() -> Vec<String> {
    let Finished { out: help, .. } = run(&["--help"]);
    let listed = help.split("Commands:").nth(1).unwrap_or_default();
    let listed = listed.split("Options:").next().unwrap_or_default();
    // Continued descriptions are indented further.
    let verbs = listed.lines().filter_map(|line| line.strip_prefix("  "));
    let verbs = verbs.filter(|line| !line.starts_with(' ') && !line.is_empty());
    let names = verbs.filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}
