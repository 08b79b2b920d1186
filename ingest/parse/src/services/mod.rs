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
mod dovecot;
mod errorlog;
mod exim;
mod firewall;
mod ftp;
mod haproxy;
mod named;
mod network;
mod pam;
mod postfix;
mod sshd;
mod su;
mod sudo;
mod text;
mod traffic;
pub(crate) mod vendor;

use crate::Context;
use crate::draft::Draft;
use crate::time;

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
        b"su" | b"su-l" => {
            draft.linux("su");
            su::read(message, draft);
        }
        b"auditd" | b"audispd" | b"audit" => {
            draft.linux("auditd");
            audit::read(message, draft);
        }
        name => {
            let known = web(name, message, context, draft)
                || mail(name, message, context, draft)
                || network(name, message, draft);
            if !known {
                others(name, message, draft);
            }
        }
    }
}

fn web<'a>(name: &[u8], message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let zone = context.zone;
    match name {
        b"nginx" => {
            draft.source.product = Some("nginx");
            // Where the name was written twice, by the server and by what forwards its file.
            let inner = text::cut(message, "nginx: ").map_or(message, |(_, inner)| inner);
            let _ = access::read(message, zone, draft) || errorlog::nginx(inner, zone, draft);
        }
        b"apache" | b"apache2" | b"httpd" => {
            draft.source.product = Some("apache");
            let _ = access::read(message, zone, draft) || errorlog::apache(message, zone, draft);
        }
        b"haproxy" => {
            draft.source.product = Some("haproxy");
            haproxy::read(message, zone, draft);
        }
        _ => return false,
    }
    true
}

fn mail<'a>(name: &[u8], message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    match name {
        b"exim" | b"exim4" => {
            draft.linux("exim");
            exim::read(message, context, draft);
        }
        b"dovecot" | b"dovecot-auth" | b"imap-login" | b"pop3-login" | b"managesieve-login"
        | b"submission-login" | b"lmtp-login" => {
            draft.linux("dovecot");
            dovecot::read(message, draft);
        }
        b"auth" | b"auth-worker" | b"info" => {
            if dovecot::read(message, draft) {
                draft.linux("dovecot");
            }
        }
        name if name == b"postfix" || name.starts_with(b"postfix-") => {
            draft.linux("postfix");
            postfix::read(message, draft);
        }
        _ => return false,
    }
    true
}

fn network<'a>(name: &[u8], message: &'a str, draft: &mut Draft<'a>) -> bool {
    match name {
        b"vsftpd" => {
            draft.linux("vsftpd");
            ftp::vsftpd(message, draft);
        }
        b"proftpd" => {
            draft.linux("proftpd");
            ftp::proftpd(message, draft);
        }
        b"pure-ftpd" => {
            draft.linux("pure-ftpd");
            ftp::pure_ftpd(message, draft);
        }
        b"named" => {
            draft.linux("named");
            named::read(message, draft);
        }
        b"smbd" | b"smb" | b"smbd_audit" => {
            draft.linux("smbd");
            network::smbd(message, draft);
        }
        b"dropbear" => {
            draft.linux("dropbear");
            network::dropbear(message, draft);
        }
        name if name == b"openvpn" || name.starts_with(b"ovpn-") => {
            draft.linux("openvpn");
            network::openvpn(message, draft);
        }
        _ => return false,
    }
    true
}

/// Programs that merely name their service, and forms that are told by themselves.
fn others<'a>(name: &[u8], message: &'a str, draft: &mut Draft<'a>) {
    if let Some(service) = service(name) {
        draft.linux(service);
        pam::read(message, draft);
    } else if named::read(message, draft) {
        draft.linux("named");
    } else if firewall::read(message, draft) {
        // Routers write the name of the rule where the kernel would stand.
        draft.source.product = Some("linux");
    } else {
        pam::read(message, draft);
    }
}

/// Whether the program is one whose name alone says whose line it is.
pub(crate) fn is_known(program: &str) -> bool {
    let mut buffer = [0; NAME_BYTES_MAX];
    let name = base_name(program, &mut buffer);
    let reads = matches!(
        name,
        b"sshd"
            | b"sudo"
            | b"cron"
            | b"crond"
            | b"kernel"
            | b"nginx"
            | b"apache2"
            | b"httpd"
            | b"dovecot"
            | b"dovecot-auth"
            | b"imap-login"
            | b"pop3-login"
            | b"auth-worker"
            | b"named"
            | b"pure-ftpd"
            | b"dropbear"
            | b"haproxy"
            | b"su"
            | b"postfix"
    );
    reads || service(name).is_some()
}

/// Reads a line that has no header of syslog and a form of its own: files of web, FTP, name and VPN
/// servers. False, with nothing written, where it is none of them.
pub(crate) fn bare<'a>(line: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let zone = context.zone;
    if line.starts_with('[') && errorlog::apache(line, zone, draft) {
        return true;
    }
    if line.starts_with("Auth: [") && network::smbd(line, draft) {
        draft.linux("smbd");
        return true;
    }
    if haproxy::read(line, zone, draft) || named::bare(line, zone, draft) {
        return true;
    }
    if network::is_dropbear(line) {
        draft.linux("dropbear");
        network::dropbear(line, draft);
        return true;
    }
    // `Fri Jan 19 12:20:33 2007 [pid 2] …`
    if let Some((at, rest)) = text::cut(line, " [pid ").filter(|(at, _)| at.len() <= 24) {
        let start = line.len() - rest.len() - "[pid ".len();
        if let Some(stamp) = errorlog::asctime(at, zone)
            && ftp::vsftpd_bare(line.get(start..).unwrap_or(""), draft)
        {
            draft.time = Some(stamp);
            return true;
        }
    }
    let Some((stamp, rest)) = time::iso_start(line, zone) else {
        return false;
    };
    // nginx writes slashes between the parts of a date.
    if line.as_bytes().get(4) == Some(&b'/') && errorlog::nginx(line, zone, draft) {
        return true;
    }
    // Behind a header it is read with what the header says.
    if text::cut(rest, " exim[").is_none() && exim::read(line, context, draft) {
        draft.linux("exim");
        return true;
    }
    if network::is_openvpn(rest) && network::openvpn(rest, draft) {
        draft.linux("openvpn");
        draft.time = Some(stamp);
        return true;
    }
    false
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
        b"dnsmasq" => "dnsmasq",
        b"gdm-password" => "gdm-password",
        _ => return None,
    })
}
