//! The table of programs whose messages are read further, and of those that merely name their log
//! source.
//!
//! A log source is never invented: product `linux` and a service are stated only for the programs
//! of this table, and `category` only where a message has the form of that category. Everything
//! else states nothing.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod cisco;
mod cron;
mod firewall;
mod pam;
mod sshd;
mod sudo;
pub(crate) mod vendor;

use std::borrow::Cow;

use weir_schema::Value;

use crate::Context;
use crate::draft::Draft;

/// Longest program name of the table.
const NAME_BYTES_MAX: usize = 24;

/// Reads the message of `program`, as far as it is known.
pub(crate) fn normalize<'a>(
    program: Option<&'a str>,
    message: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) {
    let Some(program) = program else {
        return;
    };
    let mut buffer = [0; NAME_BYTES_MAX];
    match base_name(program, &mut buffer) {
        b"sshd" | b"sshd-session" | b"sshd-auth" => {
            draft.linux("sshd");
            sshd::read(message, draft);
        }
        b"sudo" => {
            draft.linux("sudo");
            sudo::read(message, draft);
        }
        b"cron" | b"crond" | b"crontab" => {
            draft.linux("cron");
            cron::read(message, draft);
        }
        b"kernel" => {
            draft.linux("kernel");
            firewall::read(message, draft);
        }
        b"nginx" => {
            draft.source.product = Some("nginx");
            access::read(message, context.zone, draft);
        }
        b"apache" | b"apache2" | b"httpd" => {
            draft.source.product = Some("apache");
            access::read(message, context.zone, draft);
        }
        b"auditd" | b"audispd" | b"audit" => {
            draft.linux("auditd");
            audit::read(message, draft);
        }
        name => {
            if let Some(service) = service(name) {
                draft.linux(service);
                pam::read(message, draft);
            }
        }
    }
}

/// The program's name in lower case, without folder (`/usr/sbin/cron`), part (`postfix/smtpd`) or
/// module (`su(pam_unix)`).
fn base_name<'b>(program: &str, buffer: &'b mut [u8; NAME_BYTES_MAX]) -> &'b [u8] {
    let program = match program.strip_prefix('/') {
        Some(path) => path.rsplit('/').next().unwrap_or(path),
        None => program,
    };
    let name = program.split(['/', '(']).next().unwrap_or(program);
    let Some(lower) = buffer.get_mut(..name.len()) else {
        return &[];
    };
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    lower
}

/// The services of Linux that are known by their program alone.
fn service(name: &[u8]) -> Option<&'static str> {
    Some(match name {
        b"su" => "su",
        b"login" => "login",
        b"passwd" => "passwd",
        b"chpasswd" => "chpasswd",
        b"useradd" => "useradd",
        b"userdel" => "userdel",
        b"usermod" => "usermod",
        b"groupadd" => "groupadd",
        b"groupdel" => "groupdel",
        b"groupmod" => "groupmod",
        b"systemd" => "systemd",
        b"systemd-logind" => "systemd-logind",
        b"systemd-resolved" => "systemd-resolved",
        b"systemd-networkd" => "systemd-networkd",
        b"systemd-timesyncd" => "systemd-timesyncd",
        b"systemd-udevd" => "systemd-udevd",
        b"dbus-daemon" => "dbus-daemon",
        b"polkitd" => "polkitd",
        b"pkexec" => "pkexec",
        b"networkmanager" => "networkmanager",
        b"rsyslogd" => "rsyslogd",
        b"anacron" => "anacron",
        b"atd" => "atd",
        b"chronyd" => "chronyd",
        b"ntpd" => "ntpd",
        b"dhclient" => "dhclient",
        b"clamd" | b"clamav" | b"freshclam" => "clamav",
        b"guacd" | b"guacamole" => "guacamole",
        b"vsftpd" => "vsftpd",
        b"proftpd" => "proftpd",
        b"pure-ftpd" => "pure-ftpd",
        b"postfix" => "postfix",
        b"dovecot" => "dovecot",
        b"named" => "named",
        b"dnsmasq" => "dnsmasq",
        b"openvpn" => "openvpn",
        b"smbd" => "smbd",
        b"gdm-password" => "gdm-password",
        _ => return None,
    })
}

/// Adds the far end: `src_ip` where it is written as an address, else `src_host`. IPv4 in IPv6 form
/// is IPv4.
pub(crate) fn source_address<'a>(host: &'a str, draft: &mut Draft<'a>) {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let plain = plain
        .strip_prefix("::ffff:")
        .filter(|v4| v4.contains('.'))
        .unwrap_or(plain);
    if plain.is_empty() || plain == "?" || plain == "-" {
        return;
    }
    let is_v4 = plain.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let name = if is_v4 || plain.contains(':') {
        "src_ip"
    } else {
        "src_host"
    };
    draft.text(name, plain);
}

/// Adds a text of our own words.
pub(crate) fn word(name: &'static str, value: &'static str, draft: &mut Draft<'_>) {
    draft.put(name, Value::Text(Cow::Borrowed(value)));
}

/// The text before and after the first `mark`.
pub(crate) fn cut<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let at = memchr::memmem::find(text.as_bytes(), mark.as_bytes())?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}
