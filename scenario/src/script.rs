//! Writes a scenario: each method sends one event and says which detections it matches.
//!
//! **Budgets.** Background may match a detection, but each group of each rule has a budget for the
//! whole scenario, below the rule's threshold. Whatever its times, no window can then hold enough
//! of them.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use weir_schema::{EventTime, Span};

use crate::catalogue::alerting_rule;
use crate::company::Company;
use crate::lines::{Packet, Request, access, firewall, rfc3164};
use crate::random::seeded;
use crate::scenario::{
    AgentRecord, Delivery, DeliveryTransport, ExpectedAlert, ExpectedDetection, Payload, Scenario,
};

/// syslog's `auth.info`.
const AUTH: u8 = 38;
/// syslog's `authpriv.notice`.
const AUTHPRIV: u8 = 85;
/// syslog's `cron.info`.
const CRON: u8 = 78;
/// syslog's `kern.warning`.
const KERNEL: u8 = 4;
/// syslog's `local7.info`, which nginx uses.
const LOCAL7: u8 = 190;

/// How a login was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Password,
    PublicKey,
}

/// A scenario in the making. Times are whole seconds from its start.
pub(crate) struct Script<'a> {
    pub company: &'a Company,
    pub rng: ChaCha8Rng,
    start: EventTime,
    deliveries: Vec<Delivery>,
    expected: Vec<ExpectedAlert>,
    narration: Vec<(Span, String)>,
    spent: BTreeMap<(&'static str, String), u32>,
}

impl<'a> Script<'a> {
    pub fn new(company: &'a Company, start: EventTime) -> Self {
        Self {
            company,
            rng: seeded(company.seed, 2),
            start,
            deliveries: Vec::new(),
            expected: Vec::new(),
            narration: Vec::new(),
            spent: BTreeMap::new(),
        }
    }

    pub fn time(&self, second: i64) -> EventTime {
        self.start.plus(Span::seconds(second))
    }

    pub fn narrate(&mut self, second: i64, text: impl Into<String>) {
        self.narration.push((Span::seconds(second), text.into()));
    }

    /// Takes one from the budget of a group; false where it is used up.
    pub fn afford(&mut self, group: &'static str, value: &str, at_most: u32) -> bool {
        let spent = self.spent.entry((group, value.to_owned())).or_default();
        let affordable = *spent < at_most;
        *spent += u32::from(affordable);
        affordable
    }

    /// Says that an alert must be seen, whose events lie between two seconds.
    pub fn expect(&mut self, rule: &str, group: &[&str], from: i64, to: i64, count: u64) {
        let rule = alerting_rule(rule).expect("scripts name rules of the catalogue");
        let names = rule.group_by.iter().map(|&name| name.to_owned());
        self.expected.push(ExpectedAlert {
            rule: rule.id.to_owned(),
            title: rule.title.to_owned(),
            group: names.zip(group.iter().map(|&v| v.to_owned())).collect(),
            first: self.time(from),
            last: self.time(to),
            count,
            retracted: false,
        });
    }

    /// Says that the alert expected last is withdrawn by a late event.
    pub fn expect_its_retraction(&mut self) {
        if let Some(alert) = self.expected.last_mut() {
            alert.retracted = true;
        }
    }

    pub fn finish(mut self, length: Span) -> Scenario {
        self.deliveries.sort_by_key(|delivery| delivery.at);
        self.expected.sort();
        self.narration.sort_by_key(|(at, _)| *at);
        Scenario {
            start: self.start,
            deliveries: self.deliveries,
            expected: self.expected,
            narration: self.narration,
            length,
        }
    }

    /// A number as a process would have it.
    pub fn process(&mut self) -> u32 {
        self.rng.random_range(700..64_000)
    }

    /// A port as a client would have it.
    pub fn port(&mut self) -> u16 {
        self.rng.random_range(32_768..61_000)
    }

    /// Sends a line within a second of its event time.
    pub fn line(
        &mut self,
        via: DeliveryTransport,
        second: i64,
        host: &str,
        line: Vec<u8>,
        marks: Vec<ExpectedDetection>,
    ) {
        let delay = self.rng.random_range(0..900_000_000);
        self.deliveries.push(Delivery {
            at: Span(Span::seconds(second).0.saturating_add(delay)),
            via,
            host: host.to_owned(),
            payload: Payload::Line(line),
            time: self.time(second),
            marks,
            late: false,
        });
    }

    fn tagged(&mut self, priority: u8, tag: &str, second: i64, host: &str, text: &str) -> Vec<u8> {
        let tag = format!("{tag}[{}]", self.process());
        rfc3164(priority, self.time(second), host, &tag, text)
    }

    /// sshd refuses a password. `exists` says whether the host has the account.
    pub fn ssh_refused(&mut self, second: i64, host: &str, user: &str, exists: bool, source: &str) {
        let port = self.port();
        let unknown = if exists { "" } else { "invalid user " };
        let text = format!("Failed password for {unknown}{user} from {source} port {port} ssh2");
        let line = self.tagged(AUTH, "sshd", second, host, &text);
        let fields = vec![
            ("src_ip", source.to_owned()),
            ("user", user.to_owned()),
            ("host", host.to_owned()),
        ];
        let mut marks = vec![mark("ssh_login_failure", &fields)];
        if !exists {
            marks.push(mark("ssh_unknown_account", &fields));
        }
        self.line(DeliveryTransport::Tcp, second, host, line, marks);
    }

    /// sshd accepts a login.
    pub fn ssh_accepted(
        &mut self,
        second: i64,
        host: &str,
        user: &str,
        source: &str,
        method: Method,
    ) {
        let port = self.port();
        let text = match method {
            Method::Password => {
                format!("Accepted password for {user} from {source} port {port} ssh2")
            }
            Method::PublicKey => {
                let print = fingerprint(&mut self.rng);
                format!(
                    "Accepted publickey for {user} from {source} port {port} ssh2: ED25519 \
                     SHA256:{print}"
                )
            }
        };
        let line = self.tagged(AUTH, "sshd", second, host, &text);
        let fields = vec![
            ("src_ip", source.to_owned()),
            ("user", user.to_owned()),
            ("host", host.to_owned()),
        ];
        let mut marks = vec![mark("ssh_login_success", &fields)];
        if user != AUTOMATION {
            marks.push(mark("ssh_login_by_person", &fields));
        }
        self.line(DeliveryTransport::Tcp, second, host, line, marks);
    }

    /// sudo runs a command as root, which `members` look for.
    pub fn sudo(
        &mut self,
        second: i64,
        host: &str,
        user: &str,
        command: &str,
        members: &[&'static str],
    ) {
        let text =
            format!("{user:>8} : TTY=pts/0 ; PWD=/home/{user} ; USER=root ; COMMAND={command}");
        self.sudo_line(second, host, user, &text, members);
    }

    /// sudo refuses a command after three wrong passwords.
    pub fn sudo_refused(&mut self, second: i64, host: &str, user: &str, command: &str) {
        let text = format!(
            "{user:>8} : 3 incorrect password attempts ; TTY=pts/1 ; PWD=/home/{user} ; \
             USER=root ; COMMAND={command}"
        );
        self.sudo_line(second, host, user, &text, &["sudo_refusal"]);
    }

    fn sudo_line(
        &mut self,
        second: i64,
        host: &str,
        user: &str,
        text: &str,
        members: &[&'static str],
    ) {
        let line = rfc3164(AUTHPRIV, self.time(second), host, "sudo", text);
        let fields = [("user", user.to_owned()), ("host", host.to_owned())];
        let marks = members.iter().map(|member| mark(member, &fields)).collect();
        self.line(DeliveryTransport::Tcp, second, host, line, marks);
    }

    /// cron runs a job.
    pub fn cron(
        &mut self,
        via: DeliveryTransport,
        second: i64,
        host: &str,
        job: (&str, &str),
        members: &[&'static str],
    ) {
        let text = format!("({}) CMD ({})", job.0, job.1);
        let line = self.tagged(CRON, "CRON", second, host, &text);
        let fields = [("user", job.0.to_owned()), ("host", host.to_owned())];
        let marks = members.iter().map(|member| mark(member, &fields)).collect();
        self.line(via, second, host, line, marks);
    }

    /// A tool that keeps accounts says what it did.
    pub fn account(
        &mut self,
        second: i64,
        host: &str,
        tool: &str,
        text: &str,
        member: &'static str,
    ) {
        let line = self.tagged(AUTH, tool, second, host, text);
        let marks = vec![mark(member, &[("host", host.to_owned())])];
        self.line(DeliveryTransport::Tcp, second, host, line, marks);
    }

    /// The firewall of a host blocks a packet from the first address to the second.
    pub fn blocked(
        &mut self,
        second: i64,
        host: &str,
        incoming: bool,
        between: (&str, &str),
        port: u16,
    ) {
        let packet = Packet {
            incoming,
            source: between.0,
            destination: between.1,
            source_port: self.port(),
            destination_port: port,
            id: self.rng.random(),
        };
        let line = self.kernel(second, host, "UFW BLOCK", &packet);
        let fields = [
            ("src_ip", between.0.to_owned()),
            ("dst_ip", between.1.to_owned()),
            ("host", host.to_owned()),
        ];
        let mut marks = vec![mark("firewall_block", &fields)];
        if !incoming && SHELL_PORTS.contains(&port) {
            marks.push(mark("firewall_block_shell_port", &fields));
        }
        self.line(DeliveryTransport::Tcp, second, host, line, marks);
    }

    /// A packet as the kernel of a host logs it.
    pub fn kernel(
        &mut self,
        second: i64,
        host: &str,
        verdict: &str,
        packet: &Packet<'_>,
    ) -> Vec<u8> {
        // Every host has been up for some days.
        let uptime = 400_000_000_000 + Span::seconds(second).0.unsigned_abs() / 1_000;
        let text = firewall(uptime + self.rng.random_range(0..900_000), verdict, packet);
        rfc3164(KERNEL, self.time(second), host, "kernel", &text)
    }

    /// A web server answers a request that `members` look for.
    pub fn request(
        &mut self,
        via: DeliveryTransport,
        second: i64,
        host: &str,
        request: &Request<'_>,
        members: &[&'static str],
    ) {
        let text = access(self.time(second), request);
        let line = rfc3164(LOCAL7, self.time(second), host, "nginx", &text);
        let fields = [
            ("c-ip", request.client.to_owned()),
            ("host", host.to_owned()),
        ];
        let marks = members.iter().map(|member| mark(member, &fields)).collect();
        self.line(via, second, host, line, marks);
    }

    /// The agent of a host reports an event. It is sent at `sent`, which is `second` unless it is
    /// late.
    pub fn report(
        &mut self,
        (second, sent): (i64, i64),
        host: &str,
        (kind, logsource): (&str, &str),
        fields: &[(&'static str, &str)],
        members: &[&'static str],
    ) {
        let named = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        let mut fields: Vec<(&'static str, String)> = fields.iter().map(named).collect();
        fields.push(("host", host.to_owned()));
        let marks = members.iter().map(|member| mark(member, &fields)).collect();
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        self.deliveries.push(Delivery {
            at: Span::seconds(sent),
            via: DeliveryTransport::Agent,
            host: host.to_owned(),
            payload: Payload::Agent(AgentRecord {
                time: self.time(second),
                kind: kind.to_owned(),
                logsource: logsource.to_owned(),
                fields: fields.collect(),
            }),
            time: self.time(second),
            marks,
            late: sent > second,
        });
    }

    /// The ticket system says that a change was granted.
    pub fn ticket(&mut self, times: (i64, i64), user: &str, number: u32) {
        let host = self.company.tickets.name.clone();
        let number = format!("CHG-{number}");
        self.report(
            times,
            &host,
            ("change_ticket", "product=ticketing,service=change"),
            &[("user", user), ("ticket", &number), ("state", "granted")],
            &["change_ticket"],
        );
    }
}

/// The account that rolls out software, and logs in everywhere all day.
pub(crate) const AUTOMATION: &str = "deploy";

/// Ports that `firewall_denied_egress.yml` names.
const SHELL_PORTS: [u16; 5] = [1337, 4444, 5555, 6667, 9001];

fn mark(member: &'static str, fields: &[(&'static str, String)]) -> ExpectedDetection {
    ExpectedDetection {
        member,
        fields: fields.to_vec(),
    }
}

/// Forty-three characters, as OpenSSH prints the SHA-256 of a key.
fn fingerprint(rng: &mut ChaCha8Rng) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..43)
        .map(|_| char::from(DIGITS[rng.random_range(0..64)]))
        .collect()
}
