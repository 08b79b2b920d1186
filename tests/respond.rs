//! Sinks of a real server: consumers that fail in every way, Alertmanager, findings, CEF.

mod support;

#[path = "respond/consumer.rs"]
mod consumer;

#[path = "respond/receiver.rs"]
mod receiver;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use chrono::{DateTime, SecondsFormat, Utc};
use consumer::{Answer, Belief, Consumer, Heard};
use receiver::Receiver;
use serde_json::Value;
use support::http::{Request, next_message};
use support::outside::{Daemon, find};
use support::pki::Authority;
use support::{Weir, config, skipped, until};
use weir_agent::{AgentClient, AgentIdentity, encode_event};
use weir_schema::alert_frame;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A sink of this machine with delays that a test can wait for.
fn sink(name: &str, kind: &str, url: &str, more: &str) -> String {
    format!(
        "[[sink]]\nname = \"{name}\"\ntype = \"{kind}\"\nurl = \"{url}\"\nallow_private = true\n\
         retry_min = \"10ms\"\nretry_max = \"40ms\"\n{more}\n"
    )
}

/// Some minutes ago, in nanoseconds since 1970.
fn ago(minutes: i64) -> i64 {
    let now = Utc::now().timestamp_nanos_opt().expect("this century");
    now - minutes * 60_000_000_000
}

fn text(time_ns: i64) -> String {
    DateTime::from_timestamp_nanos(time_ns).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An alert of the rule `sudo_without_change_ticket`, and a line after it that confirms it. What
/// comes
/// next does not share its epoch.
fn raise(weir: &Weir, time_ns: i64, user: &str) {
    let time = text(time_ns);
    let sudo = format!(
        "<86>1 {time} db7 sudo - - - {user} : TTY=pts/0 ; PWD=/ ; USER=root ; \
         COMMAND=/usr/bin/systemctl stop billing\n"
    );
    let later = text(time_ns + 5 * 60_000_000_000);
    weir.send_tcp(format!("{sudo}<13>1 {later} db7 cron - - - nothing of note\n").as_bytes());
    let asked = format!("/api/v1/alerts?standing=all&group=user={user}");
    until("it is raised", || {
        let listed = weir.get(&asked).json();
        listed["alerts"]
            .as_array()
            .is_some_and(|alerts| !alerts.is_empty())
            .then_some(())
    });
}

/// The ticket that takes the alert back, told late over the agent protocol; and a word of now,
/// lest its
/// source hold the watermark back.
fn grant(weir: &Weir, spool: u64, time_ns: i64, user: &str) {
    let identity = AgentIdentity {
        agent: "tickets".to_owned(),
        spool,
        token: weir.token.clone(),
    };
    let fields = [("state", "granted"), ("user", user)];
    let source = Some("product=ticketing,service=change");
    let event = encode_event(time_ns, Some("change_ticket"), source, &fields, None);
    let now = encode_event(ago(0), Some("nothing"), None, &[("a", "b")], None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let client = AgentClient::connect(&weir.agent.to_string(), identity).await;
        let client = client.expect("the agents' port is open");
        client.push(event).await.expect("it has room");
        client.push(now).await.expect("it has room");
        client.close().await.expect("it becomes durable");
    });
}

/// Ids of the alerts that stand.
fn standing(weir: &Weir) -> BTreeSet<String> {
    let listed = weir.get("/api/v1/alerts").json();
    let alerts = listed["alerts"].as_array().expect("a list").iter();
    alerts
        .map(|alert| alert["alert"].as_str().expect("an id").to_owned())
        .collect()
}

fn shown(weir: &Weir, sink: &str) -> Value {
    let listed = weir.get("/api/v1/sinks").json();
    let sinks = listed["sinks"].as_array().expect("a list");
    let found = sinks.iter().find(|shown| shown["name"] == sink);
    found
        .unwrap_or_else(|| panic!("no {sink} in {listed}"))
        .clone()
}

fn types(heard: &[Heard]) -> Vec<(String, String)> {
    let told = heard.iter().map(|heard| {
        let told = heard.json();
        let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (of(&told["type"]), of(&told["data"]["group"]["user"]))
    });
    told.collect()
}

#[test]
fn a_consumer_that_fails_in_every_way_ends_up_with_what_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let ways = [
        Answer::Status(500),
        Answer::Crash,
        Answer::Never,
        Answer::Status(400),
        Answer::Endless,
        Answer::Twice,
        Answer::Crash,
    ];
    let consumer = Consumer::start(&ways);
    let more = format!("secret = \"{SECRET}\"\ntimeout = \"200ms\"\n");
    let config = config(&sink("soar", "webhook", &consumer.url(), &more));
    let mut weir = Weir::start(&data, &config);
    raise(&weir, ago(60), "alice");
    raise(&weir, ago(50), "bob");
    grant(&weir, 1, ago(64), "alice");
    let told = |users: usize| {
        until("everybody is told of", || {
            let users_told: BTreeSet<_> = types(&consumer.heard())
                .into_iter()
                .map(|(_, user)| user)
                .collect();
            (users_told.len() >= users).then_some(())
        });
    };
    told(2);
    // What the server was about to tell when it was killed is told by its next life.
    consumer.will(&ways);
    raise(&weir, ago(40), "carol");
    grant(&weir, 2, ago(54), "bob");
    weir.kill();
    weir = Weir::start(&data, &config);
    consumer.will(&ways);
    raise(&weir, ago(30), "dave");
    told(4);
    until("nothing is owed any more", || {
        let alone = standing(&weir) == Belief::of(&consumer.heard()).standing;
        (alone && shown(&weir, "soar")["waiting"] == 0).then_some(())
    });
    assert_eq!(standing(&weir).len(), 2);
    let failures = weir.metric("weir_sink_failures_total", "sink=\"soar\"");
    assert!(failures >= 3.0, "{failures}");
    assert_eq!(
        shown(&weir, "soar")["target"],
        format!("http://{}/…", consumer.at)
    );
    weir.stop();

    // What was taken is known after an end in order: nothing is told twice.
    let before = consumer.heard().len();
    let weir = Weir::start(&data, &config);
    raise(&weir, ago(20), "erin");
    told(5);
    assert_eq!(consumer.heard().len(), before + 1);
    weir.stop();
    assert_signed(&consumer.heard());
}

/// Whether the published library of the specification takes them all.
fn assert_signed(heard: &[Heard]) {
    let test = "signatures of webhooks are those of the specification";
    let Some(python) = python() else {
        return skipped(test, "WEIR_PYTHON");
    };
    let program = "import json, sys\n\
                   from standardwebhooks.webhooks import Webhook\n\
                   hook = Webhook(sys.argv[1])\n\
                   for line in sys.stdin:\n    \
                   body, headers = json.loads(line)\n    \
                   hook.verify(body, headers)\n    \
                   try: hook.verify(body + ' ', headers)\n    \
                   except Exception: print('ok')\n";
    let mut child = Command::new(python)
        .args(["-c", program, SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    for heard in heard {
        let body = String::from_utf8_lossy(&heard.body);
        let line = serde_json::json!([body, heard.headers]);
        writeln!(stdin, "{line}").expect("it reads");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let taken = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(taken, heard.len());
    println!("{taken} signatures verified by standardwebhooks");
}

/// The interpreter that has the clients of `tests/python/requirements.txt`.
fn python() -> Option<std::path::PathBuf> {
    if let Some(python) = std::env::var_os("WEIR_PYTHON") {
        return Some(python.into());
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    own.is_file().then_some(own)
}

#[test]
fn what_is_given_up_is_listed_and_sent_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let consumer = Consumer::start(&[Answer::Status(422); 3]);
    let config = config(&sink("soar", "webhook", &consumer.url(), "tries_max = 3"));
    let weir = Weir::start(&data, &config);
    raise(&weir, ago(60), "alice");
    let dead = |weir: &Weir| {
        let listed = weir.get("/api/v1/sinks/soar/dead").json();
        listed["dead"].as_array().cloned().unwrap_or_default()
    };
    until("it is given up", || (dead(&weir).len() == 1).then_some(()));
    assert!(
        dead(&weir)[0]["reason"]
            .as_str()
            .is_some_and(|text| text.contains("422 said"))
    );
    // Nothing of it is told before; others are.
    grant(&weir, 1, ago(64), "alice");
    raise(&weir, ago(50), "bob");
    until("the other is told", || {
        (consumer.heard().len() == 4).then_some(())
    });
    assert_eq!(types(&consumer.heard())[3].1, "bob");
    weir.stop();

    // They outlive the server; the command line sends them again, in order.
    let weir = Weir::start(&data, &config);
    let cli = |arguments: &[&str]| {
        let url = format!("http://{}", weir.http);
        let output = Command::new(env!("CARGO_BIN_EXE_weir"))
            .arg("sinks")
            .args(arguments)
            .args(["--url", &url, "--data-dir"])
            .arg(&data)
            .output()
            .expect("it can be started");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    until("it is back", || (dead(&weir).len() == 1).then_some(()));
    // The alert, and its retraction since.
    assert_eq!(dead(&weir)[0]["rows"], 2);
    let listed = cli(&["list"]);
    assert!(
        listed.contains("soar") && listed.contains("0 waiting, 1 dead"),
        "{listed}"
    );
    let listed = cli(&["dead", "soar"]);
    assert!(
        listed.contains("2 rows from ") && listed.contains("422 said"),
        "{listed}"
    );
    assert_eq!(cli(&["resend", "soar"]), "1 alerts are sent again\n");
    until("all is told", || {
        (consumer.heard().len() == 6).then_some(())
    });
    let told = types(&consumer.heard()[4..]);
    let alice = |word: &str| (format!("alert.{word}"), "alice".to_owned());
    assert_eq!(told, [alice("raised"), alice("retracted")]);
    assert_eq!(Belief::of(&consumer.heard()).standing, standing(&weir));
    assert_eq!(weir.get("/api/v1/sinks/nobody/dead").status, 404);
    weir.stop();
}

#[test]
fn a_consumer_that_is_gone_is_left_alone_until_a_person_says_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let elsewhere = Consumer::start(&[]);
    let consumer = Consumer::start(&[Answer::Redirect(elsewhere.at), Answer::Status(410)]);
    let config = config(&sink("soar", "webhook", &consumer.url(), ""));
    let weir = Weir::start(&data, &config);
    raise(&weir, ago(60), "alice");
    until("it is stopped", || {
        (shown(&weir, "soar")["state"] == "stopped").then_some(())
    });
    raise(&weir, ago(50), "bob");
    weir.stop();
    let weir = Weir::start(&data, &config);
    until("it is stopped still", || {
        (shown(&weir, "soar")["state"] == "stopped").then_some(())
    });
    assert_eq!(consumer.heard().len(), 2);
    let enabled = weir.send(Request::new("POST", "/api/v1/sinks/soar/enable"));
    assert_eq!(enabled.status, 200);
    until("both are told", || {
        (consumer.heard().len() == 4).then_some(())
    });
    weir.stop();
    assert!(elsewhere.heard().is_empty(), "a redirect was followed");
}

#[test]
fn nothing_leaves_for_this_machine_unless_it_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let consumer = Consumer::start(&[]);
    let port = consumer.at.port();
    let ways = [
        ("literal", "webhook", format!("http://127.0.0.1:{port}/")),
        ("decimal", "webhook", format!("http://2130706433:{port}/")),
        ("name", "webhook", format!("http://localhost:{port}/")),
        (
            "mapped",
            "webhook",
            format!("http://[::ffff:127.0.0.1]:{port}/"),
        ),
        ("syslog", "cef", format!("tcp://127.0.0.1:{port}")),
        (
            "manager",
            "alertmanager",
            format!("http://127.0.0.1:{port}"),
        ),
    ];
    let sinks = ways.each_ref().map(|(name, kind, url)| {
        sink(name, kind, url, "").replace("allow_private = true", "allow_private = false")
    });
    let weir = Weir::start(&data, &config(&sinks.concat()));
    raise(&weir, ago(60), "alice");
    for (name, _, _) in &ways {
        let labels = format!("sink=\"{name}\"");
        let failed = || {
            let text = weir.get("/metrics").text();
            let mut lines = text.lines().filter(|line| line.contains(&labels));
            lines.find(|line| {
                line.starts_with("weir_sink_failures_total") && line.contains("reason=\"address\"")
            })?;
            Some(weir.metric("weir_sink_failures_total", &labels)).filter(|failed| *failed >= 2.0)
        };
        until(&format!("{name} has tried twice"), failed);
    }
    weir.stop();
    assert!(consumer.heard().is_empty());
}

/// Alertmanager, with nobody to notify.
fn alertmanager(folder: &Path) -> Option<(Daemon, std::net::SocketAddr)> {
    let program = find("prometheus-alertmanager").or_else(|| find("alertmanager"))?;
    let file = folder.join("alertmanager.yml");
    std::fs::write(
        &file,
        "route: {receiver: none}\nreceivers: [{name: none}]\n",
    )
    .expect("written");
    let at = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.path={}",
            folder.join("alertmanager").display()
        ))
        .arg(format!("--web.listen-address={at}"))
        .arg("--cluster.listen-address=");
    let daemon = Daemon::start(&mut command);
    until(
        &format!("Alertmanager listens: {}", daemon.said.text()),
        || {
            let ready = Request::new("GET", "/-/ready").send(at).ok()?;
            (ready.status == 200).then_some(())
        },
    );
    Some((daemon, at))
}

#[test]
fn alertmanager_shows_an_alert_that_a_late_log_resolves() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((daemon, at)) = alertmanager(folder.path()) else {
        let test = "alertmanager_shows_an_alert_that_a_late_log_resolves";
        return skipped(test, "prometheus-alertmanager");
    };
    let data = folder.path().join("data");
    let more = "resend = \"500ms\"";
    let config = config(&sink("am", "alertmanager", &format!("http://{at}"), more));
    let weir = Weir::start(&data, &config);
    raise(&weir, ago(20), "alice");
    raise(&weir, ago(12), "bob");
    // Its own API says what fires.
    let firing = || {
        let answer = Request::new("GET", "/api/v2/alerts?active=true")
            .send(at)
            .expect("it answers");
        let alerts = answer.json().as_array().expect("a list").clone();
        let user = |alert: &Value| alert["labels"]["user"].as_str().map(str::to_owned);
        (
            alerts.iter().filter_map(user).collect::<BTreeSet<_>>(),
            alerts,
        )
    };
    let only = |users: &[&str]| users.iter().map(|user| (*user).to_owned()).collect();
    until("both fire", || {
        (firing().0 == only(&["alice", "bob"])).then_some(())
    });
    let (_, alerts) = firing();
    let labels = &alerts[0]["labels"];
    assert_eq!(
        labels["alertname"],
        "Maintenance as root without a change ticket"
    );
    assert_eq!(labels["tenant"], "default");
    assert!(labels["severity"].is_string() && labels["rule"].is_string());
    // A late log takes one back: it is resolved, long before it would have ended by itself.
    grant(&weir, 1, ago(24), "alice");
    until("one is resolved", || {
        (firing().0 == only(&["bob"])).then_some(())
    });
    // The other is told again while it stands, by the next life of the server, too.
    let ends = |alerts: &[Value]| alerts[0]["endsAt"].as_str().expect("an end").to_owned();
    for _ in 0..2 {
        let before = ends(&firing().1);
        until("it is told again", || {
            (ends(&firing().1) > before).then_some(())
        });
        if firing().0 != only(&["bob"]) {
            panic!("{:?}", firing());
        }
    }
    weir.stop();
    // It ends by itself where nobody tells it again: four intervals.
    until("it ends by itself", || firing().0.is_empty().then_some(()));
    let weir = Weir::start(&data, &config);
    until("it fires again", || {
        (firing().0 == only(&["bob"])).then_some(())
    });
    weir.stop();
    daemon.stop();
}

#[test]
fn each_kind_of_consumer_gets_its_own_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let (ocsf, frames, once) = (
        Consumer::start(&[]),
        Consumer::start(&[]),
        Consumer::start(&[]),
    );
    let high = Consumer::start(&[]);
    let syslog = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to_syslog = format!("tcp://{}", syslog.local_addr().expect("an address"));
    let sinks = [
        sink("ocsf", "webhook", &ocsf.url(), "format = \"ocsf\""),
        sink(
            "frames",
            "webhook",
            &frames.url(),
            "format = \"flatbuffers\"",
        ),
        sink("once", "webhook", &once.url(), "mode = \"create-only\""),
        sink(
            "other",
            "webhook",
            &high.url(),
            "rules = [\"no-such-rule\"]",
        ),
        sink("cef", "cef", &to_syslog, ""),
    ];
    let weir = Weir::start(&data, &config(&sinks.concat()));
    raise(&weir, ago(20), "alice");
    grant(&weir, 1, ago(24), "alice");
    raise(&weir, ago(10), "bob");

    let heard = until("findings", || {
        Some(ocsf.heard()).filter(|heard| heard.len() == 3)
    });
    let alice: Vec<Value> = heard.iter().map(Heard::json).collect();
    let alice = alice
        .iter()
        .filter(|told| told["unmapped"]["group"]["user"] == "alice");
    let activities: Vec<_> = alice.map(|told| told["activity_id"].clone()).collect();
    assert_eq!(activities, [1, 3]);
    assert!(heard[0].json()["finding_info"]["attacks"][0].is_object());

    let heard = until("frames", || {
        Some(frames.heard()).filter(|heard| heard.len() == 3)
    });
    assert_eq!(heard[0].headers["content-type"], alert_frame::MEDIA_TYPE);
    let kinds = heard.iter().map(|heard| {
        let frame = alert_frame::decode(&heard.body).expect("a frame");
        frame.kind().variant_name().unwrap_or_default().to_owned()
    });
    let kinds: BTreeSet<String> = kinds.collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["Raised", "Retracted"]
    );

    let heard = until("creates", || {
        Some(once.heard()).filter(|heard| heard.len() == 2)
    });
    assert!(types(&heard).iter().all(|(word, _)| word == "alert.raised"));

    let (stream, _) = syslog.accept().expect("it connects");
    let mut stream = BufReader::new(stream);
    let lines: Vec<String> = (0..3).map(|_| counted(&mut stream)).collect();
    assert!(
        lines[0].starts_with("<") && lines[0].contains("CEF:0|Weir|Weir|"),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line.contains("act=retracted")),
        "{lines:?}"
    );
    // The server of the other end is begun anew: the connection is, too.
    drop(stream);
    raise(&weir, ago(3), "carol");
    let (stream, _) = syslog.accept().expect("it connects again");
    assert!(counted(&mut BufReader::new(stream)).contains("=carol"));

    assert_streams(&weir);
    assert!(high.heard().is_empty());
    weir.stop();
}

#[test]
fn rsyslog_takes_cef_over_tls_from_whom_it_knows() {
    let folder = tempfile::tempdir().expect("a folder");
    let [authority, other] = ["authority", "other"].map(|name| Authority::new(folder.path(), name));
    let own = authority.issue("localhost");
    let (known, stranger) = (
        authority.issue("weir.example.com"),
        other.issue("weir.example.org"),
    );
    let start = |driver| Receiver::start(folder.path(), driver, &authority, &own);
    let (Some(gtls), Some(ossl)) = (start("gtls"), start("ossl")) else {
        let test = "rsyslog_takes_cef_over_tls_from_whom_it_knows";
        return skipped(test, "rsyslogd with gtls and ossl");
    };
    let cef = |name: &str, at: std::net::SocketAddr, keys: String| {
        sink(
            name,
            "cef",
            &format!("tls://localhost:{}", at.port()),
            &keys,
        )
    };
    let sinks = [
        cef("gtls", gtls.at, receiver::keys(&authority, &known)),
        cef("ossl", ossl.at, receiver::keys(&authority, &known)),
        // One that it does not believe, and one that does not believe it.
        cef("stranger", ossl.at, receiver::keys(&authority, &stranger)),
        cef("doubter", gtls.at, receiver::keys(&other, &known)),
    ];
    let weir = Weir::start(&folder.path().join("data"), &config(&sinks.concat()));
    raise(&weir, ago(20), "alice");
    grant(&weir, 1, ago(24), "alice");
    raise(&weir, ago(10), "bob");
    for receiver in [&gtls, &ossl] {
        let heard = until(&format!("three messages: {}", receiver.said()), || {
            Some(receiver.heard()).filter(|heard| heard.len() >= 3)
        });
        let of = |user: &str| -> Vec<&str> {
            let told = heard
                .iter()
                .filter(|line| line.contains(&format!("={user}")));
            let act = |line: &&String| line.contains("act=retracted");
            told.map(|line| if act(&line) { "retracted" } else { "raised" })
                .collect()
        };
        assert_eq!(
            (of("alice"), of("bob")),
            (vec!["raised", "retracted"], vec!["raised"])
        );
        let whole = |line: &String| line.starts_with('<') && line.contains("CEF:0|Weir|Weir|");
        assert!(heard.len() == 3 && heard.iter().all(whole), "{heard:?}");
    }
    for name in ["stranger", "doubter"] {
        let labels = format!("reason=\"tls\",sink=\"{name}\"");
        until(&format!("{name} has tried twice"), || {
            let failed = weir.metric("weir_sink_failures_total", &labels);
            (failed >= 2.0).then_some(())
        });
        assert_eq!(
            weir.metric("weir_sink_deliveries_total", &format!("sink=\"{name}\"")),
            0.0
        );
    }
    weir.stop();
    gtls.stop();
    ossl.stop();
}

/// One message of octet counting.
fn counted(stream: &mut impl BufRead) -> String {
    let mut count = Vec::new();
    stream.read_until(b' ', &mut count).expect("a count");
    let count = String::from_utf8_lossy(&count)
        .trim()
        .parse()
        .expect("a number");
    let mut message = vec![0; count];
    stream.read_exact(&mut message).expect("a message");
    String::from_utf8(message).expect("text")
}

/// The API's streams say the same in both of the other forms.
fn assert_streams(weir: &Weir) {
    let ask = |path: &'static str| Request::new("GET", path).token(&weir.token);
    let findings = ask("/api/v1/stream/alerts?after=0-0&format=ocsf").open(weir.http);
    let (status, mut findings) = findings.expect("it answers");
    assert_eq!(status, 200);
    let first = next_message(&mut findings).expect("a finding");
    assert_eq!(
        (&*first.event, &first.data["class_uid"]),
        ("raised", &2004.into())
    );
    let frames = ask("/api/v1/stream/alerts?after=0-0").header("Accept", alert_frame::MEDIA_TYPE);
    let (status, mut frames) = frames.open(weir.http).expect("it answers");
    assert_eq!(status, 200);
    let mut length = [0; 4];
    frames.read_exact(&mut length).expect("a length");
    let mut frame = vec![0; u32::from_le_bytes(length) as usize];
    frames.read_exact(&mut frame).expect("a frame");
    let frame = [&length[..], &frame].concat();
    let read = alert_frame::decode(&frame).expect("a frame");
    let alert = format!("{:016x}{:016x}", read.alert().high(), read.alert().low());
    assert_eq!(first.data["finding_info"]["uid"], alert.as_str());
}
