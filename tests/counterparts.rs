//! Programs that people really run: rsyslog and logger deliver unmodified, Prometheus scrapes.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use support::http::Request;
use support::outside::{Daemon, find};
use support::{Weir, config, skipped, until};
use weir_schema::Transport;

/// Messages as programs write them, with what breaks naive readers.
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

/// How often each line is there.
fn counted<L: Ord>(lines: impl IntoIterator<Item = L>) -> BTreeMap<L, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

/// Which lines are missing, doubled, or were never sent.
fn assert_same(sent: Vec<Vec<u8>>, journaled: Vec<Vec<u8>>, by: &str) {
    let (sent, journaled) = (counted(sent), counted(journaled));
    for (line, times) in &sent {
        let got = journaled.get(line).copied().unwrap_or(0);
        let shown = String::from_utf8_lossy(line);
        assert_eq!(got, *times, "{by}: how often this is journaled: {shown:?}");
    }
    for line in journaled.keys() {
        let shown = String::from_utf8_lossy(line);
        assert!(sent.contains_key(line), "{by}: nobody sent {shown:?}");
    }
}

const RSYSLOG_LINES: usize = 3_000;

/// Reads a file, and forwards each line three times; what it forwards it also writes to files.
fn rsyslog_config(folder: &Path, weir: &Weir) -> String {
    let mut text = format!(
        "global(workDirectory=\"{0}\" preserveFQDN=\"on\")\n\
         module(load=\"imfile\")\n\
         input(type=\"imfile\" File=\"{0}/in.log\" Tag=\"shop:\" Severity=\"info\")\n",
        folder.display()
    );
    let ways = [
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
    for (name, protocol, framing, port) in ways {
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
        &format!("rsyslog delivers: {}", rsyslog.said.text()),
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
    // Over UDP nothing is promised but that what came is counted.
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

#[test]
fn logger_delivers_every_line_over_every_protocol() {
    let Some(logger) = find("logger") else {
        return skipped("logger_delivers_every_line_over_every_protocol", "logger");
    };
    let ways: [(&[&str], Transport); 4] = [
        (&["--udp"], Transport::Udp),
        (&["--tcp"], Transport::Tcp),
        (&["--tcp", "--octet-count"], Transport::Tcp),
        (&["--udp", "--octet-count"], Transport::Udp),
    ];
    // It cuts at 1 KiB unless told otherwise, and takes `<13>` at a line's start for its own.
    let messages = messages(LOGGER_LINES);
    for (arguments, transport) in &ways[..3] {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let weir = Weir::start(&data, &config(""));
        let address = match transport {
            Transport::Udp => weir.udp,
            _ => weir.tcp,
        };
        let mut child = Command::new(&logger)
            .args(*arguments)
            .args([
                "--server",
                "127.0.0.1",
                "--port",
                &address.port().to_string(),
            ])
            .args([
                "--rfc5424=notime,nohost,notq",
                "--tag",
                "shop",
                "--size",
                "8192",
            ])
            .stdin(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin
            .write_all((messages.join("\n") + "\n").as_bytes())
            .expect("it reads");
        drop(stdin);
        assert!(support::wait(&mut child).expect("it ends").success());
        let sent = LOGGER_LINES as u64;
        let label = transport.name();
        if *transport == Transport::Tcp {
            weir.await_metric("weir_events_received_total", label, sent);
        }
        weir.stop();
        let frame = |message: &String| format!("<13>1 - - shop - - - {message}").into_bytes();
        let expected: Vec<_> = messages.iter().map(frame).collect();
        let journaled = support::frames(&data, *transport);
        if *transport == Transport::Tcp {
            assert_same(expected, journaled, &arguments.join(" "));
        } else {
            let expected = counted(expected);
            for frame in &journaled {
                let shown = String::from_utf8_lossy(frame);
                assert!(expected.contains_key(frame), "nobody sent {shown:?}");
            }
            println!("logger: {} of {sent} over UDP", journaled.len());
        }
    }
}

/// Something of everything, so that `/metrics` has samples with labels.
fn some_of_everything(weir: &Weir) {
    weir.assert_well();
    weir.send_tcp(b"9 <13>short");
    weir.send_tcp(b"\xff\xfe no UTF-8\n<13>Jan  1 00:00:00 h a: b\n");
    let posted = Request::new("POST", "/api/v1/events").body(b"{\"a\":1}\nno json\n");
    assert_eq!(weir.send(posted).status, 200);
    weir.await_metric("weir_parse_failures_total", "", 1);
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let Some(promtool) = find("promtool") else {
        return skipped("promtool_finds_nothing_wrong_with_the_metrics", "promtool");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(&folder.path().join("data"), &config(""));
    some_of_everything(&weir);
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
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.trim().is_empty(),
        "{said}\n{}",
        metrics.text()
    );
    weir.stop();
}

#[test]
fn a_prometheus_scrapes_the_server() {
    let Some(prometheus) = find("prometheus") else {
        return skipped("a_prometheus_scrapes_the_server", "prometheus");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let weir = Weir::start(&data, &config(""));
    some_of_everything(&weir);
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
        .said
        .wait_for("msg=\"Listening on\"", support::LIMIT);
    let line = line.unwrap_or_else(|| panic!("{}", prometheus.said.text()));
    let address = line
        .split("address=")
        .nth(1)
        .and_then(|text| text.trim().parse().ok());
    let address = address.expect("it says where it listens");
    let ask = |query: &str| {
        let path = format!("/api/v1/query?query={query}");
        let reply = Request::new("GET", &path).send(address).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
        json["data"]["result"][0]["value"][1]
            .as_str()
            .map(str::to_owned)
    };
    until("the target is up", || (ask("up")? == "1").then_some(()));
    let journaled = until("a metric of ours", || {
        ask("sum(weir_events_journaled_total)")
    });
    assert!(
        journaled.parse::<f64>().is_ok_and(|n| n >= 4.0),
        "{journaled}"
    );
    prometheus.stop();
    weir.stop();
}
