//! The events of a scenario: each method adds one, with the detections that it matches.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use weir_schema::Span;

use super::Script;
use crate::lines::{FirewallPacket, WebRequest, access, firewall, rfc3164};
use crate::scenario::{
    AgentRecord, DeliveryPayload, DeliveryTransport, ExpectedDetection, PlannedDelivery,
};

/// Syslog priority `auth.info`.
const AUTH: u8 = 38;
/// Syslog priority `authpriv.notice`.
const AUTHPRIV: u8 = 85;
/// Syslog priority `cron.info`.
const CRON: u8 = 78;
/// Syslog priority `kern.warning`.
const KERNEL: u8 = 4;
/// Syslog priority `local7.info`, which nginx uses.
const LOCAL7: u8 = 190;

/// Authentication method of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginMethod {
    Password,
    PublicKey,
}

/// A job that cron runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CronJob<'a> {
    pub user: &'a str,
    pub command: &'a str,
}

/// A packet that a firewall blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockedPacket<'a> {
    pub incoming: bool,
    pub source: &'a str,
    pub destination: &'a str,
    pub port: u16,
}

/// An event that an agent reports.
pub(crate) struct AgentReport<'a> {
    pub second: i64,
    /// Later than `second` if the event is late.
    pub sent: i64,
    pub host: &'a str,
    pub kind: &'a str,
    pub logsource: &'a str,
    pub fields: &'a [(&'static str, &'a str)],
    pub members: &'a [&'static str],
}

/// A change ticket.
pub(crate) struct Ticket<'a> {
    pub granted: i64,
    /// Later than `granted` if the ticket system is late.
    pub sent: i64,
    pub user: &'a str,
    pub number: u32,
}

impl Script<'_> {
    /// sshd refuses a password. `exists`: whether the account exists.
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
        let mut detections = vec![detection("ssh_login_failure", &fields)];
        if !exists {
            detections.push(detection("ssh_unknown_account", &fields));
        }
        self.line(DeliveryTransport::Tcp, second, host, line, detections);
    }

    /// sshd accepts a login.
    pub fn ssh_accepted(
        &mut self,
        second: i64,
        host: &str,
        user: &str,
        source: &str,
        method: LoginMethod,
    ) {
        let port = self.port();
        let text = match method {
            LoginMethod::Password => {
                format!("Accepted password for {user} from {source} port {port} ssh2")
            }
            LoginMethod::PublicKey => {
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
        let mut detections = vec![detection("ssh_login_success", &fields)];
        if user != AUTOMATION {
            detections.push(detection("ssh_login_by_person", &fields));
        }
        self.line(DeliveryTransport::Tcp, second, host, line, detections);
    }

    /// sudo runs a command as root, which `members` match.
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
        let detections = members
            .iter()
            .map(|member| detection(member, &fields))
            .collect();
        self.line(DeliveryTransport::Tcp, second, host, line, detections);
    }

    /// cron runs a job.
    pub fn cron(
        &mut self,
        transport: DeliveryTransport,
        second: i64,
        host: &str,
        job: CronJob<'_>,
        members: &[&'static str],
    ) {
        let text = format!("({}) CMD ({})", job.user, job.command);
        let line = self.tagged(CRON, "CRON", second, host, &text);
        let fields = [("user", job.user.to_owned()), ("host", host.to_owned())];
        let detections = members
            .iter()
            .map(|member| detection(member, &fields))
            .collect();
        self.line(transport, second, host, line, detections);
    }

    /// An account tool logs what it did.
    pub fn account(
        &mut self,
        second: i64,
        host: &str,
        tool: &str,
        text: &str,
        member: &'static str,
    ) {
        let line = self.tagged(AUTH, tool, second, host, text);
        let detections = vec![detection(member, &[("host", host.to_owned())])];
        self.line(DeliveryTransport::Tcp, second, host, line, detections);
    }

    /// The firewall of a host blocks a packet.
    pub fn blocked(&mut self, second: i64, host: &str, blocked: &BlockedPacket<'_>) {
        let packet = FirewallPacket {
            incoming: blocked.incoming,
            source: blocked.source,
            destination: blocked.destination,
            source_port: self.port(),
            destination_port: blocked.port,
            id: self.rng.random(),
        };
        let line = self.kernel(second, host, "UFW BLOCK", &packet);
        let fields = [
            ("src_ip", blocked.source.to_owned()),
            ("dst_ip", blocked.destination.to_owned()),
            ("host", host.to_owned()),
        ];
        let mut detections = vec![detection("firewall_block", &fields)];
        if !blocked.incoming && SHELL_PORTS.contains(&blocked.port) {
            detections.push(detection("firewall_block_shell_port", &fields));
        }
        self.line(DeliveryTransport::Tcp, second, host, line, detections);
    }

    /// Formats the line that the kernel of a host logs for a packet.
    pub fn kernel(
        &mut self,
        second: i64,
        host: &str,
        verdict: &str,
        packet: &FirewallPacket<'_>,
    ) -> Vec<u8> {
        // Every host has been up for some days.
        let uptime = 400_000_000_000 + Span::seconds(second).0.unsigned_abs() / 1_000;
        let text = firewall(uptime + self.rng.random_range(0..900_000), verdict, packet);
        rfc3164(KERNEL, self.time(second), host, "kernel", &text)
    }

    /// A web server answers a request, which `members` match.
    pub fn request(
        &mut self,
        transport: DeliveryTransport,
        second: i64,
        host: &str,
        request: &WebRequest<'_>,
        members: &[&'static str],
    ) {
        let text = access(self.time(second), request);
        let line = rfc3164(LOCAL7, self.time(second), host, "nginx", &text);
        let fields = [
            ("c-ip", request.client.to_owned()),
            ("host", host.to_owned()),
        ];
        let detections = members
            .iter()
            .map(|member| detection(member, &fields))
            .collect();
        self.line(transport, second, host, line, detections);
    }

    /// The agent of a host reports an event.
    pub fn report(&mut self, report: &AgentReport<'_>) {
        let AgentReport {
            second,
            sent,
            host,
            kind,
            logsource,
            fields,
            members,
        } = *report;
        let named = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        let mut fields: Vec<(&'static str, String)> = fields.iter().map(named).collect();
        fields.push(("host", host.to_owned()));
        let detections = members
            .iter()
            .map(|member| detection(member, &fields))
            .collect();
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        self.deliveries.push(PlannedDelivery {
            at: Span::seconds(sent),
            transport: DeliveryTransport::Agent,
            host: host.to_owned(),
            payload: DeliveryPayload::Agent(AgentRecord {
                time: self.time(second),
                kind: kind.to_owned(),
                logsource: logsource.to_owned(),
                fields: fields.collect(),
            }),
            time: self.time(second),
            detections,
            late: sent > second,
        });
    }

    /// The ticket system reports that a change was granted.
    pub fn ticket(&mut self, ticket: &Ticket<'_>) {
        let company = self.company;
        let number = format!("CHG-{}", ticket.number);
        self.report(&AgentReport {
            second: ticket.granted,
            sent: ticket.sent,
            host: &company.tickets.name,
            kind: "change_ticket",
            logsource: "product=ticketing,service=change",
            fields: &[
                ("user", ticket.user),
                ("ticket", &number),
                ("state", "granted"),
            ],
            members: &["change_ticket"],
        });
    }
}

/// The account that rolls out software and logs in to all hosts all day.
pub(crate) const AUTOMATION: &str = "deploy";

/// Ports in `firewall_denied_egress.yml`.
const SHELL_PORTS: [u16; 5] = [1337, 4444, 5555, 6667, 9001];

fn detection(member: &'static str, fields: &[(&'static str, String)]) -> ExpectedDetection {
    ExpectedDetection {
        member,
        fields: fields.to_vec(),
    }
}

/// Draws a key fingerprint: 43 characters, as OpenSSH prints a SHA-256.
fn fingerprint(rng: &mut ChaCha8Rng) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..43)
        .map(|_| char::from(DIGITS[rng.random_range(0..64)]))
        .collect()
}
