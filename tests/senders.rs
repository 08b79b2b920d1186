//! Senders that people really run, unmodified, over every transport: what they sent is what is journaled.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::outside::{Daemon, find, rsyslog_module};
use support::pki::{Authority, Pair};
use support::{Weir, config_with_streams, skipped, until};
use weir_schema::Transport;

/// Lines that each client sends.
const LINES: usize = 2_000;

/// As many over UDP, where a burst larger than the kernel's buffer is lost before anyone sees it.
const LINES_UDP: usize = 150;

/// One client, one way.
struct Way {
    client: &'static str,
    transport: Transport,
    /// What its lines have, and no other client's over this transport.
    mark: &'static str,
    sent: usize,
}

const fn way(client: &'static str, transport: Transport, mark: &'static str) -> Way {
    let sent = match transport {
        Transport::Udp => LINES_UDP,
        _ => LINES, // All others push back.
    };
    Way {
        client,
        transport,
        mark,
        sent,
    }
}

const RSYSLOG: [Way; 6] = [
    way("rsyslog udp", Transport::Udp, " rsyslog-udp "),
    way("rsyslog tcp, lines", Transport::Tcp, " rsyslog-tcp "),
    way("rsyslog tcp, counted", Transport::Tcp, " rsyslog-counted "),
    way("rsyslog tls, GnuTLS", Transport::Tls, " rsyslog-gtls "),
    way("rsyslog tls, OpenSSL", Transport::Tls, " rsyslog-ossl "),
    way("rsyslog relp", Transport::Relp, " rsyslog-relp "),
];

const SYSLOG_NG: [Way; 4] = [
    way("syslog-ng udp", Transport::Udp, " ng-udp "),
    way("syslog-ng tcp, lines", Transport::Tcp, " ng-tcp "),
    way("syslog-ng tcp, RFC 5424", Transport::Tcp, " ng-counted "),
    way("syslog-ng tls, RFC 5424", Transport::Tls, " ng-tls "),
];

const LOGGER: [Way; 3] = [
    way("logger udp", Transport::Udp, " logger-udp "),
    way("logger tcp, lines", Transport::Tcp, " logger-tcp "),
    way("logger tcp, counted", Transport::Tcp, " logger-counted "),
];

/// What loggen writes is its own; its lines are told by their size.
const LOGGEN: [Way; 4] = [
    way("loggen udp", Transport::Udp, " prg00000"),
    way(
        "loggen tcp, lines",
        Transport::Tcp,
        " localhost prg00000[1234]: ",
    ),
    way(
        "loggen tcp, RFC 5424",
        Transport::Tcp,
        " localhost prg00000 1234 ",
    ),
    way("loggen tls, RFC 5424", Transport::Tls, " prg00000"),
];

/// Where everything is that a client needs.
struct Place {
    folder: PathBuf,
    authority: PathBuf,
    client: Pair,
    udp: u16,
    tcp: u16,
    tls: u16,
    relp: u16,
}

/// Numbered lines, as of a program.
fn lines(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        // A text never refuses to be written to.
        let _ = writeln!(text, "line {n:06} with \"quotes\", back\\slashes and Grüße");
        text
    })
}

fn rsyslog(place: &Place, program: &Path) -> Daemon {
    let folder = place.folder.display();
    std::fs::write(place.folder.join("r.log"), lines(LINES)).expect("it can be written");
    std::fs::write(place.folder.join("r-udp.log"), lines(LINES_UDP)).expect("it can be written");
    let tls = |driver: &str| {
        format!(
            "type=\"omfwd\" protocol=\"tcp\" port=\"{}\" TCP_Framing=\"octet-counted\" \
             StreamDriver=\"{driver}\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/name\" \
             StreamDriverPermittedPeers=\"localhost\" StreamDriver.CAFile=\"{}\" \
             StreamDriver.CertFile=\"{}\" StreamDriver.KeyFile=\"{}\"",
            place.tls,
            place.authority.display(),
            place.client.certificate.display(),
            place.client.key.display()
        )
    };
    let tcp = |framing: &str| {
        let port = place.tcp;
        format!("type=\"omfwd\" protocol=\"tcp\" port=\"{port}\" TCP_Framing=\"{framing}\"")
    };
    let ways = [
        (
            "rsyslog-udp",
            format!("type=\"omfwd\" protocol=\"udp\" port=\"{}\"", place.udp),
        ),
        ("rsyslog-tcp", tcp("traditional")),
        ("rsyslog-counted", tcp("octet-counted")),
        ("rsyslog-gtls", tls("gtls")),
        ("rsyslog-ossl", tls("ossl")),
        (
            "rsyslog-relp",
            format!("type=\"omrelp\" port=\"{}\"", place.relp),
        ),
    ];
    let mut text = format!(
        "global(workDirectory=\"{folder}\")\nmodule(load=\"imfile\")\nmodule(load=\"omrelp\")\n\
         input(type=\"imfile\" File=\"{folder}/r.log\" Tag=\"shop:\" ruleset=\"streams\")\n\
         input(type=\"imfile\" File=\"{folder}/r-udp.log\" Tag=\"shop:\" ruleset=\"datagrams\")\n"
    );
    for (name, _) in &ways {
        let frame = format!("<%PRI%>%TIMESTAMP:::date-rfc3339% {name} %syslogtag%%msg%");
        let _ = writeln!(
            text,
            "template(name=\"{name}\" type=\"string\" string=\"{frame}\")"
        );
    }
    let action = |(name, what): &(&str, String)| {
        format!(
            "action({what} target=\"127.0.0.1\" template=\"{name}\" \
             action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\" \
             queue.type=\"LinkedList\")\n"
        )
    };
    let actions: Vec<String> = ways.iter().map(action).collect();
    let _ = write!(
        text,
        "ruleset(name=\"datagrams\") {{\n{}}}\nruleset(name=\"streams\") {{\n{}}}\n",
        actions[0],
        actions[1..].concat()
    );
    let file = place.folder.join("rsyslog.conf");
    std::fs::write(&file, text).expect("it can be written");
    let mut command = Command::new(program);
    command.arg("-n").arg("-f").arg(&file);
    command.arg("-i").arg(place.folder.join("rsyslog.pid"));
    Daemon::start(&mut command)
}

fn syslog_ng(place: &Place, program: &Path) -> Daemon {
    let folder = place.folder.display();
    std::fs::write(place.folder.join("ng.log"), lines(LINES)).expect("it can be written");
    std::fs::write(place.folder.join("ng-udp.log"), lines(LINES_UDP)).expect("it can be written");
    let tls = format!(
        "tls(ca-file(\"{}\") cert-file(\"{}\") key-file(\"{}\") peer-verify(required-trusted))",
        place.authority.display(),
        place.client.certificate.display(),
        place.client.key.display()
    );
    let template = |name: &str| format!("template(\"<13>$ISODATE {name} shop: $MSG\\n\")");
    let text = format!(
        "@version: 3.38\noptions {{ stats-freq(0); }};\n\
         source s_streams {{ file(\"{folder}/ng.log\" flags(no-parse) follow-freq(1)); }};\n\
         source s_datagrams {{ file(\"{folder}/ng-udp.log\" flags(no-parse) follow-freq(1)); }};\n\
         destination d_udp {{ network(\"127.0.0.1\" port({}) transport(udp) {}); }};\n\
         destination d_tcp {{ network(\"127.0.0.1\" port({tcp}) transport(tcp) {} \
         persist-name(\"lines\")); }};\n\
         destination d_counted {{ syslog(\"127.0.0.1\" port({tcp}) transport(tcp) \
         template(\"$ISODATE ng-counted $MSG\")); }};\n\
         destination d_tls {{ syslog(\"localhost\" port({}) transport(tls) {tls} \
         template(\"$ISODATE ng-tls $MSG\")); }};\n\
         log {{ source(s_datagrams); destination(d_udp); }};\n\
         log {{ source(s_streams); destination(d_tcp); destination(d_counted); \
         destination(d_tls); flags(flow-control); }};\n",
        place.udp,
        template("ng-udp"),
        template("ng-tcp"),
        place.tls,
        tcp = place.tcp,
    );
    let file = |name: &str| place.folder.join(name);
    std::fs::write(file("syslog-ng.conf"), text).expect("it can be written");
    let mut command = Command::new(program);
    command.args(["--foreground", "--no-caps", "--stderr"]);
    command.arg("--cfgfile").arg(file("syslog-ng.conf"));
    command.arg("--persist-file").arg(file("ng.persist"));
    command.arg("--pidfile").arg(file("ng.pid"));
    command.arg("--control").arg(file("ng.control"));
    Daemon::start(&mut command)
}

/// Runs a client to its end; `input` is what it reads.
fn run(program: &Path, arguments: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("it reads");
    drop(stdin);
    let status = support::wait(&mut child).expect("it ends");
    assert!(
        status.success(),
        "{} {arguments:?}: {status}",
        program.display()
    );
}

fn logger(place: &Place, program: &Path) {
    for (tag, count, ways) in [
        ("logger-udp", LINES_UDP, &["--udp"][..]),
        ("logger-tcp", LINES, &["--tcp"]),
        ("logger-counted", LINES, &["--tcp", "--octet-count"]),
    ] {
        let port = if ways[0] == "--udp" {
            place.udp
        } else {
            place.tcp
        };
        let port = port.to_string();
        let mut arguments = vec!["--server", "127.0.0.1", "--port", &port, "--tag", tag];
        arguments.push("--rfc5424=notime,nohost,notq");
        arguments.extend(ways);
        run(program, &arguments, &lines(count));
    }
}

fn loggen(place: &Place, program: &Path) {
    let [udp, tcp, tls] = [place.udp, place.tcp, place.tls].map(|port| port.to_string());
    let (few, many) = (LINES_UDP.to_string(), LINES.to_string());
    for (count, port, ways) in [
        (&few, &udp, &["-i", "-D", "--rate=2000"][..]),
        (&many, &tcp, &["-i", "-S", "--rate=100000"]),
        (&many, &tcp, &["-i", "-S", "-P", "--rate=100000"]),
        (&many, &tls, &["-U", "-P", "--rate=100000"]),
    ] {
        let mut arguments = vec!["-Q", "--number", count];
        arguments.extend(ways);
        arguments.extend(["127.0.0.1", port]);
        run(program, &arguments, "");
    }
}

/// Datagrams that the kernel had no room for, at a port of ours.
fn kernel_drops(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let place = format!(":{port:04X} ");
    let rows = table.lines().filter(|row| row.contains(&place));
    let drops = rows.filter_map(|row| row.split_whitespace().last()?.parse::<u64>().ok());
    drops.sum()
}

#[test]
fn what_stock_senders_send_is_what_is_journaled() {
    let name = "what_stock_senders_send_is_what_is_journaled";
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let authority = Authority::new(folder.path(), "authority");
    let ca = format!("client_ca = {:?}\n", authority.file.display().to_string());
    // loggen shows no certificate.
    let requested = "client_certificates = \"requested\"\n";
    let tls = [&authority.issue("localhost").keys(), &ca, requested].concat();
    let weir = Weir::start(&data, &config_with_streams(0, &tls, ""));
    let place = Place {
        folder: folder.path().to_owned(),
        authority: authority.file.clone(),
        client: authority.issue("shop1.example.com"),
        udp: weir.udp.port(),
        tcp: weir.tcp.port(),
        tls: weir.tls.port(),
        relp: weir.relp.port(),
    };

    let mut ways: Vec<&Way> = Vec::new();
    let mut daemons = Vec::new();
    let modules = ["omrelp", "lmnsd_gtls", "lmnsd_ossl"];
    match find("rsyslogd").filter(|_| modules.iter().all(|module| rsyslog_module(module))) {
        Some(program) => {
            daemons.push(rsyslog(&place, &program));
            ways.extend(&RSYSLOG);
        }
        None => skipped(name, "rsyslogd with omrelp, gtls and ossl"),
    }
    match find("syslog-ng") {
        Some(program) => {
            daemons.push(syslog_ng(&place, &program));
            ways.extend(&SYSLOG_NG);
        }
        None => skipped(name, "syslog-ng"),
    }
    match find("logger") {
        Some(program) => {
            logger(&place, &program);
            ways.extend(&LOGGER);
        }
        None => skipped(name, "logger"),
    }
    match find("loggen") {
        Some(program) => {
            loggen(&place, &program);
            ways.extend(&LOGGEN);
        }
        None => skipped(name, "loggen"),
    }

    for transport in [
        Transport::Udp,
        Transport::Tcp,
        Transport::Tls,
        Transport::Relp,
    ] {
        let of_it = ways.iter().filter(|way| way.transport == transport);
        let sent: usize = of_it.map(|way| way.sent).sum();
        let said = || {
            daemons
                .iter()
                .map(|daemon| daemon.said.text())
                .collect::<String>()
        };
        until(
            &format!("all over {}: {}", transport.name(), said()),
            || {
                let lost = match transport {
                    Transport::Udp => kernel_drops(place.udp),
                    _ => 0, // No other may lose anything.
                };
                let came = weir.metric("weir_events_received_total", transport.name()) as u64;
                (came + lost >= sent as u64).then_some(())
            },
        );
    }
    let lost = kernel_drops(place.udp);
    assert_eq!(lost, 0, "the kernel had no room for {lost} datagrams");
    daemons.into_iter().for_each(Daemon::stop);
    weir.stop();

    println!("{:<28} {:>6} {:>9}", "client", "sent", "journaled");
    for way in ways {
        let frames = support::frames(&data, way.transport);
        let frames = frames.iter().map(|frame| String::from_utf8_lossy(frame));
        let own: Vec<_> = frames.filter(|frame| frame.contains(way.mark)).collect();
        println!("{:<28} {:>6} {:>9}", way.client, way.sent, own.len());
        assert_eq!(own.len(), way.sent, "{}: {:?}", way.client, own.first());
        let distinct: BTreeSet<_> = own.iter().collect();
        assert_eq!(distinct.len(), way.sent, "{}: each line once", way.client);
    }
}
