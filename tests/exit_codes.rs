//! What every verb ends with, as `docs/exit-codes.md` says it.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{Weir, config, until};

fn weir(args: &str, folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(args.split_whitespace()).current_dir(folder);
    let out = command.stdin(Stdio::null()).output();
    out.expect("it can be started")
}

const STORY: &str = "# Nothing comes of it\n\n    rule + ssh_password_guessing\n\n    08:00:00  linux  raw \
    <38>Jan  1 08:00:00 web-1 sshd[2]: Failed password for root from 203.0.113.50 port 4 ssh2\n    \
    ---- 08:06:00\n    + alert  ssh_password_guessing  src_ip=203.0.113.50  medium\n";

/// `THERE` is a server with its data folder, `NOBODY` none, `STRANGER` a server with another token.
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

/// A file of a token, as the server writes its own.
fn token(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir(folder).expect("a folder");
    let file = folder.join("token");
    std::fs::write(&file, "0".repeat(64)).expect("it can be written");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&file, mode).expect("it is ours");
}

#[test]
fn every_verb_ends_as_the_table_of_exit_codes_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rule = root.join("rules/linux/ssh_password_guessing.yml");
    std::fs::copy(rule, folder.path().join("good.yml")).expect("a rule");
    for (name, text) in [
        ("bad.yml", "title: A\n"),
        ("bad.md", "# A story\n\n    nonsense\n"),
        ("untrue.md", STORY),
        ("bad.toml", "[graph]\nx = 1\n"),
        ("lines", "<13>1 2026-01-01T00:00:00Z h app - - - a line\n"),
    ] {
        std::fs::write(folder.path().join(name), text).expect("it can be written");
    }
    token(&folder.path().join("other"));
    let server = Weir::start(&folder.path().join("data"), &config(""));
    until("readiness", || {
        (server.get("/readyz").status == 200).then_some(())
    });
    let there = format!("--url http://{}", server.http);
    let (mut wrong, mut codes, mut verbs) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (code, args) in CASES {
        let command = args
            .replace("THERE", &format!("{there} --data-dir data"))
            .replace("STRANGER", &format!("{there} --data-dir other"))
            .replace("NOBODY", "--url http://127.0.0.1:1 --data-dir data")
            .replace("HTTP", &format!("http://{}", server.http))
            .replace("AGENT", &server.agent.to_string())
            .replace("ID", "00000000000000000000000000000000");
        let out = weir(&command, folder.path());
        if out.status.code() != Some(*code) {
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            wrong.push((args, *code, out.status.code(), said));
        }
        codes.insert(*code);
        verbs.extend(args.split(' '));
    }
    server.stop();
    assert!(wrong.is_empty(), "not as told: {wrong:#?}");
    let page = std::fs::read_to_string(root.join("docs/exit-codes.md")).expect("the document");
    let told = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let told: BTreeSet<i32> = told.filter_map(|code| code.parse().ok()).collect();
    // 75 takes several processes: `tests/cluster.rs`.
    codes.insert(75);
    assert_eq!(told, codes);
    let help = weir("--help", folder.path()).stdout;
    let help = String::from_utf8_lossy(&help).into_owned();
    let listed = help.split("Commands:").nth(1).unwrap_or_default();
    let listed = listed.split("Options:").next().unwrap_or_default();
    for line in listed.lines().filter(|line| line.starts_with("  ")) {
        let verb = line.trim().split(' ').next().unwrap_or_default();
        let named = line.starts_with("  ") && !line.starts_with("    ");
        assert!(!named || verbs.contains(verb), "no case for `{verb}`");
    }
}
