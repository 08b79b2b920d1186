//! Readers of programs' messages, and the programs whose name alone determines the log source.
//!
//! Weir never guesses a log source. Only the programs listed here get the product `linux` and a
//! service, and only a message in the form of a category gets that category.

pub(crate) mod access;
mod account;
pub(crate) mod appliance;
pub(crate) mod audit;
pub(crate) mod cisco;
mod cron;
pub(crate) mod csv;
pub(crate) mod dhcp;
pub(crate) mod dns;
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
pub(crate) mod text;
pub(crate) mod vendor;

use crate::Context;
use crate::draft::Draft;
use crate::time;

/// Longest program name that is listed here.
const NAME_BYTES_MAX: usize = 24;

/// Reads the message of `program`, if the program or the form of the message is known.
pub(crate) fn read_message<'a>(
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
            draft.set_linux_service("sshd");
            sshd::read(message, draft);
        }
        b"sudo" => {
            draft.set_linux_service("sudo");
            sudo::read(message, draft);
        }
        b"cron" | b"crond" | b"crontab" => {
            draft.set_linux_service("cron");
            cron::read(message, draft);
        }
        b"kernel" => {
            draft.set_linux_service("kernel");
            firewall::read(message, draft);
        }
        b"su" | b"su-l" => {
            draft.set_linux_service("su");
            su::read(message, draft);
        }
        // OPNsense has a program of the same name.
        b"audit" if appliance::read_web_login(message, draft) => {}
        b"auditd" | b"audispd" | b"audit" => {
            draft.set_linux_service("auditd");
            audit::read(message, draft);
        }
        name => {
            let is_read = read_web(name, message, context, draft)
                || read_mail(name, message, context, draft)
                || read_network(name, message, draft)
                || dhcp::read_program(name, message, draft)
                || dns::read_program(name, message, draft)
                || appliance::read_program(name, message, draft);
            if !is_read {
                read_other(name, message, draft);
            }
        }
    }
}

/// Adds what the JSON object says that a program writes in place of its message.
pub(crate) fn read_json<'a>(program: Option<&str>, object: &Draft<'a>, draft: &mut Draft<'a>) {
    if program == Some("sudo") {
        sudo::read_json(object, draft);
    }
}

fn read_web<'a>(
    name: &[u8],
    message: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    let zone = context.zone;
    match name {
        b"nginx" => {
            draft.logsource.product = Some("nginx");
            // The name appears twice if both the server and the forwarder of its file write it.
            let inner =
                text::split_at_first(message, "nginx: ").map_or(message, |(_, inner)| inner);
            let _ = access::read(message, zone, draft) || errorlog::read_nginx(inner, zone, draft);
        }
        b"apache" | b"apache2" | b"httpd" => {
            draft.logsource.product = Some("apache");
            let _ =
                access::read(message, zone, draft) || errorlog::read_apache(message, zone, draft);
        }
        b"haproxy" => {
            draft.logsource.product = Some("haproxy");
            haproxy::read(message, zone, draft);
        }
        _ => return false,
    }
    true
}

fn read_mail<'a>(
    name: &[u8],
    message: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    match name {
        b"exim" | b"exim4" => {
            draft.set_linux_service("exim");
            exim::read(message, context, draft);
        }
        b"dovecot" | b"dovecot-auth" | b"imap-login" | b"pop3-login" | b"managesieve-login"
        | b"submission-login" | b"lmtp-login" => {
            draft.set_linux_service("dovecot");
            dovecot::read(message, draft);
        }
        b"auth" | b"auth-worker" | b"info" => {
            if dovecot::read(message, draft) {
                draft.set_linux_service("dovecot");
            }
        }
        name if name == b"postfix" || name.starts_with(b"postfix-") => {
            draft.set_linux_service("postfix");
            postfix::read(message, draft);
        }
        _ => return false,
    }
    true
}

fn read_network<'a>(name: &[u8], message: &'a str, draft: &mut Draft<'a>) -> bool {
    match name {
        b"vsftpd" => {
            draft.set_linux_service("vsftpd");
            ftp::read_vsftpd(message, draft);
        }
        b"proftpd" => {
            draft.set_linux_service("proftpd");
            ftp::read_proftpd(message, draft);
        }
        b"pure-ftpd" => {
            draft.set_linux_service("pure-ftpd");
            ftp::read_pure_ftpd(message, draft);
        }
        b"named" => {
            draft.set_linux_service("named");
            named::read(message, draft);
        }
        b"smbd" | b"smb" | b"smbd_audit" => {
            draft.set_linux_service("smbd");
            network::read_smbd(message, draft);
        }
        b"dropbear" => {
            draft.set_linux_service("dropbear");
            network::read_dropbear(message, draft);
        }
        name if name == b"openvpn" || name.starts_with(b"ovpn-") => {
            draft.set_linux_service("openvpn");
            network::read_openvpn(message, draft);
        }
        _ => return false,
    }
    true
}

/// Reads messages of programs that only determine the service, and forms that any program may write.
fn read_other<'a>(name: &[u8], message: &'a str, draft: &mut Draft<'a>) {
    if let Some(service) = service(name) {
        draft.set_linux_service(service);
        let _ = pam::read(message, draft) || account::read(message, draft);
    } else if named::read(message, draft) {
        draft.set_linux_service("named");
    } else if appliance::aruba::read(message, draft) {
    } else if firewall::read(message, draft) {
        // Routers write the name of the rule in place of `kernel`.
        draft.logsource.product = Some("linux");
    } else {
        pam::read(message, draft);
    }
}

/// Returns whether the name of the program alone identifies its lines.
pub(crate) fn is_known_program(program: &str) -> bool {
    let mut buffer = [0; NAME_BYTES_MAX];
    let name = base_name(program, &mut buffer);
    let has_reader = matches!(
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
            | b"dhcpd"
            | b"dnsmasq"
            | b"dnsmasq-dhcp"
            | b"unbound"
            | b"kea-dhcp4"
            | b"kea-dhcp6"
            | b"pure-ftpd"
            | b"dropbear"
            | b"haproxy"
            | b"su"
            | b"postfix"
    );
    has_reader || service(name).is_some()
}

/// Reads a line of a log file that has no syslog header: those of web, FTP, name and VPN servers.
/// Returns false, with nothing changed, for other lines.
pub(crate) fn read_bare_line<'a>(
    line: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    let zone = context.zone;
    if line.starts_with('[') && errorlog::read_apache(line, zone, draft) {
        return true;
    }
    if line.starts_with("Auth: [") && network::read_smbd(line, draft) {
        draft.set_linux_service("smbd");
        return true;
    }
    if line.starts_with('[') && dns::read_bare_line(line, draft)
        || dhcp::read_bare_line(line, context, draft)
    {
        return true;
    }
    if haproxy::read(line, zone, draft) || named::read_bare_line(line, zone, draft) {
        return true;
    }
    if network::is_dropbear(line) {
        draft.set_linux_service("dropbear");
        network::read_dropbear(line, draft);
        return true;
    }
    // `Fri Jan 19 12:20:33 2007 [pid 2] …`
    if let Some((at, rest)) = text::split_at_first(line, " [pid ").filter(|(at, _)| at.len() <= 24)
    {
        let start = line.len() - rest.len() - "[pid ".len();
        if let Some(time) = errorlog::asctime(at, zone)
            && ftp::read_vsftpd_bare_line(line.get(start..).unwrap_or(""), draft)
        {
            draft.time = Some(time);
            return true;
        }
    }
    let Some((time, rest)) = time::iso_start(line, zone) else {
        return false;
    };
    // Only nginx separates the parts of a date with slashes.
    if line.as_bytes().get(4) == Some(&b'/') && errorlog::read_nginx(line, zone, draft) {
        return true;
    }
    // A line with a header is read later, with the fields of the header.
    if text::split_at_first(rest, " exim[").is_none() && exim::read(line, context, draft) {
        draft.set_linux_service("exim");
        return true;
    }
    if network::is_openvpn(rest) && network::read_openvpn(rest, draft) {
        draft.set_linux_service("openvpn");
        draft.time = Some(time);
        return true;
    }
    false
}

/// Returns the program's name in lower case, without the folder (`/usr/sbin/cron`), the component
/// (`postfix/smtpd`) or the module (`su(pam_unix)`).
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

/// Returns the Linux service of a program whose messages have no reader.
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
        b"gdm-password" => "gdm-password",
        _ => return None,
    })
}
