//! Ends of a server: a stop is bounded whatever a part does, and the next run tells how the last one ended.

mod support;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use support::files::root;
use support::http::Request;
use support::outside::find;
use support::{LIMIT, Weir, config, frames, skipped, until};
use weir_schema::Transport;

/// A server whose syncs of some files can be made to hang.
struct StallingServer {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl StallingServer {
    /// Compiles the library; `None` without a compiler.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let library = folder.path().join("stall.so");
        let compiler = find("cc")?;
        let compiled = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(root().join("tests/liveness/stall.c"))
            .arg("-ldl")
            .status();
        assert!(compiled.expect("cc can be run").success());
        Some(Self { folder, library })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("stall")
    }

    /// Makes syncs of files hang whose path contains `text`.
    fn stall(&self, text: &str) {
        let new = self.folder.path().join("stall.new");
        std::fs::write(&new, text).expect("it is writable");
        std::fs::rename(&new, self.control()).expect("it is there");
    }

    fn start(&self) -> Weir {
        let control = self.control();
        let environment: [(&str, &OsStr); 2] = [
            ("LD_PRELOAD", self.library.as_os_str()),
            ("WEIR_STALL", control.as_os_str()),
        ];
        Weir::start_with(&self.data(), &config(""), &environment)
    }
}

fn post(weir: &Weir, line: &str) {
    let path = "/api/v1/events?source=web";
    let reply = weir.send(Request::new("POST", path).body(line.as_bytes()));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Sends an event that is not answered, because its sync hangs.
fn post_without_answer(weir: &Weir) {
    let (http, token) = (weir.http, weir.token.clone());
    thread::spawn(move || {
        let path = "/api/v1/events?source=web";
        let body = Request::new("POST", path).body(b"{\"n\":\"not acknowledged\"}");
        let _ = body.token(&token).send(http);
    });
    until("the event waits for its sync", || {
        (weir.metric("weir_events_received_total", "http") >= 2.0).then_some(())
    });
}

/// Waits until an alert of the rule stands, and returns its title.
fn await_alert(weir: &Weir, rule: &str) -> String {
    until(rule, || {
        let alerts = weir.get("/api/v1/alerts").json();
        let alerts = alerts["alerts"].as_array().cloned().unwrap_or_default();
        let found = alerts.iter().find(|alert| alert["rule"] == rule);
        found.and_then(|alert| alert["title"].as_str().map(str::to_owned))
    })
}

fn has_self_alert(weir: &Weir) -> bool {
    weir.get("/api/v1/alerts").text().contains("weir.self.")
}

/// W4: a sync that hangs does not hold up the stop, and loses nothing that was acknowledged.
#[test]
fn a_stop_during_a_stalled_sync_ends_and_says_what_is_left() {
    let Some(server) = StallingServer::new() else {
        return skipped(
            "a_stop_during_a_stalled_sync_ends_and_says_what_is_left",
            "cc",
        );
    };
    let weir = server.start();
    weir.await_ready();
    post(&weir, "{\"n\":\"acknowledged\"}");
    server.stall(".journal");
    post_without_answer(&weir);
    let log = weir.stderr.clone();
    assert_eq!(weir.end(), Some(75));
    let text = log.text();
    assert!(text.contains("a part does not stop"), "{text}");
    assert!(text.contains("\"part\":\"journal\""), "{text}");
    assert!(text.contains("nothing acknowledged is lost"), "{text}");
    std::fs::remove_file(server.control()).expect("it is there");
    let weir = server.start();
    let title = await_alert(&weir, "weir.self.restarted-after-failure");
    assert!(title.contains("journal"), "{title}");
    weir.stop();
    let kept = |wanted: &str| {
        let frames = frames(&server.data(), Transport::Http);
        let mut frames = frames
            .iter()
            .map(|frame| String::from_utf8_lossy(frame).into_owned());
        frames.any(|frame| frame.contains(wanted))
    };
    assert!(kept("\"acknowledged\""), "it was acknowledged");
    let weir = server.start();
    assert!(has_self_alert(&weir), "the alert stays");
    weir.stop();
}

/// W4: a ledger that cannot be synced does not hold up the stop.
#[test]
fn a_stop_during_a_stalled_sync_of_the_ledger_ends() {
    let Some(server) = StallingServer::new() else {
        return skipped("a_stop_during_a_stalled_sync_of_the_ledger_ends", "cc");
    };
    let weir = server.start();
    weir.await_ready();
    server.stall("/ledger/");
    post(&weir, "{\"n\":\"acknowledged\"}");
    let log = weir.stderr.clone();
    let code = weir.end();
    let text = log.text();
    // The ledger has nothing to sync if its own thread did so just before.
    assert!(code == Some(75) || code == Some(0), "{code:?}: {text}");
    assert!(
        code == Some(0) || text.contains("\"part\":\"ledger\""),
        "{text}"
    );
}

/// W4: who cannot wait sends a second signal.
#[test]
fn a_second_signal_ends_the_process_at_once() {
    let Some(server) = StallingServer::new() else {
        return skipped("a_second_signal_ends_the_process_at_once", "cc");
    };
    let weir = server.start();
    weir.await_ready();
    post(&weir, "{\"n\":\"acknowledged\"}");
    server.stall(".journal");
    post_without_answer(&weir);
    let log = weir.stderr.clone();
    weir.signal();
    assert!(log.wait_for("a second signal ends", LIMIT).is_some());
    assert_eq!(weir.end(), Some(75));
    assert!(
        log.text().contains("a second signal came"),
        "{}",
        log.text()
    );
}

/// W4: a consumer that never answers does not hold up the stop.
#[test]
fn a_stop_with_a_consumer_that_never_answers_ends_with_success() {
    let consumer = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = consumer.local_addr().expect("its address");
    let folder = tempfile::tempdir().expect("a folder");
    let sink = format!(
        "[[sink]]\nname = \"deaf\"\ntype = \"webhook\"\nurl = \"http://{address}/\"\n\
         allow_private = true\n"
    );
    let asked = thread::spawn(move || {
        let (mut stream, _) = consumer.accept().expect("the sink connects");
        let mut request = [0; 1_024];
        let read = stream.read(&mut request).expect("it asks");
        (stream, read)
    });
    let weir = Weir::start(&folder.path().join("data"), &config(&sink));
    weir.await_ready();
    brute_force(&weir);
    let (_stream, read) = asked.join().expect("it was asked");
    assert!(read > 0);
    let log = weir.stderr.clone();
    assert_eq!(weir.end(), Some(0));
    assert!(
        log.text().contains("sinks have not delivered"),
        "{}",
        log.text()
    );
}

/// Ten failed logins, which raise an alert of a built-in rule.
fn brute_force(weir: &Weir) {
    let mut stream = TcpStream::connect(weir.tcp).expect("the port is open");
    for n in 0..10 {
        let line = format!(
            "<38>1 - host sshd 1 - - Failed password for root from 198.51.100.9 port {n} ssh2\n"
        );
        stream.write_all(line.as_bytes()).expect("it is read");
    }
}

/// W15: a run that was killed is told by the next one, once; one that was stopped is not.
#[test]
fn an_unclean_end_raises_an_alert_after_the_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let start = |data: &Path| {
        let weir = Weir::start(data, &config(""));
        weir.await_ready();
        weir
    };
    start(&data).stop();
    let weir = start(&data);
    assert!(!has_self_alert(&weir), "it was stopped");
    assert!(data.join("running").exists());
    weir.kill();
    let weir = start(&data);
    let title = await_alert(&weir, "weir.self.unclean-end");
    assert!(title.contains("killed"), "{title}");
    until("the mark is removed", || {
        (!data.join("ends").exists()).then_some(())
    });
    weir.stop();
    assert!(!data.join("running").exists());
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let relp = config("").replace("[listen]", &format!("[listen]\nrelp = \"{address}\""));
    assert!(relp.contains("relp = "), "{relp}");
    let failed = Weir::try_start(&data, &relp)
        .err()
        .expect("the address is taken");
    assert_eq!(failed.code, Some(74), "{}", failed.stderr);
    assert!(
        !data.join("running").exists(),
        "a start that failed is no unclean end"
    );
}
