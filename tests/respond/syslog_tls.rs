//! CEF over TLS to a real rsyslog.

use std::net::SocketAddr;

use super::receiver::{self, Receiver};
use super::support::pki::Authority;
use super::support::{Weir, config, skipped, until};
use super::{ago, grant, raise, sink};

#[test]
fn rsyslog_accepts_cef_over_tls_from_the_permitted_sender() {
    let folder = tempfile::tempdir().expect("a folder");
    let [authority, other] = ["authority", "other"].map(|name| Authority::new(folder.path(), name));
    let own = authority.issue("localhost");
    let (known, stranger) = (
        authority.issue("weir.example.com"),
        other.issue("weir.example.org"),
    );
    let start = |driver| Receiver::start(folder.path(), driver, &authority, &own);
    let (Some(gtls), Some(ossl)) = (start("gtls"), start("ossl")) else {
        let test = "rsyslog_accepts_cef_over_tls_from_the_permitted_sender";
        return skipped(test, "rsyslogd with gtls and ossl");
    };
    let cef = |name: &str, at: SocketAddr, keys: String| {
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
        // The receiver refuses the first of these; the second refuses the receiver.
        cef("stranger", ossl.at, receiver::keys(&authority, &stranger)),
        cef("doubter", gtls.at, receiver::keys(&other, &known)),
    ];
    let weir = Weir::start(&folder.path().join("data"), &config(&sinks.concat()));
    raise(&weir, ago(20), "alice");
    grant(&weir, 1, ago(24), "alice");
    raise(&weir, ago(10), "bob");
    for receiver in [&gtls, &ossl] {
        assert_received(receiver);
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

/// The receiver has two messages about alice and one about bob, all of them whole.
fn assert_received(receiver: &Receiver) {
    let lines = until(&format!("three messages: {}", receiver.log()), || {
        Some(receiver.received()).filter(|lines| lines.len() >= 3)
    });
    let actions = |user: &str| -> Vec<&str> {
        let lines = lines
            .iter()
            .filter(|line| line.contains(&format!("={user}")));
        let action = |line: &String| match line.contains("act=retracted") {
            true => "retracted",
            false => "raised",
        };
        lines.map(action).collect()
    };
    assert_eq!(actions("alice"), ["raised", "retracted"]);
    assert_eq!(actions("bob"), ["raised"]);
    let whole = |line: &String| line.starts_with('<') && line.contains("CEF:0|Weir|Weir|");
    assert!(lines.len() == 3 && lines.iter().all(whole), "{lines:?}");
}
