//! What is deployed beside the binary: Prometheus rules, dashboard, unit and container.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::balance::samples;
use support::http::Request;
use support::outside::find;
use support::{Weir, config, skipped};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn weir(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command
        .args(args)
        .output()
        .expect("the binary can be started")
}

/// The rules' values of a key, in order; one line each, in quotes where they need them.
fn values(rules: &str, key: &str) -> Vec<String> {
    let key = format!("{key}: ");
    let lines = rules.lines().filter_map(|line| {
        let line = line.trim_start().trim_start_matches("- ");
        line.strip_prefix(&key)
    });
    lines
        .map(
            |value| match value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')) {
                Some(quoted) => quoted.replace("''", "'"),
                None => value.to_owned(),
            },
        )
        .collect()
}

/// Every query of the dashboard, panels and variables.
fn queries(dashboard: &Value, found: &mut Vec<String>) {
    match dashboard {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "expr" || key == "query" => {
                        found.push(text.clone());
                    }
                    value => queries(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// The metrics that a query names, each with the labels that are asked of it or kept of it.
fn named(query: &str) -> BTreeMap<String, BTreeSet<String>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut kept = BTreeSet::new();
    for (at, _) in query.match_indices("weir_") {
        if query[..at].ends_with(is_word) {
            continue;
        }
        let rest = &query[at..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let labels = found.entry(rest[..end].to_owned()).or_default();
        if let Some(asked) = rest[end..].strip_prefix('{') {
            let asked = asked.split('}').next().unwrap_or_default();
            for condition in asked.split(", ") {
                let name = condition.split(|c| !is_word(c)).next().unwrap_or_default();
                labels.insert(name.to_owned());
            }
        }
    }
    for part in query.split("by (").skip(1) {
        let names = part.split(')').next().unwrap_or_default();
        kept.extend(names.split(", ").map(str::to_owned));
    }
    found
        .values_mut()
        .for_each(|labels| labels.extend(kept.iter().cloned()));
    found
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_a_running_server_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(&folder.path().join("data"), &config(""));
    weir.send_tcp(b"<13>1 2026-01-01T00:00:00Z h app - - - a line\n");
    let path = "/api/v1/events?source=web";
    assert_eq!(
        weir.send(Request::new("POST", path).body(b"{\"a\":1}"))
            .status,
        200
    );
    weir.assert_balanced();
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in samples(&weir.get("/metrics").text()) {
        known
            .entry(sample.name)
            .or_default()
            .extend(sample.labels.into_keys());
    }
    weir.stop();

    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/weir.json")).expect("JSON");
    let mut asked = values(&read("deploy/prometheus/weir.rules.yml"), "expr");
    queries(&dashboard, &mut asked);
    assert!(asked.len() > 60, "the queries were not found: {asked:?}");
    let (mut faults, mut used) = (Vec::new(), BTreeSet::new());
    for query in &asked {
        for (metric, labels) in named(query) {
            let Some(has) = known.get(&metric) else {
                faults.push(format!("no metric {metric}: {query}"));
                continue;
            };
            for label in labels.difference(has) {
                faults.push(format!("{metric} has no label {label}: {query}"));
            }
            used.insert(metric);
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(used.len() > 35, "the names were not found: {used:?}");
}

#[test]
fn promtool_takes_the_rules_their_tests_and_the_queries_of_the_dashboard() {
    let Some(promtool) = find("promtool") else {
        return skipped("promtool_takes_the_rules", "promtool");
    };
    let run = |args: &[&str], folder: &Path| {
        let out = Command::new(&promtool)
            .args(args)
            .current_dir(folder)
            .output();
        let out = out.expect("promtool can be started");
        assert!(out.status.success(), "{args:?}: {out:?}");
    };
    let rules = root().join("deploy/prometheus");
    run(&["check", "rules", "weir.rules.yml"], &rules);
    run(&["test", "rules", "weir.rules.test.yml"], &rules);

    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/weir.json")).expect("JSON");
    let mut all = Vec::new();
    queries(&dashboard["panels"], &mut all);
    let mut text = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (n, query) in all.iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m").replace('\'', "''");
        text.push_str(&format!(
            "      - record: query:{n}\n        expr: '{query}'\n"
        ));
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("queries.yml"), text).expect("it can be written");
    run(&["check", "rules", "queries.yml"], folder.path());
}

#[test]
fn every_alert_has_a_test_and_a_page_that_says_what_to_do() {
    let rules = read("deploy/prometheus/weir.rules.yml");
    let alerts = values(&rules, "alert");
    assert!(alerts.len() > 10, "{alerts:?}");
    let pages: Vec<String> = values(&rules, "runbook_url");
    let runbooks = read("docs/runbooks.md");
    let headings = runbooks.lines().filter_map(|line| line.strip_prefix("## "));
    let headings: Vec<&str> = headings.collect();
    let tests = values(&read("deploy/prometheus/weir.rules.test.yml"), "- name");
    assert_eq!(headings, alerts, "a page each, in the order of the rules");
    for (alert, page) in alerts.iter().zip(&pages) {
        let anchor = format!("docs/runbooks.md#{}", alert.to_lowercase());
        assert_eq!(*page, anchor, "{alert}");
    }
    let tested = read("deploy/prometheus/weir.rules.test.yml");
    for alert in &alerts {
        assert!(
            tested.contains(&format!("name: {alert}\n")),
            "{alert} has no test: {tests:?}"
        );
    }
}

#[test]
fn a_check_says_what_this_machine_lacks_all_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = taken.local_addr().expect("its address");
    let file = folder.path().join("weir.toml");
    let check = |data: PathBuf, http: &str, more: &str| {
        let text = format!(
            "data_dir = {data:?}\n{more}\n[listen]\nsyslog_udp = \"127.0.0.1:0\"\n\
             syslog_tcp = \"127.0.0.1:0\"\nagent = \"off\"\n\
             http = \"{http}\"\n"
        );
        std::fs::write(&file, text).expect("it can be written");
        let out = weir(&["check", "--here", "--config", &file.display().to_string()]);
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stdout).into_owned(),
        )
    };
    let (code, said) = check(folder.path().join("new/data"), "127.0.0.1:0", "");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        !folder.path().join("new").exists(),
        "nothing is left behind"
    );
    let tls = "[tls]\ncertificate = \"/dev/null\"\nkey = \"/dev/null\"\n";
    let (code, said) = check(PathBuf::from("/proc/data"), &at.to_string(), tls);
    assert_eq!(code, Some(78), "{said}");
    for problem in ["data_dir: ", "listen.http: ", "tls: ", "3 problems"] {
        assert!(said.contains(problem), "{problem}: {said}");
    }
    let data = folder.path().join("data");
    let server = Weir::start(&data, &config(""));
    let (code, said) = check(data, &server.http.to_string(), "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a server runs on"), "{said}");
    server.stop();
}

#[test]
fn systemd_is_told_when_the_server_is_ready_lives_and_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager
        .set_read_timeout(Some(support::LIMIT))
        .expect("a timeout");
    let heard = || {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).expect("it says something");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let data = folder.path().join("data");
    let environment = [
        ("NOTIFY_SOCKET", path.as_os_str()),
        ("WATCHDOG_USEC", "200000".as_ref()),
    ];
    let server = Weir::start_with(&data, &config(""), &environment);
    assert!(heard().contains("READY=1"), "first of all");
    for _ in 0..3 {
        assert!(heard().contains("WATCHDOG=1"), "again and again");
    }
    server.stop();
    let last = loop {
        let said = heard();
        if !said.contains("WATCHDOG=1") {
            break said;
        }
    };
    assert!(last.contains("STOPPING=1"), "{last}");
}

#[test]
fn systemd_finds_the_unit_well_made_and_closed() {
    let Some(analyze) = find("systemd-analyze") else {
        return skipped("systemd_finds_the_unit_well_made", "systemd-analyze");
    };
    let unit = read("deploy/systemd/weir.service");
    for line in [
        "Type=notify",
        "WatchdogSec=",
        "DynamicUser=yes",
        "RestartPreventExitStatus=2 65 78",
    ] {
        assert!(unit.contains(line), "{line}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("weir.service");
    // What it names is installed on no machine that builds it.
    let unit = unit.replace("/usr/local/bin/weir", "/bin/true");
    std::fs::write(&file, unit).expect("it can be written");
    let file = file.display().to_string();
    for args in [
        &["verify", "--man=no", &file][..],
        &["security", "--offline=true", "--threshold=20", &file][..],
    ] {
        let out = Command::new(&analyze)
            .args(args)
            .output()
            .expect("it can be started");
        assert!(out.status.success(), "{args:?}: {out:?}");
    }
}

#[test]
fn the_container_holds_the_binary_alone_and_runs_without_rights() {
    let text = read("deploy/Containerfile");
    for line in [
        "AS build",
        "USER 5514:5514",
        "HEALTHCHECK",
        "STOPSIGNAL SIGTERM",
        "VOLUME /var/lib/weir",
    ] {
        assert!(text.contains(line), "{line}");
    }
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let version = manifest["workspace"]["package"]["rust-version"].as_str();
    let version = version.expect("the oldest compiler");
    assert!(
        text.contains(&format!("rust:{version}-")),
        "the compiler of the workspace"
    );
    // What it sets in the environment is a key of the configuration.
    let listen = read("src/config/mod.rs");
    for variable in text.split("WEIR__LISTEN__").skip(1) {
        let key = variable
            .split('=')
            .next()
            .unwrap_or_default()
            .to_lowercase();
        assert!(
            listen.contains(&format!("pub {key}: ")),
            "no key listen.{key}"
        );
    }
}

#[test]
fn shells_and_manuals_know_every_verb() {
    let help = String::from_utf8_lossy(&weir(&["--help"]).stdout).into_owned();
    let verbs = help.split("Commands:").nth(1).unwrap_or_default();
    let verbs = verbs
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let is_verb =
        |verb: &&str| verb.starts_with(|c: char| c.is_ascii_lowercase()) && *verb != "help";
    let verbs: Vec<&str> = verbs.filter(is_verb).collect();
    assert!(verbs.contains(&"replay"), "{verbs:?}");
    for args in [
        &["completions", "bash"][..],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["man"],
    ] {
        let out = weir(args);
        assert!(out.status.success(), "{out:?}");
        let text = String::from_utf8_lossy(&out.stdout);
        for verb in &verbs {
            assert!(text.contains(verb), "{args:?} says nothing of {verb}");
        }
    }
    if let Some(bash) = find("bash") {
        let script = weir(&["completions", "bash"]).stdout;
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), script).expect("it can be written");
        let checked = Command::new(bash).arg("-n").arg(file.path()).status();
        assert!(checked.expect("it can be started").success());
    }
}

#[test]
fn what_init_writes_has_every_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("weir.toml").display().to_string();
    assert_eq!(weir(&["init", &file]).status.code(), Some(0));
    assert_eq!(
        weir(&["init", &file]).status.code(),
        Some(2),
        "nothing is written over"
    );
    let text = std::fs::read_to_string(&file).expect("it is there");
    assert_eq!(weir(&["check", "--config", &file]).status.code(), Some(0));
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(root().join("src/config")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let code = std::fs::read_to_string(&path).expect("it can be read");
        // From each `struct` that is read from the file to its end.
        for part in code.split("deny_unknown_fields").skip(1) {
            let body = part.split("\n}").next().unwrap_or_default();
            let mut renamed = None;
            for line in body.lines() {
                if let Some(rest) = line.trim().strip_prefix("#[serde(rename = \"") {
                    renamed = rest.split('"').next();
                }
                let key = line
                    .strip_prefix("    pub ")
                    .and_then(|rest| rest.split_once(": "));
                let Some((key, _)) = key else { continue };
                let key = renamed.take().unwrap_or(key);
                let shown = [
                    format!("{key} ="),
                    format!("[{key}]"),
                    format!("[{key}."),
                    format!(".{key}]"),
                ];
                if !shown.iter().any(|form| text.contains(form.as_str())) {
                    missing.push(format!("{}: {key}", path.display()));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "keys that examples/weir.toml does not show: {missing:#?}"
    );
}
