//! `weir rules` through its binary: output and exit codes.

mod support;

use std::path::Path;

use serde_json::Value;
use support::command::{Finished, finish, weir};
use support::files::{data_set, shown, write};

/// Runs `weir rules` with these arguments.
fn rules(args: &[&str]) -> Finished {
    finish(weir(["rules"]).args(args))
}

fn parse(out: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

fn rule(id: &str, more: &str) -> String {
    format!(
        "title: About {id}\nid: {id}\nstatus: test\ntags:\n    - attack.execution\n    - attack.t1059.004\n\
         logsource:\n    product: linux\n    service: sshd\ndetection:\n    selection:\n        user: root\n    \
         condition: selection\nlevel: low\n{more}"
    )
}

#[test]
fn lint_reports_all_problems_with_their_places() {
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

    let Finished { code, out, .. } = rules(&["lint", &all, &nowhere]);
    assert_eq!(code, Some(65), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    // The second document begins on line 16.
    for (place, message) in [
        (format!("{two}:29:1: "), "no such level"),
        (format!("{twice}:2:1: "), "a.yml:1"),
        (format!("{bytes}:2:1: "), "is not UTF-8"),
        (format!("{nowhere}:1:1: "), "cannot be read"),
    ] {
        let found = lines
            .iter()
            .any(|line| line.starts_with(&place) && line.contains(message));
        assert!(found, "no line with {place} and {message}:\n{out}");
    }
    assert_eq!(lines.len(), 5, "{out}");
    assert_eq!(
        lines[4],
        "4 files, 3 documents: 1 in force, 4 problems, 0 remarks"
    );

    let Finished { code, out, .. } = rules(&["lint", "--format", "json", &all]);
    let report = parse(&out);
    assert_eq!((code, &report["problems"]), (Some(65), &3.into()), "{out}");
    let first = &report["diagnostics"][0];
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
    let Finished { code, out, .. } = rules(&["lint", &good]);
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn hostile_files_are_reported_and_stop_nothing() {
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
    let Finished { code, out, .. } = rules(&["lint", &shown(root)]);
    assert_eq!(code, Some(65), "{out}");
    assert!(
        out.contains("6 files, 3004 documents: 3000 in force, "),
        "{out}"
    );
    assert!(out.contains("large.yml:1:1: is larger than 4 MiB"), "{out}");
    assert!(!out.contains('\x1b'), "{out}");
}

#[test]
fn list_prints_a_line_for_each_rule() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "a.yml", rule("one", ""));
    let Finished { code, out, err } = rules(&["list", &file]);
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

    let Finished { code, out, .. } = rules(&["list", "--format", "json", &file]);
    let one = &parse(&out)["rules"][0];
    assert_eq!(
        (code, &one["origin"]),
        (Some(0), &format!("{file}:1").into()),
        "{out}"
    );
    assert_eq!(one["logsource"]["service"], "sshd");

    // Without a path, it lists the built-in rules.
    let Finished { code, out, .. } = rules(&["list"]);
    assert!(
        code == Some(0) && out.contains("ssh") && out.lines().count() > 20,
        "{out}"
    );
    // Unusable rules are reported, the others are listed.
    write(
        folder.path(),
        "b.yml",
        rule("two", "").replace("level: low", "level: loud"),
    );
    let Finished { code, out, err } = rules(&["list", &shown(folder.path())]);
    assert_eq!((code, out.lines().count()), (Some(65), 2), "{out}");
    assert!(err.contains("b.yml:14:1: no such level"), "{err}");
}

const STORY: &str = "# Root over SSH\n\n    rule + root\n\n    \
    08:00:00  linux  raw [as it] <38>Jan  1 08:00:00 db-1 sshd[4]: Accepted password for root from 192.0.2.7 port 1 ssh2\n";
const NEAR: &str = "    08:00:10  linux  raw <38>Jan  1 08:00:10 db-2 sshd[4]: Accepted password for ruth from 192.0.2.7 port 1 ssh2\n";
const END: &str = "    ---- 08:01:00\n    + alert  root  host=db-1  low  by it\n";

#[test]
fn a_rule_is_proven_by_a_story_that_fires_and_a_near_miss() {
    // Stories of a folder, the exit code, and a part of the output.
    let whole = format!("{STORY}{NEAR}{END}");
    let no_near_miss = format!("{STORY}{END}");
    let untrue = whole.replace("host=db-1", "host=db-2");
    let cases: [(&[&str], i32, &str); 4] = [
        (&[&whole], 0, "ok     root"),
        (&[&no_near_miss], 1, "no near miss; it fires in"),
        (&[], 1, "no story in which it fires, and no near miss"),
        (&[&untrue], 1, "no story in which it fires"),
    ];
    for (stories, code, line) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let file = write(folder.path(), "root.yml", rule("root", ""));
        for (n, story) in stories.iter().enumerate() {
            write(folder.path(), &format!("{n}.md"), story);
        }
        write(folder.path(), "README.md", "# Notes\n");
        for path in [&shown(folder.path()), &file] {
            let Finished {
                code: got,
                out,
                err,
            } = rules(&["test", path]);
            assert_eq!(got, Some(code), "{out}{err}");
            assert!(out.contains(line), "{line:?} is not in: {out}");
        }
        let Finished { out, .. } = rules(&["test", "--format", "json", &file]);
        assert_eq!(parse(&out)["rules"][0]["proven"], code == 0, "{out}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "root.yml", rule("root", ""));
    write(folder.path(), "story.md", "# A story\n\n    nonsense\n");
    assert_eq!(rules(&["test", &file]).code, Some(65));
}

#[test]
fn coverage_lists_missing_fields_and_sources_and_counts_techniques() {
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
    let Finished { code, out, err } = rules(&args);
    assert_eq!(code, Some(0), "{err}");
    let report = parse(&out);
    let row = |id: &str| {
        let rules = report["rules"].as_array().expect("a list");
        rules
            .iter()
            .find(|rule| rule["id"] == id)
            .expect("the rule")
            .clone()
    };
    assert_eq!(row("good")["missing_fields"], Value::Array(Vec::new()));
    assert_eq!(row("lacking")["missing_fields"][0], "userr");
    assert_eq!(row("blind")["has_source"], false);
    assert_eq!(report["sources_that_nobody_provides"]["linux/nobody"], 1);
    assert_eq!(report["techniques"]["T1059.004"], 3);
    assert_eq!(report["tactics"]["execution"], 3);

    let layer = parse(&std::fs::read_to_string(&layer).expect("it was written"));
    assert_eq!(layer["versions"]["layer"], "4.5");
    assert_eq!(layer["domain"], "enterprise-attack");
    let technique = &layer["techniques"][0];
    assert_eq!(
        (&technique["techniqueID"], &technique["score"]),
        (&"T1059.004".into(), &3.into())
    );
    assert!(layer["gradient"]["maxValue"].as_u64() > layer["gradient"]["minValue"].as_u64());

    let Finished { code, out, .. } = rules(&["coverage", &shown(root)]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("userr") && out.contains("T1059.004"), "{out}");
}

/// Folders of public rules that must all be usable.
const PUBLIC_RULES: [&str; 4] = [
    "rules",
    "rules-emerging-threats",
    "rules-threat-hunting",
    "rules-compliance",
];

/// Runs a verb over the public rules, with a value for the one placeholder that they need.
fn public_rules(verb: &str, sigma: &Path) -> Finished {
    let folder = tempfile::tempdir().expect("a folder");
    let placeholders = "[detection.placeholders]\nknown_cdcs = [\"dc-1\"]\n";
    let config = write(folder.path(), "weir.toml", placeholders);
    let folders = PUBLIC_RULES.map(|folder| shown(&sigma.join(folder)));
    let mut args = vec![verb, "--config", &config, "--format", "json"];
    args.extend(folders.iter().map(String::as_str));
    rules(&args)
}

#[test]
fn lint_accepts_all_public_rules_and_refuses_old_forms() {
    let test = "lint_accepts_all_public_rules_and_refuses_old_forms";
    let Some(sigma) = data_set(test, "sigma") else {
        return;
    };
    let Finished { code, out, .. } = public_rules("lint", &sigma);
    let report = parse(&out);
    assert_eq!(code, Some(0), "{}", report["diagnostics"]);
    assert_eq!(report["documents"], report["in_force"]);
    let documents = report["documents"].as_u64();
    assert!(documents > Some(3_700), "{documents:?}");

    let unsupported = shown(&sigma.join("unsupported"));
    let Finished { code, out, .. } = rules(&["lint", "--format", "json", &unsupported]);
    assert_eq!(code, Some(65));
    let report = parse(&out);
    for diagnostic in report["diagnostics"].as_array().expect("a list") {
        let places = [&diagnostic["line"], &diagnostic["column"]];
        assert!(
            places.iter().all(|at| at.as_u64() > Some(0)),
            "{diagnostic}"
        );
    }
}

#[test]
fn coverage_finds_most_fields_of_the_public_rules() {
    let test = "coverage_finds_most_fields_of_the_public_rules";
    let Some(sigma) = data_set(test, "sigma") else {
        return;
    };
    let Finished { code, out, .. } = public_rules("coverage", &sigma);
    let report = parse(&out);
    let listed = report["rules"].as_array().expect("a list").iter();
    let lacking: Vec<&Value> = listed
        .filter(|rule| {
            rule["missing_fields"]
                .as_array()
                .is_some_and(|fields| !fields.is_empty())
        })
        .collect();
    assert_eq!(code, Some(0));
    print_difference(&sigma, &lacking);
    // Nearly all rules use fields that real sources have.
    assert!(lacking.len() < 400, "{}", lacking.len());
}

/// Prints how many of the fields that Weir misses are in the maintainers' list of fields. The
/// number is for information; no test fails over it.
fn print_difference(sigma: &Path, lacking: &[&Value]) {
    let text = std::fs::read_to_string(sigma.join("logsource_fields.json"));
    let known = parse(&text.expect("the list is there"));
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
        "{} rules use fields that Weir misses; {differ} of these fields are in the list",
        lacking.len()
    );
}
