//! Rule files are followed while the server runs; changes over the API take precedence.

mod support;

use std::path::Path;

use serde_json::Value;
use support::http::Request;
use support::{Weir, config, until};

fn rule(id: &str, user: &str, level: &str) -> String {
    format!(
        "title: About {id}\nid: {id}\nlogsource:\n    product: linux\n    service: sshd\ndetection:\n    \
         selection:\n        user: {user}\n    condition: selection\nlevel: {level}\n"
    )
}

/// A folder of rules and the configuration of a server that follows it.
struct Site {
    folder: tempfile::TempDir,
    config: String,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("rules")).expect("a folder");
        let rules = folder.path().join("rules").display().to_string();
        let config = config(&format!("[rules]\nbuiltin = false\npaths = [{rules:?}]\n"));
        Self { folder, config }
    }

    fn start(&self) -> Weir {
        Weir::start(&self.folder.path().join("data"), &self.config)
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join("rules").join(file)
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(file), text).expect("it can be written");
    }

    /// Replaces a file as editors do, by a rename.
    fn replace(&self, file: &str, text: &str) {
        self.write(".new", text);
        std::fs::rename(self.path(".new"), self.path(file)).expect("a rename");
    }

    fn remove(&self, file: &str) {
        std::fs::remove_file(self.path(file)).expect("it is there");
    }
}

/// The running rules in order of id, as `id=level`.
fn running(weir: &Weir) -> Vec<String> {
    let page = weir.get("/api/v1/rules").json();
    let rules = page["rules"].as_array().expect("a list").iter();
    let rules = rules.filter(|rule| rule["enabled"] == true);
    let word = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    rules
        .map(|rule| format!("{}={}", word(rule, "id"), word(rule, "level")))
        .collect()
}

/// The diagnostics of the files, as `file: message`.
fn diagnostics(weir: &Weir) -> Vec<String> {
    let page = weir.get("/api/v1/rules").json();
    let diagnostics = page["diagnostics"].as_array().expect("a list").iter();
    let shown = |diagnostic: &Value| {
        let text = |key: &str| diagnostic[key].as_str().unwrap_or_default();
        let file = Path::new(text("origin")).file_name().unwrap_or_default();
        format!("{}: {}", file.to_string_lossy(), text("message"))
    };
    diagnostics.map(shown).collect()
}

/// Waits until exactly these rules run.
fn await_rules(weir: &Weir, expected: &[&str]) {
    let what = format!("{expected:?} run; {:?}", diagnostics(weir));
    until(&what, || (running(weir) == expected).then_some(()));
}

/// Waits until there is exactly one diagnostic, which contains `words`; or none if they are empty.
fn await_diagnostic(weir: &Weir, words: &str) {
    until(&format!("the diagnostic `{words}`"), || {
        match diagnostics(weir).as_slice() {
            [] => words.is_empty(),
            [one] => !words.is_empty() && one.contains(words),
            _ => false,
        }
        .then_some(())
    });
}

/// Sends a request such as `DELETE /api/v1/rules/one`.
fn api(weir: &Weir, request: &str, body: &str) {
    let (method, path) = request.split_once(' ').expect("a method and a path");
    let reply = weir.send(Request::new(method, path).body(body.as_bytes()));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn added_changed_and_replaced_files_take_effect() {
    let site = Site::new();
    site.write("one.yml", rule("one", "root", "low"));
    let weir = site.start();
    await_rules(&weir, &["one=low"]);
    site.write("two.yml", rule("two", "root", "low"));
    await_rules(&weir, &["one=low", "two=low"]);
    site.replace("two.yml", &rule("two", "anna", "high"));
    await_rules(&weir, &["one=low", "two=high"]);
    weir.send_tcp(b"<38>1 2026-01-01T00:00:00Z web1 sshd 4 - - Accepted password for anna from 192.0.2.7 port 1 ssh2\n");
    let first_rule = || weir.get("/api/v1/alerts").json()["alerts"][0]["rule"].clone();
    until("an alert", || (first_rule() == "two").then_some(()));

    // A removed file ends its rule. The alert stays.
    site.remove("two.yml");
    await_rules(&weir, &["one=low"]);
    assert_eq!(first_rule(), "two");
    site.remove("one.yml");
    await_rules(&weir, &[]);
    weir.stop();
}

#[test]
fn a_bad_file_leaves_the_running_rule_in_place() {
    let site = Site::new();
    site.write("one.yml", rule("one", "root", "low"));
    site.write("two.yml", rule("two", "anna", "high"));
    let weir = site.start();
    await_rules(&weir, &["one=low", "two=high"]);
    let whole = rule("one", "root", "critical");
    let half = whole.split("detection").next().unwrap_or_default();
    for (bad, message) in [
        (
            whole.replace("critical", "loud").into_bytes(),
            "one.yml: no such level",
        ),
        (half.as_bytes().to_vec(), "`detection`"),
        (b"title: \xff".to_vec(), "one.yml: is not UTF-8 text"),
        (Vec::new(), "one.yml: is empty"),
        (b"title: [".to_vec(), "one.yml: not valid YAML"),
    ] {
        site.write("one.yml", bad);
        await_diagnostic(&weir, message);
        assert_eq!(running(&weir), ["one=low", "two=high"], "{message}");
    }
    site.write("one.yml", &whole);
    await_diagnostic(&weir, "");
    await_rules(&weir, &["one=critical", "two=high"]);

    // A rule keeps its identity in another file. Of two with one id, the first path wins.
    std::fs::rename(site.path("one.yml"), site.path("three.yml")).expect("a rename");
    site.write("zoo.yml", rule("two", "root", "low"));
    await_diagnostic(&weir, "zoo.yml: the id `two` is that of the rule at ");
    assert_eq!(running(&weir), ["one=critical", "two=high"]);
    site.remove("zoo.yml");
    await_diagnostic(&weir, "");
    weir.stop();
}

#[test]
fn broken_links_and_a_missing_folder_leave_all_rules_in_place() {
    let site = Site::new();
    site.write("one.yml", rule("one", "root", "low"));
    let weir = site.start();
    await_rules(&weir, &["one=low"]);
    std::os::unix::fs::symlink(site.path(""), site.path("loop")).expect("a link");
    std::os::unix::fs::symlink(site.path("nowhere"), site.path("dead.yml")).expect("a link");
    await_diagnostic(&weir, "dead.yml: cannot be read");
    site.remove("dead.yml");
    await_diagnostic(&weir, "");
    let (here, away) = (site.path(""), site.folder.path().join("away"));
    std::fs::rename(&here, &away).expect("a rename");
    await_diagnostic(&weir, "rules: cannot be read");
    assert_eq!(running(&weir), ["one=low"]);
    std::fs::create_dir(&here).expect("a folder");
    await_diagnostic(&weir, "rules: is another folder now, and an empty one");
    assert_eq!(running(&weir), ["one=low"]);
    std::fs::remove_dir(&here).expect("it is empty");
    std::fs::rename(&away, &here).expect("a rename");
    await_diagnostic(&weir, "");
    weir.stop();
}

#[test]
fn changes_over_the_api_outlive_edits_of_files_and_restarts() {
    let site = Site::new();
    for id in ["edited", "removed", "stopped"] {
        site.write(&format!("{id}.yml"), rule(id, "root", "low"));
    }
    let weir = site.start();
    await_rules(&weir, &["edited=low", "removed=low", "stopped=low"]);
    api(&weir, "POST /api/v1/rules/stopped/disable", "");
    api(&weir, "DELETE /api/v1/rules/removed", "");
    let text = rule("edited", "root", "high");
    api(&weir, "PUT /api/v1/rules?origin=ticket%207", &text);
    let page = weir.get("/api/v1/rules").json();
    assert_eq!(page["rules"][0]["origin"], "api (ticket 7)", "{page}");
    await_rules(&weir, &["edited=high"]);
    for id in ["edited", "removed", "stopped"] {
        site.write(&format!("{id}.yml"), rule(id, "root", "medium"));
    }
    site.write("new.yml", rule("new", "root", "low"));
    await_rules(&weir, &["edited=high", "new=low"]);
    weir.stop();

    let weir = site.start();
    until("three diagnostics", || {
        (diagnostics(&weir).len() == 3).then_some(())
    });
    await_rules(&weir, &["edited=high", "new=low"]);
    // A rule that is enabled over the API follows its file again.
    api(&weir, "POST /api/v1/rules/edited/disable", "");
    for id in ["edited", "removed", "stopped"] {
        api(&weir, &format!("POST /api/v1/rules/{id}/enable"), "");
    }
    await_rules(
        &weir,
        &[
            "edited=medium",
            "new=low",
            "removed=medium",
            "stopped=medium",
        ],
    );
    await_diagnostic(&weir, "");
    site.write("stopped.yml", rule("stopped", "root", "high"));
    await_rules(
        &weir,
        &["edited=medium", "new=low", "removed=medium", "stopped=high"],
    );
    let unknown = Request::new("POST", "/api/v1/rules/nobody/enable");
    assert_eq!(weir.send(unknown).status, 404);
    weir.stop();
}
