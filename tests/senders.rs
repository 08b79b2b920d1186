//! Unmodified stock senders over every transport: every line they send is journaled once.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::outside::{Daemon, find, rsyslog_module};
use support::pki::{Authority, Pair};
use support::{Weir, config_with_streams, skipped, until};
use weir_schema::Transport;

/// Lines that each sender writes.
const LINES: usize = 2_000;

/// Lines over UDP. The kernel drops a burst that is larger than its buffer.
const LINES_UDP: usize = 150;

/// One program over one transport.
struct Delivery {
    client: &'static str,
    transport: Transport,
    /// A part that only the lines of this program have on this transport.
    mark: &'static str,
    sent: usize,
}

const fn delivery(client: &'static str, transport: Transport, mark: &'static str) -> Delivery {
    let sent = match transport {
        Transport::Udp => LINES_UDP,
        _ => LINES, // Stream transports push back.
    };
    Delivery {
        client,
        transport,
        mark,
        sent,
    }
}

const RSYSLOG: [Delivery; 6] = [
    delivery("rsyslog udp", Transport::Udp, " rsyslog-udp "),
    delivery("rsyslog tcp, lines", Transport::Tcp, " rsyslog-tcp "),
    delivery("rsyslog tcp, counted", Transport::Tcp, " rsyslog-counted "),
    delivery("rsyslog tls, GnuTLS", Transport::Tls, " rsyslog-gtls "),
    delivery("rsyslog tls, OpenSSL", Transport::Tls, " rsyslog-ossl "),
    delivery("rsyslog relp", Transport::Relp, " rsyslog-relp "),
];

const SYSLOG_NG: [Delivery; 4] = [
    delivery("syslog-ng udp", Transport::Udp, " ng-udp "),
    delivery("syslog-ng tcp, lines", Transport::Tcp, " ng-tcp "),
    delivery("syslog-ng tcp, RFC 5424", Transport::Tcp, " ng-counted "),
    delivery("syslog-ng tls, RFC 5424", Transport::Tls, " ng-tls "),
];

const LOGGER: [Delivery; 3] = [
    delivery("logger udp", Transport::Udp, " logger-udp "),
    delivery("logger tcp, lines", Transport::Tcp, " logger-tcp "),
    delivery("logger tcp, counted", Transport::Tcp, " logger-counted "),
];

/// The lines of loggen cannot be marked. Their own prefix identifies them.
const LOGGEN: [Delivery; 4] = [
    delivery("loggen udp", Transport::Udp, " prg00000"),
    delivery(
        "loggen tcp, lines",
        Transport::Tcp,
        " localhost prg00000[1234]: ",
    ),
    delivery(
        "loggen tcp, RFC 5424",
        Transport::Tcp,
        " localhost prg00000 1234 ",
    ),
    delivery("loggen tls, RFC 5424", Transport::Tls, " prg00000"),
];

/// Addresses and files that a sender needs.
struct Target {
    folder: PathBuf,
    authority: PathBuf,
    client: Pair,
    udp: u16,
    tcp: u16,
    tls: u16,
    relp: u16,
}

/// Numbered lines with characters that are easily mangled.
fn lines(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "line {n:06} with \"quotes\", back\\slashes and Grüße");
        text
    })
}

/// The action of each rsyslog delivery, by template name, UDP first.
fn rsyslog_actions(target: &Target) -> [(&'static str, String); 6] {
    let tls = |driver: &str| {
        format!(
            "type=\"omfwd\" protocol=\"tcp\" port=\"{}\" TCP_Framing=\"octet-counted\" \
             StreamDriver=\"{driver}\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/name\" \
             StreamDriverPermittedPeers=\"localhost\" StreamDriver.CAFile=\"{}\" \
             StreamDriver.CertFile=\"{}\" StreamDriver.KeyFile=\"{}\"",
            target.tls,
            target.authority.display(),
            target.client.certificate.display(),
            target.client.key.display()
        )
    };
    let tcp = |framing: &str| {
        let port = target.tcp;
        format!("type=\"omfwd\" protocol=\"tcp\" port=\"{port}\" TCP_Framing=\"{framing}\"")
    };
    let udp = format!("type=\"omfwd\" protocol=\"udp\" port=\"{}\"", target.udp);
    let relp = format!("type=\"omrelp\" port=\"{}\"", target.relp);
    [
        ("rsyslog-udp", udp),
        ("rsyslog-tcp", tcp("traditional")),
        ("rsyslog-counted", tcp("octet-counted")),
        ("rsyslog-gtls", tls("gtls")),
        ("rsyslog-ossl", tls("ossl")),
        ("rsyslog-relp", relp),
    ]
}

fn rsyslog(target: &Target, program: &Path) -> Daemon {
    let folder = target.folder.display();
    std::fs::write(target.folder.join("r.log"), lines(LINES)).expect("it can be written");
    std::fs::write(target.folder.join("r-udp.log"), lines(LINES_UDP)).expect("it can be written");
    let mut text = format!(
        "global(workDirectory=\"{folder}\")\nmodule(load=\"imfile\")\nmodule(load=\"omrelp\")\n\
         input(type=\"imfile\" File=\"{folder}/r.log\" Tag=\"shop:\" ruleset=\"streams\")\n\
         input(type=\"imfile\" File=\"{folder}/r-udp.log\" Tag=\"shop:\" ruleset=\"datagrams\")\n"
    );
    let actions = rsyslog_actions(target).map(|(name, action)| {
        let frame = format!("<%PRI%>%TIMESTAMP:::date-rfc3339% {name} %syslogtag%%msg%");
        let _ = writeln!(
            text,
            "template(name=\"{name}\" type=\"string\" string=\"{frame}\")"
        );
        format!(
            "action({action} target=\"127.0.0.1\" template=\"{name}\" \
             action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\" \
             queue.type=\"LinkedList\")\n"
        )
    });
    let _ = write!(
        text,
        "ruleset(name=\"datagrams\") {{\n{}}}\nruleset(name=\"streams\") {{\n{}}}\n",
        actions[0],
        actions[1..].concat()
    );
    let file = target.folder.join("rsyslog.conf");
    std::fs::write(&file, text).expect("it can be written");
    let mut command = Command::new(program);
    command.arg("-n").arg("-f").arg(&file);
    command.arg("-i").arg(target.folder.join("rsyslog.pid"));
    Daemon::start(&mut command)
}

fn syslog_ng(target: &Target, program: &Path) -> Daemon {
    let folder = target.folder.display();
    std::fs::write(target.folder.join("ng.log"), lines(LINES)).expect("it can be written");
    std::fs::write(target.folder.join("ng-udp.log"), lines(LINES_UDP)).expect("it can be written");
    let tls = format!(
        "tls(ca-file(\"{}\") cert-file(\"{}\") key-file(\"{}\") peer-verify(required-trusted))",
        target.authority.display(),
        target.client.certificate.display(),
        target.client.key.display()
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
        target.udp,
        template("ng-udp"),
        template("ng-tcp"),
        target.tls,
        tcp = target.tcp,
    );
    let file = |name: &str| target.folder.join(name);
    std::fs::write(file("syslog-ng.conf"), text).expect("it can be written");
    let mut command = Command::new(program);
    command.args(["--foreground", "--no-caps", "--stderr"]);
    command.arg("--cfgfile").arg(file("syslog-ng.conf"));
    command.arg("--persist-file").arg(file("ng.persist"));
    command.arg("--pidfile").arg(file("ng.pid"));
    command.arg("--control").arg(file("ng.control"));
    Daemon::start(&mut command)
}

/// Runs a sender to its end with this input.
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

fn logger(target: &Target, program: &Path) {
    for (tag, count, options) in [
        ("logger-udp", LINES_UDP, &["--udp"][..]),
        ("logger-tcp", LINES, &["--tcp"]),
        ("logger-counted", LINES, &["--tcp", "--octet-count"]),
    ] {
        let port = if options[0] == "--udp" {
            target.udp
        } else {
            target.tcp
        };
        let port = port.to_string();
        let mut arguments = vec!["--server", "127.0.0.1", "--port", &port, "--tag", tag];
        arguments.push("--rfc5424=notime,nohost,notq");
        arguments.extend(options);
        run(program, &arguments, &lines(count));
    }
}

fn loggen(target: &Target, program: &Path) {
    let [udp, tcp, tls] = [target.udp, target.tcp, target.tls].map(|port| port.to_string());
    let (few, many) = (LINES_UDP.to_string(), LINES.to_string());
    for (count, port, options) in [
        (&few, &udp, &["-i", "-D", "--rate=2000"][..]),
        (&many, &tcp, &["-i", "-S", "--rate=100000"]),
        (&many, &tcp, &["-i", "-S", "-P", "--rate=100000"]),
        (&many, &tls, &["-U", "-P", "--rate=100000"]),
    ] {
        let mut arguments = vec!["-Q", "--number", count];
        arguments.extend(options);
        arguments.extend(["127.0.0.1", port]);
        run(program, &arguments, "");
    }
}

/// Number of datagrams that the kernel dropped at a local port.
fn kernel_drops(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let address = format!(":{port:04X} ");
    let rows = table.lines().filter(|row| row.contains(&address));
    let drops = rows.filter_map(|row| row.split_whitespace().last()?.parse::<u64>().ok());
    drops.sum()
}

/// Senders that this machine has, and the programs that still run.
#[derive(Default)]
struct Senders {
    deliveries: Vec<&'static Delivery>,
    daemons: Vec<Daemon>,
}

impl Senders {
    /// Starts every sender that this machine has, and reports the others as skipped.
    fn start(test: &str, target: &Target) -> Self {
        let mut senders = Self::default();
        let modules = ["omrelp", "lmnsd_gtls", "lmnsd_ossl"];
        match find("rsyslogd").filter(|_| modules.iter().all(|module| rsyslog_module(module))) {
            Some(program) => {
                senders.daemons.push(rsyslog(target, &program));
                senders.deliveries.extend(&RSYSLOG);
            }
            None => skipped(test, "rsyslogd with omrelp, gtls and ossl"),
        }
        match find("syslog-ng") {
            Some(program) => {
                senders.daemons.push(syslog_ng(target, &program));
                senders.deliveries.extend(&SYSLOG_NG);
            }
            None => skipped(test, "syslog-ng"),
        }
        match find("logger") {
            Some(program) => {
                logger(target, &program);
                senders.deliveries.extend(&LOGGER);
            }
            None => skipped(test, "logger"),
        }
        match find("loggen") {
            Some(program) => {
                loggen(target, &program);
                senders.deliveries.extend(&LOGGEN);
            }
            None => skipped(test, "loggen"),
        }
        senders
    }

    /// Waits until the server has received every line of a transport that the kernel did not drop.
    fn await_received(&self, weir: &Weir, transport: Transport) {
        let all = self.deliveries.iter();
        let all = all.filter(|delivery| delivery.transport == transport);
        let sent: usize = all.map(|delivery| delivery.sent).sum();
        let logs: String = self.daemons.iter().map(|it| it.stderr.text()).collect();
        let what = format!("all lines over {}: {logs}", transport.name());
        until(&what, || {
            let dropped = match transport {
                Transport::Udp => kernel_drops(weir.udp.port()),
                _ => 0, // Stream transports lose nothing.
            };
            let received = weir.metric("weir_events_received_total", transport.name()) as u64;
            (received + dropped >= sent as u64).then_some(())
        });
    }
}

#[test]
fn every_line_of_a_stock_sender_is_journaled_once() {
    let test = "every_line_of_a_stock_sender_is_journaled_once";
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let authority = Authority::new(folder.path(), "authority");
    let ca = format!("client_ca = {:?}\n", authority.file.display().to_string());
    // loggen presents no certificate.
    let requested = "client_certificates = \"requested\"\n";
    let tls = [&authority.issue("localhost").keys(), &ca, requested].concat();
    let weir = Weir::start(&data, &config_with_streams(0, &tls, ""));
    let target = Target {
        folder: folder.path().to_owned(),
        authority: authority.file.clone(),
        client: authority.issue("shop1.example.com"),
        udp: weir.udp.port(),
        tcp: weir.tcp.port(),
        tls: weir.tls.port(),
        relp: weir.relp.port(),
    };
    let senders = Senders::start(test, &target);
    for transport in [
        Transport::Udp,
        Transport::Tcp,
        Transport::Tls,
        Transport::Relp,
    ] {
        senders.await_received(&weir, transport);
    }
    let dropped = kernel_drops(target.udp);
    assert_eq!(dropped, 0, "the kernel dropped {dropped} datagrams");
    senders.daemons.into_iter().for_each(Daemon::stop);
    weir.stop();

    println!("{:<28} {:>6} {:>9}", "client", "sent", "journaled");
    for delivery in senders.deliveries {
        assert_journaled(delivery, &data);
    }
}

/// The journal holds each line of a delivery once.
fn assert_journaled(delivery: &Delivery, data: &Path) {
    let Delivery { client, sent, .. } = delivery;
    let frames = support::frames(data, delivery.transport);
    let frames = frames.iter().map(|frame| String::from_utf8_lossy(frame));
    let own: Vec<_> = frames
        .filter(|frame| frame.contains(delivery.mark))
        .collect();
    println!("{client:<28} {sent:>6} {:>9}", own.len());
    assert_eq!(own.len(), *sent, "{client}: {:?}", own.first());
    let distinct: BTreeSet<_> = own.iter().collect();
    assert_eq!(distinct.len(), *sent, "{client}: lines are repeated");
}
