//! A real Alertmanager as the consumer.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::support::http::Request;
use super::support::outside::{Daemon, find};
use super::support::{Weir, config, skipped, until};
use super::{ago, grant, raise, sink};

/// Starts an Alertmanager that notifies nobody; `None` if this machine has none.
fn start(folder: &Path) -> Option<(Daemon, SocketAddr)> {
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
        &format!("Alertmanager listens: {}", daemon.stderr.text()),
        || {
            let ready = Request::new("GET", "/-/ready").send(at).ok()?;
            (ready.status == 200).then_some(())
        },
    );
    Some((daemon, at))
}

/// The alerts that fire, from Alertmanager's API.
fn active(at: SocketAddr) -> Vec<Value> {
    let request = Request::new("GET", "/api/v2/alerts?active=true");
    let reply = request.send(at).expect("a reply");
    reply.json().as_array().expect("a list").clone()
}

/// Waits until alerts of exactly these users fire.
fn await_active(at: SocketAddr, users: &[&str]) {
    let wanted: BTreeSet<String> = users.iter().map(|user| (*user).to_owned()).collect();
    until(&format!("alerts of {users:?}"), || {
        let user = |alert: &Value| alert["labels"]["user"].as_str().map(str::to_owned);
        let found: BTreeSet<String> = active(at).iter().filter_map(user).collect();
        (found == wanted).then_some(())
    });
}

#[test]
fn alertmanager_resolves_an_alert_after_a_late_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((daemon, at)) = start(folder.path()) else {
        let test = "alertmanager_resolves_an_alert_after_a_late_log";
        return skipped(test, "prometheus-alertmanager");
    };
    let data = folder.path().join("data");
    let url = format!("http://{at}");
    let config = config(&sink("am", "alertmanager", &url, "resend = \"500ms\""));
    let weir = Weir::start(&data, &config);
    raise(&weir, ago(20), "alice");
    raise(&weir, ago(12), "bob");
    await_active(at, &["alice", "bob"]);
    let labels = &active(at)[0]["labels"];
    let title = "Maintenance as root without a change ticket";
    assert_eq!(labels["alertname"], title);
    assert_eq!(labels["tenant"], "default");
    assert!(labels["severity"].is_string() && labels["rule"].is_string());
    // A late log retracts one alert, which resolves it long before it would expire.
    grant(&weir, 1, ago(24), "alice");
    await_active(at, &["bob"]);
    // A standing alert is sent again and again, so its end moves.
    let end = || active(at)[0]["endsAt"].as_str().map(str::to_owned);
    for _ in 0..2 {
        let before = end().expect("an end");
        until("the alert is sent again", || {
            (end()? > before).then_some(())
        });
        await_active(at, &["bob"]);
    }
    weir.stop();
    // Without repetition it expires after four intervals. The next start sends it again.
    await_active(at, &[]);
    let weir = Weir::start(&data, &config);
    await_active(at, &["bob"]);
    weir.stop();
    daemon.stop();
}
