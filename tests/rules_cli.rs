//! `weir rules` as people type it: what it prints, and the exit code that it ends with.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Exit code, standard output and standard error of `weir rules` with these arguments.
fn rules(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .arg("rules")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    (output.status.code(), out, err)
}

fn json(out: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
    std::fs::write(&path, text).expect("it can be written");
    shown(&path)
}

fn rule(id: &str, more: &str) -> String {
    format!(
        "title: About {id}\nid: {id}\nstatus: test\ntags:\n    - attack.execution\n    - attack.t1059.004\n\
         logsource:\n    product: linux\n    service: sshd\ndetection:\n    selection:\n        user: root\n    \
         condition: selection\nlevel: low\n{more}"
    )
}

/// The data folder, or `None` after saying that `test` is skipped.
fn data(test: &str, path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WEIR_DATA").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = folder
        .unwrap_or_else(|| root.join("../shared/data"))
        .join(path);
    if file.exists() {
        return Some(file);
    }
    let absent = format!("SKIPPED: {test}: {path} is absent; set WEIR_DATA\n");
    let _ = std::io::stderr().write_all(absent.as_bytes());
    None
}

#[test]
fn lint_tells_all_problems_with_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let two = format!(
        "{}---\n{}",
        rule("one", ""),
        rule("two", "").replace("level: low", "level: loud")
    );
    let two = write(root, "a.yml", two);
    let twice = write(root, "b/c.yml", rule("one", ""));
    let bytes = write(root, "bytes.yml", b"title: x\ndescription: \xff\n");
    write(root, "empty.yml", "");
    let nowhere = shown(&root.join("nowhere.yml"));
    let all = shown(root);

    let (code, out, _) = rules(&["lint", &all, &nowhere]);
    assert_eq!(code, Some(65), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    // The second document begins on the 16th line.
    for (line, says) in [
        (format!("{two}:29:1: "), "no such level"),
        (format!("{twice}:2:1: "), "a.yml:1"),
        (format!("{bytes}:2:1: "), "is not UTF-8"),
        (format!("{nowhere}:1:1: "), "cannot be read"),
    ] {
        let found = lines
            .iter()
            .any(|told| told.starts_with(&line) && told.contains(says));
        assert!(found, "nothing begins with {line} and says {says}:\n{out}");
    }
    assert_eq!(lines.len(), 5, "{out}");
    assert_eq!(
        lines[4],
        "4 files, 3 documents: 1 in force, 4 problems, 0 remarks"
    );

    let (code, out, _) = rules(&["lint", "--format", "json", &all]);
    let told = json(&out);
    assert_eq!((code, &told["problems"]), (Some(65), &3.into()), "{out}");
    let first = &told["diagnostics"][0];
    assert_eq!(
        (first["line"].as_u64(), first["severity"].as_str()),
        (Some(29), Some("error"))
    );
    assert!(
        first["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("critical")),
        "{first}"
    );

    let good = write(root, "good.yml", rule("good", ""));
    let (code, out, _) = rules(&["lint", &good]);
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn hostile_files_are_told_and_end_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    write(root, "deep.yml", "[".repeat(100_000));
    write(
        root,
        "aliases.yml",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ntitle: x\n",
    );
    write(root, "nul.yml", b"title: \0\n");
    write(root, "large.yml", vec![b'#'; (4 << 20) + 1]);
    write(
        root,
        "control.yml",
        rule("\"x\\e[31m\"", "").replace("level: low", "level: \"\\e[2J\""),
    );
    let many: String = (0..3_000)
        .map(|n| format!("{}---\n", rule(&format!("r{n}"), "")))
        .collect();
    write(root, "many.yml", many);
    std::os::unix::fs::symlink(root, root.join("loop")).expect("a link");
    let (code, out, _) = rules(&["lint", &shown(root)]);
    assert_eq!(code, Some(65), "{out}");
    assert!(
        out.contains("6 files, 3004 documents: 3000 in force, "),
        "{out}"
    );
    assert!(out.contains("large.yml:1:1: is larger than 4 MiB"), "{out}");
    assert!(!out.contains('\x1b'), "{out}");
}

#[test]
fn the_list_has_a_line_for_each_rule() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "a.yml", rule("one", ""));
    let (code, out, err) = rules(&["list", &file]);
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<Vec<&str>> = out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["LEVEL", "STATUS", "LOG", "SOURCE", "ID", "TITLE"]
    );
    assert_eq!(
        lines[1..],
        [["low", "test", "linux/sshd", "one", "About", "one"]]
    );

    let (code, out, _) = rules(&["list", "--format", "json", &file]);
    let one = &json(&out)["rules"][0];
    assert_eq!(
        (code, &one["origin"]),
        (Some(0), &format!("{file}:1").into()),
        "{out}"
    );
    assert_eq!(one["logsource"]["service"], "sshd");

    // Without a path, what is built in.
    let (code, out, _) = rules(&["list"]);
    assert!(
        code == Some(0) && out.contains("ssh") && out.lines().count() > 20,
        "{out}"
    );
    // What cannot be used is told, and the rest is listed.
    write(
        folder.path(),
        "b.yml",
        rule("two", "").replace("level: low", "level: loud"),
    );
    let (code, out, err) = rules(&["list", &shown(folder.path())]);
    assert_eq!((code, out.lines().count()), (Some(65), 2), "{out}");
    assert!(err.contains("b.yml:14:1: no such level"), "{err}");
}

const STORY: &str = "# Root over SSH\n\n    rule + root\n\n    \
    08:00:00  linux  raw [as it] <38>Jan  1 08:00:00 db-1 sshd[4]: Accepted password for root from 192.0.2.7 port 1 ssh2\n";
const NEAR: &str = "    08:00:10  linux  raw <38>Jan  1 08:00:10 db-2 sshd[4]: Accepted password for ruth from 192.0.2.7 port 1 ssh2\n";
const END: &str = "    ---- 08:01:00\n    + alert  root  host=db-1  low  by it\n";

#[test]
fn a_rule_is_proven_by_a_story_that_fires_and_a_near_miss() {
    // The stories of a folder, exit code, and what is said of the rule.
    let whole = format!("{STORY}{NEAR}{END}");
    let no_near_miss = format!("{STORY}{END}");
    let untrue = whole.replace("host=db-1", "host=db-2");
    let cases: [(&[&str], i32, &str); 4] = [
        (&[&whole], 0, "ok     root"),
        (&[&no_near_miss], 1, "no near miss; it fires in"),
        (&[], 1, "no story in which it fires, and no near miss"),
        (&[&untrue], 1, "no story in which it fires"),
    ];
    for (stories, code, says) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let file = write(folder.path(), "root.yml", rule("root", ""));
        for (n, story) in stories.iter().enumerate() {
            write(folder.path(), &format!("{n}.md"), story);
        }
        write(folder.path(), "README.md", "# Notes\n");
        for path in [&shown(folder.path()), &file] {
            let (got, out, err) = rules(&["test", path]);
            assert_eq!(got, Some(code), "{out}{err}");
            assert!(out.contains(says), "{says:?} is not in: {out}");
        }
        let (_, out, _) = rules(&["test", "--format", "json", &file]);
        assert_eq!(json(&out)["rules"][0]["proven"], code == 0, "{out}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "root.yml", rule("root", ""));
    write(folder.path(), "story.md", "# A story\n\n    nonsense\n");
    assert_eq!(rules(&["test", &file]).0, Some(65));
}

#[test]
fn coverage_tells_fields_and_sources_that_are_missing_and_counts_techniques() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    write(root, "a.yml", rule("good", ""));
    write(
        root,
        "b.yml",
        rule("lacking", "").replace("user: root", "userr: root"),
    );
    write(
        root,
        "c.yml",
        rule("blind", "").replace("service: sshd", "service: nobody"),
    );
    let layer = shown(&root.join("layer.json"));
    let args = [
        "coverage",
        &shown(root),
        "--navigator",
        &layer,
        "--format",
        "json",
    ];
    let (code, out, err) = rules(&args);
    assert_eq!(code, Some(0), "{err}");
    let told = json(&out);
    let of = |id: &str| {
        let rules = told["rules"].as_array().expect("a list");
        rules
            .iter()
            .find(|rule| rule["id"] == id)
            .expect("the rule")
            .clone()
    };
    assert_eq!(of("good")["missing_fields"], Value::Array(Vec::new()));
    assert_eq!(of("lacking")["missing_fields"][0], "userr");
    assert_eq!(of("blind")["has_source"], false);
    assert_eq!(told["sources_that_nobody_provides"]["linux/nobody"], 1);
    assert_eq!(told["techniques"]["T1059.004"], 3);
    assert_eq!(told["tactics"]["execution"], 3);

    let layer = json(&std::fs::read_to_string(&layer).expect("it was written"));
    assert_eq!(layer["versions"]["layer"], "4.5");
    assert_eq!(layer["domain"], "enterprise-attack");
    let technique = &layer["techniques"][0];
    assert_eq!(
        (&technique["techniqueID"], &technique["score"]),
        (&"T1059.004".into(), &3.into())
    );
    assert!(layer["gradient"]["maxValue"].as_u64() > layer["gradient"]["minValue"].as_u64());

    let (code, out, _) = rules(&["coverage", &shown(root)]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("userr") && out.contains("T1059.004"), "{out}");
}

#[test]
fn the_public_rules_are_read_whole_and_old_forms_are_refused() {
    let test = "the_public_rules_are_read_whole_and_old_forms_are_refused";
    let Some(sigma) = data(test, "sigma") else {
        return;
    };
    let good = [
        "rules",
        "rules-emerging-threats",
        "rules-threat-hunting",
        "rules-compliance",
    ];
    let good: Vec<String> = good
        .iter()
        .map(|folder| shown(&sigma.join(folder)))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let placeholders = "[detection.placeholders]\nknown_cdcs = [\"dc-1\"]\n";
    let config = write(folder.path(), "weir.toml", placeholders);
    let mut args = vec!["lint", "--config", &config, "--format", "json"];
    args.extend(good.iter().map(String::as_str));
    let (code, out, _) = rules(&args);
    let told = json(&out);
    assert_eq!(code, Some(0), "{}", told["diagnostics"]);
    assert_eq!(told["documents"], told["in_force"]);
    assert!(
        told["documents"].as_u64() > Some(3_700),
        "{}",
        told["documents"]
    );

    let (code, out, _) = rules(&[
        "lint",
        "--format",
        "json",
        &shown(&sigma.join("unsupported")),
    ]);
    assert_eq!(code, Some(65));
    let told = json(&out);
    let diagnostics = told["diagnostics"].as_array().expect("a list");
    for said in diagnostics {
        let places = [&said["line"], &said["column"]];
        assert!(places.iter().all(|at| at.as_u64() > Some(0)), "{said}");
    }

    // What the maintainers of the rules think that each log source has, beside what we think: told,
    // not judged.
    let mut args = vec!["coverage", "--config", &config, "--format", "json"];
    args.extend(good.iter().map(String::as_str));
    let (code, out, _) = rules(&args);
    let told = json(&out);
    let listed = told["rules"].as_array().expect("a list").iter();
    let lacking: Vec<&Value> = listed
        .filter(|rule| {
            rule["missing_fields"]
                .as_array()
                .is_some_and(|fields| !fields.is_empty())
        })
        .collect();
    assert_eq!(code, Some(0));
    report(&sigma, &lacking);
    // Real rules ask for what real sources have, but for few.
    assert!(lacking.len() < 400, "{}", lacking.len());
}

/// Says which of the fields that we miss the maintainers know.
fn report(sigma: &Path, lacking: &[&Value]) {
    let text = std::fs::read_to_string(sigma.join("logsource_fields.json"));
    let known = json(&text.expect("the list is there"));
    let mut differ = 0;
    for rule in lacking {
        let source = rule["logsource"].as_str().unwrap_or_default();
        let (product, kind) = source.split_once('/').unwrap_or(("empty", source));
        let listed = ["category", "service"].iter().flat_map(|word| {
            let fields = known["legit"][product][word][kind].as_array();
            fields.into_iter().flatten().filter_map(Value::as_str)
        });
        let listed: Vec<&str> = listed.collect();
        let missing = rule["missing_fields"].as_array().into_iter().flatten();
        differ += missing
            .filter_map(Value::as_str)
            .filter(|field| listed.contains(field))
            .count();
    }
    println!(
        "{} rules read fields that we miss; of these fields the list knows {differ}",
        lacking.len()
    );
}
