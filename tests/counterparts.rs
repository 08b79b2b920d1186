//! Unmodified programs around Weir: rsyslog and logger deliver, Prometheus scrapes.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use support::http::Request;
use support::outside::{Daemon, find};
use support::{Weir, config, skipped, until};
use weir_schema::Transport;

/// Messages that break naive readers.
fn messages(count: usize) -> Vec<String> {
    let odd = [
        "plain words",
        "  two spaces in front",
        "tab\there, quote \" backslash \\ percent %s",
        "5 starts with a number as a frame's length would",
        "<13>a priority in the middle",
        "Grüße aus Zürich, 東京",
        "{\"json\": [1, 2, {\"x\": null}]}",
        "trailing space ",
    ];
    let long = "x".repeat(2_000);
    let text = |n: usize| match n % 97 {
        96 => format!("message {n} {long}"),
        _ => format!("message {n} {}", odd[n % odd.len()]),
    };
    (0..count).map(text).collect()
}

fn lines_of(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    lines.filter(|line| !line.is_empty()).collect()
}

/// Number of copies of each line.
fn counted<L: Ord>(lines: impl IntoIterator<Item = L>) -> BTreeMap<L, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

/// Fails with the lines that are missing, repeated, or were never sent.
fn assert_same(sent: Vec<Vec<u8>>, journaled: Vec<Vec<u8>>, by: &str) {
    let (sent, journaled) = (counted(sent), counted(journaled));
    for (line, times) in &sent {
        let got = journaled.get(line).copied().unwrap_or(0);
        let shown = String::from_utf8_lossy(line);
        assert_eq!(got, *times, "{by}: copies of {shown:?}");
    }
    for line in journaled.keys() {
        let shown = String::from_utf8_lossy(line);
        assert!(sent.contains_key(line), "{by}: nobody sent {shown:?}");
    }
}

const RSYSLOG_LINES: usize = 3_000;

/// An rsyslog that forwards each line of a file three times, and writes the forwarded lines to files.
fn rsyslog_config(folder: &Path, weir: &Weir) -> String {
    let mut text = format!(
        "global(workDirectory=\"{0}\" preserveFQDN=\"on\")\n\
         module(load=\"imfile\")\n\
         input(type=\"imfile\" File=\"{0}/in.log\" Tag=\"shop:\" Severity=\"info\")\n",
        folder.display()
    );
    let actions = [
        ("udp", "udp", "", weir.udp.port()),
        (
            "lines",
            "tcp",
            "TCP_Framing=\"traditional\"",
            weir.tcp.port(),
        ),
        (
            "counted",
            "tcp",
            "TCP_Framing=\"octet-counted\"",
            weir.tcp.port(),
        ),
    ];
    for (name, protocol, framing, port) in actions {
        let frame = format!("<%PRI%>%TIMESTAMP:::date-rfc3339% {name}.example %syslogtag%%msg%");
        text.push_str(&format!(
            "template(name=\"{name}\" type=\"string\" string=\"{frame}\")\n\
             template(name=\"{name}_file\" type=\"string\" string=\"{frame}\\n\")\n\
             action(type=\"omfile\" file=\"{0}/{name}.out\" template=\"{name}_file\")\n\
             action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" protocol=\"{protocol}\" \
             {framing} template=\"{name}\" action.resumeRetryCount=\"-1\")\n",
            folder.display()
        ));
    }
    text
}

#[test]
fn rsyslog_delivers_every_line_over_every_protocol() {
    let Some(rsyslogd) = find("rsyslogd") else {
        return skipped(
            "rsyslog_delivers_every_line_over_every_protocol",
            "rsyslogd",
        );
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let weir = Weir::start(&data, &config(""));
    let mut text = messages(RSYSLOG_LINES).join("\n");
    text.push('\n');
    std::fs::write(folder.path().join("in.log"), text).expect("it can be written");
    let file = folder.path().join("rsyslog.conf");
    std::fs::write(&file, rsyslog_config(folder.path(), &weir)).expect("it can be written");
    let mut command = Command::new(rsyslogd);
    command
        .arg("-n")
        .arg("-f")
        .arg(&file)
        .arg("-i")
        .arg(folder.path().join("pid"));
    let rsyslog = Daemon::start(&mut command);
    let tcp = 2 * RSYSLOG_LINES as u64;
    until(
        &format!("rsyslog delivers: {}", rsyslog.stderr.text()),
        || {
            let journaled = weir.metric("weir_events_received_total", "tcp") as u64;
            (journaled >= tcp).then_some(())
        },
    );
    rsyslog.stop();
    let received = weir.metric("weir_events_received_total", "udp") as usize;
    let dropped = weir.metric("weir_events_dropped_total", "udp") as usize;
    weir.stop();

    let sent = |name: &str| lines_of(&folder.path().join(format!("{name}.out")));
    assert_eq!(sent("lines").len(), RSYSLOG_LINES);
    let all: Vec<_> = sent("lines").into_iter().chain(sent("counted")).collect();
    assert_same(
        all,
        support::frames(&data, Transport::Tcp),
        "rsyslog over TCP",
    );
    // Over UDP lines may be lost, but every received one is counted and journaled.
    let journaled = support::frames(&data, Transport::Udp);
    assert_eq!(journaled.len(), received - dropped);
    let sent = counted(sent("udp"));
    for (frame, times) in counted(journaled) {
        let shown = String::from_utf8_lossy(&frame);
        assert!(
            sent.get(&frame).is_some_and(|sent| times <= *sent),
            "{shown:?}"
        );
    }
    println!("rsyslog: {tcp} lines over TCP, {received} of {RSYSLOG_LINES} over UDP");
}

const LOGGER_LINES: usize = 500;

/// Runs logger once with these options and messages.
fn run_logger(program: &Path, options: &[&str], port: u16, messages: &[String]) {
    let mut child = Command::new(program)
        .args(options)
        .args(["--server", "127.0.0.1", "--port", &port.to_string()])
        .args(["--rfc5424=notime,nohost,notq", "--tag", "shop"])
        // By default logger cuts messages at 1 KiB.
        .args(["--size", "8192"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin
        .write_all((messages.join("\n") + "\n").as_bytes())
        .expect("it reads");
    drop(stdin);
    assert!(support::wait(&mut child).expect("it ends").success());
}

#[test]
fn logger_delivers_every_line_over_every_protocol() {
    let Some(logger) = find("logger") else {
        return skipped("logger_delivers_every_line_over_every_protocol", "logger");
    };
    let messages = messages(LOGGER_LINES);
    let frame = |message: &String| format!("<13>1 - - shop - - - {message}").into_bytes();
    let sent: Vec<_> = messages.iter().map(frame).collect();
    let deliveries: [(&[&str], Transport); 3] = [
        (&["--udp"], Transport::Udp),
        (&["--tcp"], Transport::Tcp),
        (&["--tcp", "--octet-count"], Transport::Tcp),
    ];
    for (options, transport) in deliveries {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let weir = Weir::start(&data, &config(""));
        let address = match transport {
            Transport::Udp => weir.udp,
            _ => weir.tcp,
        };
        run_logger(&logger, options, address.port(), &messages);
        if transport == Transport::Tcp {
            let received = "weir_events_received_total";
            weir.await_metric(received, transport.name(), sent.len() as u64);
        }
        weir.stop();
        let journaled = support::frames(&data, transport);
        if transport == Transport::Tcp {
            assert_same(sent.clone(), journaled, &options.join(" "));
        } else {
            let known = counted(sent.clone());
            for frame in &journaled {
                let shown = String::from_utf8_lossy(frame);
                assert!(known.contains_key(frame), "nobody sent {shown:?}");
            }
            println!("logger: {} of {} over UDP", journaled.len(), sent.len());
        }
    }
}

/// Sends events of several kinds, so that `/metrics` has samples of all metrics with labels.
fn send_some_of_everything(weir: &Weir) {
    weir.assert_well();
    weir.send_tcp(b"9 <13>short");
    weir.send_tcp(b"\xff\xfe no UTF-8\n<13>Jan  1 00:00:00 h a: b\n");
    let posted = Request::new("POST", "/api/v1/events").body(b"{\"a\":1}\nno json\n");
    assert_eq!(weir.send(posted).status, 200);
    weir.await_metric("weir_parse_failures_total", "", 1);
}

#[test]
fn promtool_accepts_the_metrics() {
    let Some(promtool) = find("promtool") else {
        return skipped("promtool_accepts_the_metrics", "promtool");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(&folder.path().join("data"), &config(""));
    send_some_of_everything(&weir);
    let metrics = weir.get("/metrics");
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(&metrics.body).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && err.trim().is_empty(),
        "{err}\n{}",
        metrics.text()
    );
    weir.stop();
}

#[test]
fn prometheus_scrapes_the_server() {
    let Some(prometheus) = find("prometheus") else {
        return skipped("prometheus_scrapes_the_server", "prometheus");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let weir = Weir::start(&data, &config(""));
    send_some_of_everything(&weir);
    let text = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs:\n\
         - job_name: weir\n  \
           authorization: {{credentials_file: \"{}\"}}\n  \
           static_configs: [{{targets: [\"{}\"]}}]\n",
        data.join("token").display(),
        weir.http
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, text).expect("it can be written");
    let mut command = Command::new(prometheus);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("tsdb").display()
        ))
        .arg("--web.listen-address=127.0.0.1:0");
    let prometheus = Daemon::start(&mut command);
    let line = prometheus
        .stderr
        .wait_for("msg=\"Listening on\"", support::LIMIT);
    let line = line.unwrap_or_else(|| panic!("{}", prometheus.stderr.text()));
    let address = line
        .split("address=")
        .nth(1)
        .and_then(|text| text.trim().parse().ok());
    let address = address.expect("it logs its address");
    let query = |query: &str| {
        let path = format!("/api/v1/query?query={query}");
        let reply = Request::new("GET", &path).send(address).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
        json["data"]["result"][0]["value"][1]
            .as_str()
            .map(str::to_owned)
    };
    until("the target is up", || (query("up")? == "1").then_some(()));
    let journaled = until("a metric of ours", || {
        query("sum(weir_events_journaled_total)")
    });
    assert!(
        journaled.parse::<f64>().is_ok_and(|n| n >= 4.0),
        "{journaled}"
    );
    prometheus.stop();
    weir.stop();
}
