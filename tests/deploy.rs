//! The files in `deploy/`: Prometheus rules, dashboard, systemd unit and container; and `weir init`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::balance::samples;
use support::command::run;
use support::files::root;
use support::http::Request;
use support::outside::find;
use support::{Weir, config, skipped};

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All values of a key in a file of rules, in order. A value is on one line, quoted if necessary.
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

/// Collects every query of the dashboard, of panels and variables.
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

/// The metrics of a query, each with the labels that it selects or groups by.
fn metrics_of(query: &str) -> BTreeMap<String, BTreeSet<String>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut grouped = BTreeSet::new();
    for (at, _) in query.match_indices("weir_") {
        if query[..at].ends_with(is_word) {
            continue;
        }
        let rest = &query[at..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let labels = found.entry(rest[..end].to_owned()).or_default();
        if let Some(selector) = rest[end..].strip_prefix('{') {
            let selector = selector.split('}').next().unwrap_or_default();
            for condition in selector.split(", ") {
                let name = condition.split(|c| !is_word(c)).next().unwrap_or_default();
                labels.insert(name.to_owned());
            }
        }
    }
    for part in query.split("by (").skip(1) {
        let names = part.split(')').next().unwrap_or_default();
        grouped.extend(names.split(", ").map(str::to_owned));
    }
    found
        .values_mut()
        .for_each(|labels| labels.extend(grouped.iter().cloned()));
    found
}

#[test]
fn rules_and_dashboard_use_metrics_of_a_running_server() {
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
    let mut all = values(&read("deploy/prometheus/weir.rules.yml"), "expr");
    queries(&dashboard, &mut all);
    assert!(all.len() > 60, "the queries were not found: {all:?}");
    let (mut faults, mut used) = (Vec::new(), BTreeSet::new());
    for query in &all {
        for (metric, labels) in metrics_of(query) {
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
fn promtool_accepts_rules_rule_tests_and_dashboard_queries() {
    let Some(promtool) = find("promtool") else {
        return skipped(
            "promtool_accepts_rules_rule_tests_and_dashboard_queries",
            "promtool",
        );
    };
    let promtool = |args: &[&str], folder: &Path| {
        let out = Command::new(&promtool)
            .args(args)
            .current_dir(folder)
            .output();
        let out = out.expect("promtool can be started");
        assert!(out.status.success(), "{args:?}: {out:?}");
    };
    let rules = root().join("deploy/prometheus");
    promtool(&["check", "rules", "weir.rules.yml"], &rules);
    promtool(&["test", "rules", "weir.rules.test.yml"], &rules);

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
    promtool(&["check", "rules", "queries.yml"], folder.path());
}

#[test]
fn every_alert_has_a_test_and_a_runbook() {
    let rules = read("deploy/prometheus/weir.rules.yml");
    let alerts = values(&rules, "alert");
    assert!(alerts.len() > 10, "{alerts:?}");
    let pages: Vec<String> = values(&rules, "runbook_url");
    let runbooks = read("docs/runbooks.md");
    let headings = runbooks.lines().filter_map(|line| line.strip_prefix("## "));
    let headings: Vec<&str> = headings.collect();
    let tests = values(&read("deploy/prometheus/weir.rules.test.yml"), "- name");
    assert_eq!(
        headings, alerts,
        "a runbook for each rule, in the order of the rules"
    );
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
fn check_here_reports_all_problems_of_the_machine_at_once() {
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
        run(&["check", "--here", "--config", &file.display().to_string()])
    };
    check(folder.path().join("new/data"), "127.0.0.1:0", "").assert_success();
    assert!(
        !folder.path().join("new").exists(),
        "the check left a folder behind"
    );
    let tls = "[tls]\ncertificate = \"/dev/null\"\nkey = \"/dev/null\"\n";
    let failed = check(PathBuf::from("/proc/data"), &at.to_string(), tls);
    assert_eq!(failed.code, Some(78), "{failed:?}");
    for problem in ["data_dir: ", "listen.http: ", "tls: ", "3 problems"] {
        assert!(failed.out.contains(problem), "{problem}: {failed:?}");
    }
    let data = folder.path().join("data");
    let server = Weir::start(&data, &config(""));
    let running = check(data, &server.http.to_string(), "");
    running.assert_success();
    assert!(running.out.contains("a server runs on"), "{running:?}");
    server.stop();
}

#[test]
fn systemd_is_notified_of_start_watchdog_and_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager
        .set_read_timeout(Some(support::LIMIT))
        .expect("a timeout");
    let receive = || {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).expect("a notification");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let data = folder.path().join("data");
    let environment = [
        ("NOTIFY_SOCKET", path.as_os_str()),
        ("WATCHDOG_USEC", "200000".as_ref()),
    ];
    let server = Weir::start_with(&data, &config(""), &environment);
    assert!(receive().contains("READY=1"), "the first notification");
    for _ in 0..3 {
        assert!(receive().contains("WATCHDOG=1"), "the watchdog");
    }
    server.stop();
    let last = loop {
        let message = receive();
        if !message.contains("WATCHDOG=1") {
            break message;
        }
    };
    assert!(last.contains("STOPPING=1"), "{last}");
}

#[test]
fn systemd_accepts_the_unit_and_its_confinement() {
    let Some(analyze) = find("systemd-analyze") else {
        return skipped(
            "systemd_accepts_the_unit_and_its_confinement",
            "systemd-analyze",
        );
    };
    let unit = read("deploy/systemd/weir.service");
    for line in [
        "Type=notify",
        "WatchdogSec=",
        "DynamicUser=yes",
        "RestartPreventExitStatus=2 65 78",
        // W1: five restarts in five minutes do not end the service for good.
        "StartLimitIntervalSec=0",
        "RestartForceExitStatus=75",
    ] {
        assert!(unit.contains(line), "{line}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("weir.service");
    // The machine that runs this test need not have Weir installed.
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
fn the_container_runs_without_privileges_and_has_valid_settings() {
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
    // Each variable that the container sets is a configuration key.
    let listen = read("src/config/listen.rs");
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
fn completions_and_manual_list_every_verb() {
    let help = run(&["--help"]).out;
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
        let printed = run(args);
        printed.assert_success();
        for verb in &verbs {
            assert!(printed.out.contains(verb), "{args:?} does not list {verb}");
        }
    }
    if let Some(bash) = find("bash") {
        let script = run(&["completions", "bash"]).out;
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), script).expect("it can be written");
        let checked = Command::new(bash).arg("-n").arg(file.path()).status();
        assert!(checked.expect("it can be started").success());
    }
}

#[test]
fn init_writes_every_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("weir.toml").display().to_string();
    run(&["init", &file]).assert_success();
    assert_eq!(
        run(&["init", &file]).code,
        Some(2),
        "an existing file was overwritten"
    );
    let text = std::fs::read_to_string(&file).expect("it is there");
    run(&["check", "--config", &file]).assert_success();
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(root().join("src/config")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let code = std::fs::read_to_string(&path).expect("it can be read");
        // The body of each `struct` that is read from the file.
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
