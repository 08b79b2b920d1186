//! Sinks whose consumers fail, disappear, or have an address that is not allowed.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use super::consumer::{Answer, Consumer, ReceivedRequest, StandingAlerts};
use super::support::http::Request;
use super::support::outside::python;
use super::support::{Weir, config, skipped, until};
use super::{ago, grant, raise, sink, sink_state, standing, types};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn a_consumer_that_fails_in_every_way_receives_all_alerts() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let failures = [
        Answer::Status(500),
        Answer::Crash,
        Answer::Never,
        Answer::Status(400),
        Answer::Endless,
        Answer::Twice,
        Answer::Crash,
    ];
    let consumer = Consumer::start(&failures);
    let more = format!("secret = \"{SECRET}\"\ntimeout = \"200ms\"\n");
    let config = config(&sink("soar", "webhook", &consumer.url(), &more));
    let mut weir = Weir::start(&data, &config);
    raise(&weir, ago(60), "alice");
    raise(&weir, ago(50), "bob");
    grant(&weir, 1, ago(64), "alice");
    let await_users = |count: usize| {
        let known = || (users_named(&consumer) >= count).then_some(());
        until("messages about each user", known);
    };
    await_users(2);
    // A message that a kill interrupts is sent by the next start.
    consumer.answer_with(&failures);
    raise(&weir, ago(40), "carol");
    grant(&weir, 2, ago(54), "bob");
    weir.kill();
    weir = Weir::start(&data, &config);
    consumer.answer_with(&failures);
    raise(&weir, ago(30), "dave");
    await_users(4);
    until("nothing waits", || {
        let received = StandingAlerts::from_requests(&consumer.received());
        (standing(&weir) == received.ids && sink_state(&weir, "soar")["waiting"] == 0).then_some(())
    });
    assert_eq!(standing(&weir).len(), 2);
    let failures = weir.metric("weir_sink_failures_total", "sink=\"soar\"");
    assert!(failures >= 3.0, "{failures}");
    assert_eq!(
        sink_state(&weir, "soar")["target"],
        format!("http://{}/…", consumer.at)
    );
    weir.stop();

    // After an orderly stop, no acknowledged message is repeated.
    let before = consumer.received().len();
    let weir = Weir::start(&data, &config);
    raise(&weir, ago(20), "erin");
    await_users(5);
    assert_eq!(consumer.received().len(), before + 1);
    weir.stop();
    assert_signed(&consumer.received());
}

/// The number of users named by messages. An alert about Weir itself names none.
fn users_named(consumer: &Consumer) -> usize {
    let messages = types(&consumer.received()).into_iter();
    let users = messages.map(|(_, user)| user);
    let users: BTreeSet<_> = users.filter(|user| !user.is_empty()).collect();
    users.len()
}

/// Verifies all signatures with the library of the Standard Webhooks specification.
fn assert_signed(requests: &[ReceivedRequest]) {
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
    for request in requests {
        let body = String::from_utf8_lossy(&request.body);
        let line = serde_json::json!([body, request.headers]);
        writeln!(stdin, "{line}").expect("it reads");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    let verified = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(verified, requests.len());
    println!("{verified} signatures verified by standardwebhooks");
}

#[test]
fn a_sink_whose_consumer_is_gone_stays_stopped_until_enabled() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let elsewhere = Consumer::start(&[]);
    let consumer = Consumer::start(&[Answer::Redirect(elsewhere.at), Answer::Status(410)]);
    let config = config(&sink("soar", "webhook", &consumer.url(), ""));
    let weir = Weir::start(&data, &config);
    raise(&weir, ago(60), "alice");
    until("it is stopped", || {
        (sink_state(&weir, "soar")["state"] == "stopped").then_some(())
    });
    raise(&weir, ago(50), "bob");
    weir.stop();
    let weir = Weir::start(&data, &config);
    until("it is stopped after a restart", || {
        (sink_state(&weir, "soar")["state"] == "stopped").then_some(())
    });
    assert_eq!(consumer.received().len(), 2);
    let enabled = weir.send(Request::new("POST", "/api/v1/sinks/soar/enable"));
    assert_eq!(enabled.status, 200);
    until("both messages", || {
        (consumer.received().len() == 4).then_some(())
    });
    weir.stop();
    assert!(elsewhere.received().is_empty(), "a redirect was followed");
}

#[test]
fn private_addresses_are_refused_unless_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let consumer = Consumer::start(&[]);
    let port = consumer.at.port();
    let targets = [
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
    let sinks = targets.each_ref().map(|(name, kind, url)| {
        sink(name, kind, url, "").replace("allow_private = true", "allow_private = false")
    });
    let weir = Weir::start(&data, &config(&sinks.concat()));
    raise(&weir, ago(60), "alice");
    for (name, _, _) in &targets {
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
    assert!(consumer.received().is_empty());
}
