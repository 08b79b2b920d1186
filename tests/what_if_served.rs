//! What-ifs of a running server, as programs ask for them over the API and people type them.

mod support;

use std::process::{Command, Stdio};

use serde_json::Value;
use support::http::{Reply, Request};
use support::{Weir, config, until};

const RULES: &str = "title: Failed\nname: failed\nid: failed\nlogsource: {product: shop}\n\
     detection: {selection: {action: fail}, condition: selection}\n\
     ---\n\
     title: Many fail\nname: many\nid: many\nlevel: high\ncorrelation: {type: event_count, \
     rules: [failed], group-by: [user], timespan: 60s, condition: {gte: 4}}\n";

/// The correlation of [`RULES`], with another threshold.
fn many(least: u32) -> String {
    let (_, text) = RULES.split_once("---\n").expect("two documents");
    text.replace("gte: 4", &format!("gte: {least}"))
}

const CHAIN: &str = "title: Again\nid: again\ncorrelation: {type: event_count, rules: [many], \
     group-by: [user], timespan: 1h, condition: {gte: 2}}\n";

const LOOKS: &str = "title: Looks\nid: looks\nlevel: low\nlogsource: {product: shop}\n\
     detection: {selection: {action: look}, condition: selection}\nweir: {group-by: [user]}\n";

/// A server in which the user `u1` has failed once, `u2` twice, and so on up to `u6`.
struct Site {
    folder: tempfile::TempDir,
    weir: Weir,
    sent: u64,
}

impl Site {
    fn new(rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rules.yml");
        std::fs::write(&path, rules).expect("it can be written");
        let config = config(&format!(
            "[time]\nlateness = \"30s\"\n[rules]\nbuiltin = false\npaths = [{:?}]\n\
             [[source]]\nname = \"s\"\ntransport = \"http\"\nlogsource = \"product=shop\"\n",
            path.display().to_string()
        ));
        let weir = Weir::start(&folder.path().join("data"), &config);
        let mut site = Self {
            folder,
            weir,
            sent: 0,
        };
        for user in 1..=6 {
            site.post(&(0..user).map(|n| (n, "fail", user)).collect::<Vec<_>>());
        }
        site
    }

    /// Events of a minute: second, action, user.
    fn post(&mut self, events: &[(u32, &str, u32)]) {
        let line = |(second, action, user): &(u32, &str, u32)| {
            format!(
                "{{\"timestamp\":\"2026-01-01T00:00:{second:02}Z\",\"action\":\"{action}\",\
                 \"user\":\"u{user}\",\"n\":{second}}}\n"
            )
        };
        let lines: String = events.iter().map(line).collect();
        let request = Request::new("POST", "/api/v1/events?source=s").body(lines.as_bytes());
        assert_eq!(self.weir.send(request).status, 200);
        self.sent += events.len() as u64;
        self.settle();
    }

    /// Waits until all that was sent is judged.
    fn settle(&self) {
        self.weir
            .await_metric("weir_events_decoded_total", "", self.sent);
    }

    fn ask(&self, request: &str, body: &str) -> Reply {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        self.weir
            .send(Request::new(method, path).body(body.as_bytes()))
    }

    /// Begins a what-if, waits for its first answer, and returns its id.
    fn begin(&self, query: &str, body: &str) -> String {
        let reply = self.ask(&format!("POST /api/v1/what-if{query}"), body);
        assert_eq!(reply.status, 201, "{}", reply.text());
        let id = reply.json()["what_if"]["id"].as_str().map(str::to_owned);
        let id = id.expect("it has an id");
        until("an answer", || {
            let told = self.one(&id);
            (told["what_if"]["state"] == "running").then_some(())
        });
        id
    }

    fn one(&self, id: &str) -> Value {
        self.ask(&format!("GET /api/v1/what-if/{id}"), "").json()
    }

    /// The users of the alerts that stand, with how many events each has.
    fn alerts(&self) -> Vec<String> {
        let told = self.weir.get("/api/v1/alerts?limit=1000").json();
        let mut all: Vec<String> = told["alerts"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|alert| alert["standing"] != false)
            .map(|alert| format!("{}={}", alert["group"]["user"], alert["count"]))
            .collect();
        all.sort();
        all
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.display().to_string()
    }

    /// Exit code, standard output and standard error of a verb that asks this server.
    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let url = format!("http://{}", self.weir.http);
        let data = self.weir.data.display().to_string();
        run(&[args, &["--url", &url, "--data-dir", &data]].concat())
    }
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    (output.status.code(), out, err)
}

fn counts(what_if: &Value) -> [u64; 4] {
    let count = |name: &str| what_if[name].as_u64().expect("a count");
    ["gained", "lost", "changed", "same"].map(count)
}

#[test]
fn a_what_if_is_begun_read_promoted_and_dropped_over_the_api() {
    let mut site = Site::new(RULES);
    let before = site.alerts();
    assert_eq!(before, ["\"u4\"=4", "\"u5\"=5", "\"u6\"=6"]);

    // Lower: two more, and three that would begin earlier. Higher: two less.
    let lower = site.begin("", &many(2));
    let higher = site.begin("", &many(6));
    let gone = site.begin("?remove=many", "");
    let told = site.one(&lower);
    let about = &told["what_if"];
    assert_eq!(counts(about), [2, 0, 3, 0], "{told}");
    assert_eq!(about["from"], "facts");
    assert_eq!(about["changes"][0]["rule"], "many");
    assert_eq!(about["changes"][0]["change"], "put");
    assert_eq!(counts(&site.one(&higher)["what_if"]), [0, 2, 1, 0]);
    // What only the correlation reads speaks for itself, once that is gone.
    let about = site.one(&gone)["what_if"].clone();
    assert_eq!((&about["lost"], &about["gained"]), (&3.into(), &1.into()));
    assert_eq!(about["changes"][0]["change"], "remove");

    // By kind, and page by page.
    let page = |query: &str| {
        let told = site
            .ask(&format!("GET /api/v1/what-if/{lower}?{query}"), "")
            .json();
        let users: Vec<String> = told["alerts"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["group"]["user"].as_str().unwrap_or_default().to_owned())
            .collect();
        (users, told)
    };
    let (mut gained, told) = page("kind=gained");
    gained.sort();
    assert_eq!(gained, ["u2", "u3"]);
    let row = &told["alerts"][0];
    assert_eq!(
        (&row["live"], &row["kind"]),
        (&Value::Null, &"gained".into())
    );
    assert_eq!(
        (&row["level"], &row["rule"]),
        (&"high".into(), &"many".into())
    );
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let (users, told) = page(&format!("limit=2{after}"));
        paged.extend(users);
        match told["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    paged.sort();
    assert_eq!(paged, ["u2", "u3", "u4", "u5", "u6"]);

    // It follows what comes, and nobody else has heard of it.
    site.post(&[(3, "fail", 1)]);
    until("it follows", || {
        (site.one(&lower)["what_if"]["gained"] == 3).then_some(())
    });
    assert_eq!(site.alerts(), before);
    let listed = site.ask("GET /api/v1/what-if", "").json();
    assert_eq!(listed["what_ifs"].as_array().map(Vec::len), Some(3));

    let reply = site.ask(&format!("POST /api/v1/what-if/{lower}/promote"), "");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["done"], "promoted");
    site.settle();
    let lowered = [
        "\"u1\"=2", "\"u2\"=2", "\"u3\"=3", "\"u4\"=4", "\"u5\"=5", "\"u6\"=6",
    ];
    until("it is done", || (site.alerts() == lowered).then_some(()));
    assert_eq!(
        site.ask(&format!("GET /api/v1/what-if/{lower}"), "").status,
        404
    );

    // The others were about rules that have changed beneath them.
    let overtaken = |id: &str| site.one(id)["what_if"]["state"] == "overtaken";
    until("they are over", || {
        (overtaken(&higher) && overtaken(&gone)).then_some(())
    });
    let reply = site.ask(&format!("POST /api/v1/what-if/{higher}/promote"), "");
    assert_eq!(reply.status, 422);
    let said = reply.json()["diagnostics"][0]["message"].clone();
    assert_eq!(said, "the what-if is overtaken, not running");
    for id in [&higher, &gone] {
        let reply = site.ask(&format!("DELETE /api/v1/what-if/{id}"), "");
        assert_eq!(
            (reply.status, &reply.json()["done"]),
            (200, &"dropped".into())
        );
    }
    until("none is left", || {
        let listed = site.ask("GET /api/v1/what-if", "").json();
        listed["what_ifs"]
            .as_array()
            .is_some_and(Vec::is_empty)
            .then_some(())
    });
    assert_eq!(site.alerts(), lowered);
    site.weir.stop();
}

#[test]
fn what_cannot_be_tried_is_refused_with_its_reason() {
    let site = Site::new(RULES);
    let none = "0123456789abcdef";
    let large = format!("title: x\n#{}\n", "x".repeat(1 << 20));
    for (request, body, status, says) in [
        ("POST /api/v1/what-if", "", 422, "there is no change to try"),
        ("POST /api/v1/what-if", "title: [", 422, "not valid YAML"),
        (
            "POST /api/v1/what-if",
            &many(2).replace("60s", "60 moons"),
            422,
            "timespan",
        ),
        ("POST /api/v1/what-if", &large, 413, "too-large"),
        (
            "POST /api/v1/what-if?remove=nobody",
            "",
            422,
            "no rule has the id",
        ),
        (
            "POST /api/v1/what-if?backfill=soon",
            LOOKS,
            400,
            "a span such as",
        ),
        (
            "POST /api/v1/what-if?backfill=-1h",
            LOOKS,
            400,
            "a span such as",
        ),
        ("POST /api/v1/what-if?back=1h", LOOKS, 400, "back"),
        (
            "POST /api/v1/what-if?backfill=1h&backfill=2h",
            LOOKS,
            400,
            "backfill",
        ),
        (
            "GET /api/v1/what-if/nonsense",
            "",
            400,
            "16 hexadecimal digits",
        ),
        (
            &format!("GET /api/v1/what-if/{none}?kind=all"),
            "",
            400,
            "one of gained",
        ),
        (
            &format!("GET /api/v1/what-if/{none}?limit=0"),
            "",
            400,
            "from 1 to 1000",
        ),
        (
            &format!("GET /api/v1/what-if/{none}?after=1"),
            "",
            400,
            "an alert id",
        ),
        (&format!("GET /api/v1/what-if/{none}"), "", 404, none),
        (
            &format!("POST /api/v1/what-if/{none}/promote"),
            "",
            404,
            none,
        ),
        (&format!("DELETE /api/v1/what-if/{none}"), "", 404, none),
        ("PUT /api/v1/what-if", "", 405, ""),
        (
            "POST /api/v1/what-if",
            CHAIN,
            422,
            "reads, or is read by, another one",
        ),
    ] {
        let reply = site.ask(request, body);
        let text = reply.text();
        assert_eq!(reply.status, status, "{request}: {text}");
        assert!(text.contains(says), "{request}: {text}");
    }
    let bytes = Request::new("POST", "/api/v1/what-if").body(b"title: \xff");
    assert_eq!(site.weir.send(bytes).status, 400);
    let stranger = Request::new("GET", "/api/v1/what-if").send(site.weir.http);
    assert_eq!(stranger.expect("an answer").status, 401);
    assert_eq!(
        site.ask("GET /api/v1/what-if", "").json()["what_ifs"],
        Value::Array(vec![])
    );
    site.weir.assert_well();
    site.weir.stop();
}

#[test]
fn weir_what_if_prints_what_would_be_and_promotes_it() {
    let site = Site::new(RULES);
    let lower = site.file("lower.yml", &many(3));
    let (code, out, err) = site.run(&["what-if", &lower]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let (told, runs_on) = out.split_once("\n\nIt runs on as ").expect("it runs on");
    let mut lines: Vec<&str> = told.lines().collect();
    lines.sort_unstable();
    let row = |sign: &str, user: u32, was: &str| {
        format!(
            "{sign} high          Many fail [user=u{user}] {user} events, 2026-01-01T00:00:00Z to \
             2026-01-01T00:00:{:02}Z{was}",
            user - 1
        )
    };
    let was = |user: u32| {
        format!(
            " (was {}",
            row("", user, ")").split_once("] ").map_or("", |s| s.1)
        )
    };
    let expected = [
        String::new(),
        row("+ gained ", 3, ""),
        "put many: 1 gained, 0 lost, 3 changed, 0 unchanged".to_owned(),
        row("~ changed", 4, &was(4)),
        row("~ changed", 5, &was(5)),
        row("~ changed", 6, &was(6)),
    ];
    assert_eq!(lines, expected);
    let id = &runs_on[..16];
    assert_eq!(
        runs_on,
        format!("{id}: weir what-if --promote {id}, or --drop {id}\n")
    );

    let (code, out, _) = site.run(&["what-if", "--show", id]);
    assert_eq!((code, out.trim_end()), (Some(0), told));
    let (_, out, _) = site.run(&["what-if", "--list"]);
    let listed: Vec<&str> = out.lines().collect();
    assert_eq!(
        listed,
        [
            "ID                STATE      GAINED  LOST  CHANGED  CHANGES",
            &format!("{id}  running         1     0        3  put many"),
        ]
    );
    let (code, out, _) = site.run(&["what-if", "--promote", id]);
    let done = format!("promoted {id}: 1 gained, 0 lost, 3 changed, 0 unchanged\n");
    assert_eq!((code, out), (Some(0), done));
    until("it is done", || (site.alerts().len() == 4).then_some(()));

    // Once, as JSON: nothing is left of it.
    let (code, out, _) = site.run(&["what-if", "--remove", "many", "--once", "--json"]);
    assert_eq!(code, Some(0), "{out}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["what_if"]["lost"], 4);
    assert_eq!(told["alerts"].as_array().map(Vec::len), Some(5));
    until("it is dropped", || {
        let (_, out, _) = site.run(&["what-if", "--list"]);
        (out.lines().count() == 1).then_some(())
    });
    let id = site.begin("", &many(9));
    let (_, out, _) = site.run(&["what-if", "--drop", &id]);
    assert_eq!(out, format!("dropped {id}; nothing has changed\n"));
    assert_eq!(site.alerts().len(), 4);
    // Nor is it promoted before the graph has heard that it was dropped.
    let reply = site.ask(&format!("POST /api/v1/what-if/{id}/promote"), "");
    assert!([404, 422].contains(&reply.status), "{}", reply.text());
    until("it is dropped", || {
        let reply = site.ask(&format!("GET /api/v1/what-if/{id}"), "");
        (reply.status == 404).then_some(())
    });

    for (args, code, says) in [
        (vec!["what-if"], 2, "name rules to try"),
        (vec!["what-if", "--show", "x"], 2, "no id of a what-if"),
        (
            vec!["what-if", "--promote", &id],
            1,
            "no what-if has the id",
        ),
        (
            vec!["what-if", "--remove", "nobody"],
            65,
            "no rule has the id",
        ),
        (
            vec!["what-if", "nowhere.yml"],
            74,
            "cannot read nowhere.yml",
        ),
    ] {
        let (found, out, err) = site.run(&args);
        assert_eq!(found, Some(code), "{args:?}: {out}{err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
    let bad = site.file("bad.yml", "title: x\nid: x\n");
    let (code, _, err) = site.run(&["what-if", &bad]);
    assert_eq!(code, Some(65), "{err}");
    let url = "http://127.0.0.1:1";
    let data = site.weir.data.display().to_string();
    let (code, _, _) = run(&["what-if", "--list", "--url", url, "--data-dir", &data]);
    assert_eq!(code, Some(69));
    site.weir.stop();
}

#[test]
fn a_rule_that_is_added_with_a_backfill_sees_the_past_and_lives_on() {
    let mut site = Site::new(RULES);
    let looked: Vec<(u32, &str, u32)> = (0..20).map(|n| (10 + n, "look", n % 4)).collect();
    site.post(&looked);
    let looks = site.file("looks.yml", LOOKS);
    let (code, out, err) = site.run(&["rules", "add", "--backfill", "1h", &looks]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let mut lines = out.lines();
    let added = "added looks (Looks), for events since 2025-12-31T22:59:59Z";
    assert_eq!(lines.next(), Some(added));
    assert_eq!(
        lines.next(),
        Some("the backfill is complete, and the rules follow new events")
    );
    assert_eq!(lines.next(), None);
    // They stand by the time it says so.
    let all = ["\"u0\"=5", "\"u1\"=5", "\"u2\"=5", "\"u3\"=5"];
    let mut alerts = site.alerts();
    alerts.retain(|alert| alert.ends_with("=5"));
    assert_eq!(alerts, [&all[..], &["\"u5\"=5"]].concat());
    site.post(&[(40, "look", 0)]);
    until("it lives on", || {
        site.alerts().contains(&"\"u0\"=6".to_owned()).then_some(())
    });

    let (code, out, _) = site.run(&["rules", "disable", "looks"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "looks: disabled; its alerts stand\n")
    );
    let (code, out, _) = site.run(&["rules", "enable", "looks"]);
    assert_eq!((code, out.as_str()), (Some(0), "looks: enabled\n"));
    let (code, out, _) = site.run(&["rules", "remove", "looks"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "looks: removed, and its alerts retracted\n")
    );
    until("it is gone", || (site.alerts().len() == 3).then_some(()));
    for (args, code, says) in [
        (
            vec!["rules", "add", "--backfill", "soon", &looks],
            1,
            "a span such as",
        ),
        (
            vec!["rules", "add", "nowhere.yml"],
            74,
            "cannot read nowhere.yml",
        ),
        (vec!["rules", "remove", "nobody"], 1, "no rule has the id"),
    ] {
        let (found, _, err) = site.run(&args);
        assert_eq!(found, Some(code), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
    site.weir.stop();
}

#[test]
fn a_what_if_over_files_needs_no_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.display().to_string()
    };
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
    let events = file("events.log", &lines.concat());
    let none = file("rules.yml", &rule("root", "root"));
    let candidate = file("anna.yml", &rule("anna", "anna"));
    let args = [
        "what-if",
        "--rules",
        &none,
        "--candidate",
        &candidate,
        "--json",
        &events,
    ];
    let (code, out, err) = run(&args);
    assert_eq!(code, Some(0), "{out}{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["what_if"]["state"], "running", "{told}");
    assert_eq!(counts(&told["what_if"]), [1, 0, 0, 0], "{told}");
    assert_eq!(told["alerts"][0]["tried"]["count"], 2);
    let args = ["what-if", "--rules", &none, "--remove", "root", &events];
    let (code, out, _) = run(&args);
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.ends_with("remove root: 0 gained, 1 lost, 0 changed, 0 unchanged\n"),
        "{out}"
    );
    let (code, _, err) = run(&["what-if", "--rules", &none, "--candidate", &candidate]);
    assert_eq!(code, Some(2), "{err}");
    let (code, _, err) = run(&["what-if", "--rules", &none, "--remove", "x", &events]);
    assert_eq!(code, Some(65), "{err}");
}
