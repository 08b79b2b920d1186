//! `weir what-if` and `weir rules add --backfill` on the command line.

use super::support::command::{Finished, run};
use super::support::files::write;
use super::support::until;
use super::{LOOKS, RULES, Site, counts, many};

/// A line of `weir what-if` about a user with as many failures as its number.
fn row(sign: &str, user: u32, was: &str) -> String {
    format!(
        "{sign} high          Many fail [user=u{user}] {user} events, 2026-01-01T00:00:00Z to \
         2026-01-01T00:00:{:02}Z{was}",
        user - 1
    )
}

#[test]
fn what_if_prints_the_difference_and_promotes_it() {
    let site = Site::new(RULES);
    let lower = site.file("lower.yml", &many(3));
    let Finished { code, out, err } = site.run(&["what-if", &lower]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let (printed, runs_on) = out.split_once("\n\nIt runs on as ").expect("it runs on");
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.sort_unstable();
    let changed = |user: u32| {
        let row_then = row("", user, ")");
        let (_, then) = row_then.split_once("] ").expect("a group");
        row("~ changed", user, &format!(" (was {then}"))
    };
    let expected = [
        String::new(),
        row("+ gained ", 3, ""),
        "put many: 1 gained, 0 lost, 3 changed, 0 unchanged".to_owned(),
        changed(4),
        changed(5),
        changed(6),
    ];
    assert_eq!(lines, expected);
    let id = &runs_on[..16];
    assert_eq!(
        runs_on,
        format!("{id}: weir what-if --promote {id}, or --drop {id}\n")
    );

    let shown = site.run(&["what-if", "--show", id]);
    assert_eq!((shown.code, shown.out.trim_end()), (Some(0), printed));
    let list = site.run(&["what-if", "--list"]).out;
    let listed: Vec<&str> = list.lines().collect();
    assert_eq!(
        listed,
        [
            "ID                STATE      GAINED  LOST  CHANGED  CHANGES",
            &format!("{id}  running         1     0        3  put many"),
        ]
    );
    let promoted = site.run(&["what-if", "--promote", id]);
    let line = format!("promoted {id}: 1 gained, 0 lost, 3 changed, 0 unchanged\n");
    assert_eq!((promoted.code, promoted.out), (Some(0), line));
    until("the promotion", || (site.alerts().len() == 4).then_some(()));
    site.weir.stop();
}

#[test]
fn what_if_once_prints_json_and_drop_leaves_nothing() {
    let site = Site::new(RULES);
    let once = site.run(&["what-if", "--remove", "many", "--once", "--json"]);
    once.assert_success();
    let page = once.json();
    assert_eq!(page["what_if"]["lost"], 3);
    assert_eq!(page["alerts"].as_array().map(Vec::len), Some(4));
    until("the what-if is dropped", || {
        let list = site.run(&["what-if", "--list"]).out;
        (list.lines().count() == 1).then_some(())
    });
    let id = site.begin("", &many(9));
    let dropped = site.run(&["what-if", "--drop", &id]);
    assert_eq!(dropped.out, format!("dropped {id}; nothing has changed\n"));
    assert_eq!(site.alerts().len(), 3);
    // A promotion is refused even before the graph has processed the drop.
    let reply = site.request(&format!("POST /api/v1/what-if/{id}/promote"), "");
    assert!([404, 422].contains(&reply.status), "{}", reply.text());
    until("the what-if is dropped", || {
        let reply = site.request(&format!("GET /api/v1/what-if/{id}"), "");
        (reply.status == 404).then_some(())
    });

    let bad = site.file("bad.yml", "title: x\nid: x\n");
    let unknown_rule = ["what-if", "--remove", "nobody"];
    for (args, code, message) in [
        (&["what-if"][..], 2, "name rules to try"),
        (&["what-if", "--show", "x"], 2, "is not the id of a what-if"),
        (&["what-if", "--promote", &id], 1, "no what-if has the id"),
        (&unknown_rule, 65, "no rule has the id"),
        (&["what-if", "nowhere.yml"], 74, "cannot read nowhere.yml"),
        (&["what-if", &bad], 65, ""),
    ] {
        let ended = site.run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.err.contains(message), "{args:?}: {ended:?}");
    }
    let data = site.weir.data.display().to_string();
    let nobody = ["--url", "http://127.0.0.1:1", "--data-dir", &data];
    let ended = run(&[&["what-if", "--list"], &nobody[..]].concat());
    assert_eq!(ended.code, Some(69), "{ended:?}");
    site.weir.stop();
}

#[test]
fn a_rule_added_with_a_backfill_covers_old_and_new_events() {
    let mut site = Site::new(RULES);
    let looked: Vec<(u32, &str, u32)> = (0..20).map(|n| (10 + n, "look", n % 4)).collect();
    site.post(&looked);
    let looks = site.file("looks.yml", LOOKS);
    let Finished { code, out, err } = site.run(&["rules", "add", "--backfill", "1h", &looks]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let mut lines = out.lines();
    let added = "added looks (Looks), for events since 2025-12-31T22:59:59Z";
    assert_eq!(lines.next(), Some(added));
    assert_eq!(
        lines.next(),
        Some("the backfill is complete, and the rules follow new events")
    );
    assert_eq!(lines.next(), None);
    // The alerts stand when the verb reports completion.
    let all = ["\"u0\"=5", "\"u1\"=5", "\"u2\"=5", "\"u3\"=5"];
    let mut alerts = site.alerts();
    alerts.retain(|alert| alert.ends_with("=5"));
    assert_eq!(alerts, [&all[..], &["\"u5\"=5"]].concat());
    site.post(&[(40, "look", 0)]);
    until("the rule follows new events", || {
        site.alerts().contains(&"\"u0\"=6".to_owned()).then_some(())
    });

    let Finished { code, out, .. } = site.run(&["rules", "disable", "looks"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "looks: disabled; its alerts stand\n")
    );
    let Finished { code, out, .. } = site.run(&["rules", "enable", "looks"]);
    assert_eq!((code, out.as_str()), (Some(0), "looks: enabled\n"));
    let Finished { code, out, .. } = site.run(&["rules", "remove", "looks"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "looks: removed, and its alerts retracted\n")
    );
    until("the alerts are retracted", || {
        (site.alerts().len() == 3).then_some(())
    });
    let bad_span = ["rules", "add", "--backfill", "soon", &looks];
    for (args, code, message) in [
        (&bad_span[..], 1, "a span such as"),
        (
            &["rules", "add", "nowhere.yml"],
            74,
            "cannot read nowhere.yml",
        ),
        (&["rules", "remove", "nobody"], 1, "no rule has the id"),
    ] {
        let ended = site.run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.err.contains(message), "{args:?}: {ended:?}");
    }
    site.weir.stop();
}

#[test]
fn a_what_if_over_files_needs_no_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = |second: u32, user: &str| {
        format!(
            "<38>1 2026-01-01T00:00:{second:02}Z web1 sshd 4 - - Accepted password for {user} from \
             192.0.2.7 port 1 ssh2\n"
        )
    };
    let rule = |id: &str, user: &str| {
        format!(
            "title: About {id}\nid: {id}\nlogsource: {{product: linux, service: sshd}}\ndetection: \
             {{selection: {{user: {user}}}, condition: selection}}\nlevel: low\n"
        )
    };
    let lines = [line(1, "anna"), line(2, "root"), line(3, "anna")];
    let events = write(folder.path(), "events.log", lines.concat());
    let none = write(folder.path(), "rules.yml", rule("root", "root"));
    let candidate = write(folder.path(), "anna.yml", rule("anna", "anna"));
    let args = [
        "what-if",
        "--rules",
        &none,
        "--candidate",
        &candidate,
        "--json",
        &events,
    ];
    let Finished { code, out, err } = run(&args);
    assert_eq!(code, Some(0), "{out}{err}");
    let page: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(page["what_if"]["state"], "running", "{page}");
    assert_eq!(counts(&page["what_if"]), [1, 0, 0, 0], "{page}");
    assert_eq!(page["alerts"][0]["tried"]["count"], 2);
    let args = ["what-if", "--rules", &none, "--remove", "root", &events];
    let Finished { code, out, .. } = run(&args);
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.ends_with("remove root: 0 gained, 1 lost, 0 changed, 0 unchanged\n"),
        "{out}"
    );
    let Finished { code, err, .. } = run(&["what-if", "--rules", &none, "--candidate", &candidate]);
    assert_eq!(code, Some(2), "{err}");
    let Finished { code, err, .. } = run(&["what-if", "--rules", &none, "--remove", "x", &events]);
    assert_eq!(code, Some(65), "{err}");
}
