//! Rules files are followed while the server runs, and what people do over the API outlives them.

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

/// A folder of rules beside the data of a server, and its configuration.
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

    /// As editors do: another file takes the place of the old one.
    fn replace(&self, file: &str, text: &str) {
        self.write(".new", text);
        std::fs::rename(self.path(".new"), self.path(file)).expect("a rename");
    }

    fn remove(&self, file: &str) {
        std::fs::remove_file(self.path(file)).expect("it is there");
    }
}

/// The level of each rule that runs, in order of id, as `id=level`.
fn running(weir: &Weir) -> Vec<String> {
    let told = weir.get("/api/v1/rules").json();
    let rules = told["rules"].as_array().expect("a list").iter();
    let rules = rules.filter(|rule| rule["enabled"] == true);
    let word = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    rules
        .map(|rule| format!("{}={}", word(rule, "id"), word(rule, "level")))
        .collect()
}

/// What is wrong with the files, as `file: message`.
fn wrong(weir: &Weir) -> Vec<String> {
    let told = weir.get("/api/v1/rules").json();
    let said = told["diagnostics"].as_array().expect("a list").iter();
    said.map(|said| {
        let origin = Path::new(said["origin"].as_str().unwrap_or_default());
        let file = origin.file_name().unwrap_or_default().to_string_lossy();
        format!("{file}: {}", said["message"].as_str().unwrap_or_default())
    })
    .collect()
}

fn runs(weir: &Weir, expected: &[&str]) {
    let what = format!("{expected:?} run; {:?}", wrong(weir));
    until(&what, || (running(weir) == expected).then_some(()));
}

/// Waits until exactly one thing is wrong, which contains the words; or nothing.
fn is_wrong(weir: &Weir, words: &str) {
    until(&format!("`{words}` is said"), || {
        let said = wrong(weir);
        match said.as_slice() {
            [] => words.is_empty(),
            [one] => !words.is_empty() && one.contains(words),
            _ => false,
        }
        .then_some(())
    });
}

fn api(weir: &Weir, request: &str, body: &str) {
    let (method, path) = request.split_once(' ').expect("a method and a path");
    let reply = weir.send(Request::new(method, path).body(body.as_bytes()));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn files_are_followed_and_what_is_bad_leaves_what_runs() {
    let site = Site::new();
    site.write("one.yml", rule("one", "root", "low"));
    let weir = site.start();
    runs(&weir, &["one=low"]);

    // Added, changed, replaced; and judged by.
    site.write("two.yml", rule("two", "root", "low"));
    runs(&weir, &["one=low", "two=low"]);
    site.replace("two.yml", &rule("two", "anna", "high"));
    runs(&weir, &["one=low", "two=high"]);
    weir.send_tcp(b"<38>1 2026-01-01T00:00:00Z web1 sshd 4 - - Accepted password for anna from 192.0.2.7 port 1 ssh2\n");
    until("an alert", || {
        let alerts = weir.get("/api/v1/alerts").json();
        (alerts["alerts"][0]["rule"] == "two").then_some(())
    });

    // A bad version, half a file, bytes that are no text, nothing at all: the rule runs on.
    let whole = rule("one", "root", "critical");
    let half = whole.split("detection").next().unwrap_or_default();
    for (bad, says) in [
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
        is_wrong(&weir, says);
        assert_eq!(running(&weir), ["one=low", "two=high"], "{says}");
    }
    site.write("one.yml", &whole);
    is_wrong(&weir, "");
    runs(&weir, &["one=critical", "two=high"]);

    // In another file it is the same rule; of two the first in order of path stands.
    std::fs::rename(site.path("one.yml"), site.path("three.yml")).expect("a rename");
    site.write("zoo.yml", rule("two", "root", "low"));
    is_wrong(&weir, "zoo.yml: the id `two` is that of the rule at ");
    assert_eq!(running(&weir), ["one=critical", "two=high"]);
    site.remove("zoo.yml");
    is_wrong(&weir, "");

    // Links in a circle, one that leads nowhere, and the folder itself gone for a while.
    std::os::unix::fs::symlink(site.path(""), site.path("loop")).expect("a link");
    std::os::unix::fs::symlink(site.path("nowhere"), site.path("dead.yml")).expect("a link");
    is_wrong(&weir, "dead.yml: cannot be read");
    site.remove("dead.yml");
    is_wrong(&weir, "");
    let (here, away) = (site.path(""), site.folder.path().join("away"));
    std::fs::rename(&here, &away).expect("a rename");
    is_wrong(&weir, "rules: cannot be read");
    assert_eq!(running(&weir), ["one=critical", "two=high"]);
    std::fs::create_dir(&here).expect("a folder");
    is_wrong(&weir, "rules: is another folder now, and an empty one");
    assert_eq!(running(&weir), ["one=critical", "two=high"]);
    std::fs::remove_dir(&here).expect("it is empty");
    std::fs::rename(&away, &here).expect("a rename");
    is_wrong(&weir, "");

    site.remove("two.yml");
    runs(&weir, &["one=critical"]);
    // What it said stands.
    assert_eq!(
        weir.get("/api/v1/alerts").json()["alerts"][0]["rule"],
        "two"
    );
    site.remove("three.yml");
    runs(&weir, &[]);
    weir.stop();
}

#[test]
fn what_people_do_outlives_edits_of_files_and_restarts() {
    let site = Site::new();
    for id in ["edited", "removed", "stopped"] {
        site.write(&format!("{id}.yml"), rule(id, "root", "low"));
    }
    let weir = site.start();
    runs(&weir, &["edited=low", "removed=low", "stopped=low"]);
    api(&weir, "POST /api/v1/rules/stopped/disable", "");
    api(&weir, "DELETE /api/v1/rules/removed", "");
    let text = rule("edited", "root", "high");
    api(&weir, "PUT /api/v1/rules?origin=ticket%207", &text);
    let told = weir.get("/api/v1/rules").json();
    assert_eq!(told["rules"][0]["origin"], "api (ticket 7)", "{told}");
    runs(&weir, &["edited=high"]);
    for id in ["edited", "removed", "stopped"] {
        site.write(&format!("{id}.yml"), rule(id, "root", "medium"));
    }
    site.write("new.yml", rule("new", "root", "low"));
    runs(&weir, &["edited=high", "new=low"]);
    weir.stop();

    let weir = site.start();
    until("all is told", || (wrong(&weir).len() == 3).then_some(()));
    runs(&weir, &["edited=high", "new=low"]);
    // Let go, files have it again.
    api(&weir, "POST /api/v1/rules/edited/disable", "");
    for id in ["edited", "removed", "stopped"] {
        api(&weir, &format!("POST /api/v1/rules/{id}/enable"), "");
    }
    runs(
        &weir,
        &[
            "edited=medium",
            "new=low",
            "removed=medium",
            "stopped=medium",
        ],
    );
    is_wrong(&weir, "");
    site.write("stopped.yml", rule("stopped", "root", "high"));
    runs(
        &weir,
        &["edited=medium", "new=low", "removed=medium", "stopped=high"],
    );
    let unknown = Request::new("POST", "/api/v1/rules/nobody/enable");
    assert_eq!(weir.send(unknown).status, 404);
    weir.stop();
}
