//! Classes of the Open Cybersecurity Schema Framework: version 1.6, with the Windows extension, whose
//! number is 2.

use std::borrow::Cow;

use weir_schema::{Event, OcsfClass, Value};

const fn class(uid: u32, name: &'static str) -> OcsfClass {
    OcsfClass { uid, name }
}

const FILE: OcsfClass = class(1001, "File System Activity");
const KERNEL_EXTENSION: OcsfClass = class(1002, "Kernel Extension Activity");
const MODULE: OcsfClass = class(1005, "Module Activity");
const JOB: OcsfClass = class(1006, "Scheduled Job Activity");
const PROCESS: OcsfClass = class(1007, "Process Activity");
const EVENT_LOG: OcsfClass = class(1008, "Event Log Activity");
const SCRIPT: OcsfClass = class(1009, "Script Activity");
const FINDING: OcsfClass = class(2004, "Detection Finding");
const ACCOUNT: OcsfClass = class(3001, "Account Change");
const AUTHENTICATION: OcsfClass = class(3002, "Authentication");
const SESSION: OcsfClass = class(3003, "Authorize Session");
const ENTITY: OcsfClass = class(3004, "Entity Management");
const USER_ACCESS: OcsfClass = class(3005, "User Access Management");
const GROUP: OcsfClass = class(3006, "Group Management");
const NETWORK: OcsfClass = class(4001, "Network Activity");
const HTTP: OcsfClass = class(4002, "HTTP Activity");
const DNS: OcsfClass = class(4003, "DNS Activity");
const DHCP: OcsfClass = class(4004, "DHCP Activity");
const RDP: OcsfClass = class(4005, "RDP Activity");
const SMB: OcsfClass = class(4006, "SMB Activity");
const SSH: OcsfClass = class(4007, "SSH Activity");
const FTP: OcsfClass = class(4008, "FTP Activity");
const EMAIL: OcsfClass = class(4009, "Email Activity");
const NTP: OcsfClass = class(4013, "NTP Activity");
const TUNNEL: OcsfClass = class(4014, "Tunnel Activity");
const LIFECYCLE: OcsfClass = class(6002, "Application Lifecycle");
const API: OcsfClass = class(6003, "API Activity");
const REGISTRY_KEY: OcsfClass = class(201_001, "Registry Key Activity");
const REGISTRY_VALUE: OcsfClass = class(201_002, "Registry Value Activity");
const SERVICE: OcsfClass = class(201_004, "Windows Service Activity");

/// Returns the class of an event; `None` if its source is unknown or no class fits.
#[must_use]
pub fn ocsf_class(event: &Event<'_>) -> Option<OcsfClass> {
    let logsource = &event.logsource;
    let service = logsource.service.as_deref();
    match logsource.category.as_deref() {
        Some("dhcp") => return event.get("action").map(|_| DHCP),
        Some("dns") if event.get("query").is_some() && event.get("Channel").is_none() => {
            return Some(DNS);
        }
        _ => {}
    }
    match logsource.product.as_deref() {
        Some("windows") => windows(event),
        Some("zeek") => zeek(service?, event),
        Some("aws") if service == Some("cloudtrail") => Some(cloudtrail(event)),
        Some("azure") if service == Some("signinlogs") => Some(AUTHENTICATION),
        Some("okta") => Some(okta(event)),
        Some("m365") if is_login_to_m365(event) => Some(AUTHENTICATION),
        Some("suricata") => Some(suricata(event)),
        Some("aws" | "azure" | "gcp" | "github" | "kubernetes" | "m365") => Some(API),
        Some("cisco") => cisco(event),
        Some(
            "fortigate" | "sonicwall" | "sophos" | "watchguard" | "aruba" | "paloalto"
            | "checkpoint" | "juniper" | "mikrotik" | "citrix",
        ) if is(event, "action", "login") => Some(AUTHENTICATION),
        Some("apache" | "nginx" | "haproxy") => web(event),
        _ if service == Some("auditd") => audit(event),
        _ if event.get("Channel").is_some() => windows(event),
        _ if logsource.category.as_deref() == Some("webserver") => Some(HTTP),
        _ if logsource.category.as_deref() == Some("firewall") => Some(NETWORK),
        Some("linux") => linux(service?, event),
        _ => None,
    }
}

fn text<'e>(event: &'e Event<'_>, name: &str) -> Option<Cow<'e, str>> {
    event.get(name).and_then(Value::as_text)
}

fn is(event: &Event<'_>, name: &str, value: &str) -> bool {
    text(event, name).is_some_and(|text| text.eq_ignore_ascii_case(value))
}

fn windows(event: &Event<'_>) -> Option<OcsfClass> {
    let Some(Value::Int(id)) = event.get("EventID") else {
        return None;
    };
    let channel = text(event, "Channel")?;
    let channel = channel.as_ref();
    let ends = |end: &str| {
        let from = channel.len().checked_sub(end.len());
        from.and_then(|from| channel.get(from..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    if ends("Sysmon/Operational") {
        sysmon(*id, event)
    } else if ends("Security") {
        security(*id, event)
    } else if ends("PowerShell/Operational") || ends("Windows PowerShell") {
        matches!(id, 400 | 600 | 800 | 4103..=4106).then_some(SCRIPT)
    } else if ends("Windows Defender/Operational") {
        matches!(id, 1006..=1008 | 1015..=1019 | 1116..=1119).then_some(FINDING)
    } else if ends("TaskScheduler/Operational") {
        matches!(id, 100..=203).then_some(JOB)
    } else if ends("Bits-Client/Operational") {
        match id {
            59..=61 => Some(HTTP),
            3..=5 | 306 | 310 => Some(JOB),
            _ => None,
        }
    } else if ends("RdpCoreTS/Operational") || ends("RemoteConnectionManager/Operational") {
        matches!(id, 131 | 140 | 261 | 1149).then_some(RDP)
    } else if ends("LocalSessionManager/Operational") {
        matches!(id, 21..=25 | 39..=42).then_some(AUTHENTICATION)
    } else if ends("System") {
        match id {
            7000 | 7009 | 7023 | 7024 | 7026 | 7031 | 7034..=7036 | 7040 | 7045 => Some(SERVICE),
            104 => Some(EVENT_LOG),
            _ => None,
        }
    } else {
        None
    }
}

/// Event ids of Sysmon. Pipes (17, 18), WMI (19 to 21) and the clipboard (24) have no class.
fn sysmon(id: i64, event: &Event<'_>) -> Option<OcsfClass> {
    Some(match id {
        1 | 5 | 8 | 10 | 25 => PROCESS,
        2 | 9 | 11 | 15 | 23 | 26..=29 => FILE,
        3 => NETWORK,
        6 => KERNEL_EXTENSION,
        7 => MODULE,
        12 if is(event, "EventType", "DeleteValue") => REGISTRY_VALUE,
        12 | 14 => REGISTRY_KEY,
        13 => REGISTRY_VALUE,
        22 => DNS,
        _ => return None,
    })
}

/// Event ids of the Security log.
fn security(id: i64, event: &Event<'_>) -> Option<OcsfClass> {
    Some(match id {
        4624..=4626 | 4634 | 4647..=4649 | 4768..=4773 | 4776 | 4778 | 4779 | 4800..=4803 => {
            AUTHENTICATION
        }
        4627 | 4672 | 4964 => SESSION,
        4688 | 4689 | 4696 => PROCESS,
        4656 | 4658 | 4660 | 4663 | 4670 => return object(event),
        4657 => REGISTRY_VALUE,
        4697 => SERVICE,
        4698..=4702 => JOB,
        4703..=4705 | 4717 | 4718 => USER_ACCESS,
        4720 | 4722..=4726 | 4738 | 4740 | 4767 | 4781 => ACCOUNT,
        4727..=4735 | 4737 | 4744..=4764 | 4799 => GROUP,
        4661 | 4662 | 4741..=4743 | 5136..=5139 | 5141 => ENTITY,
        5140 | 5142..=5145 => SMB,
        5152..=5159 => NETWORK,
        1102 | 1100 | 1104 => EVENT_LOG,
        _ => return None,
    })
}

/// Returns the class of access to a Windows object, by the type of the object.
fn object(event: &Event<'_>) -> Option<OcsfClass> {
    match text(event, "ObjectType")?.as_ref() {
        "File" | "Directory" => Some(FILE),
        "Key" => Some(REGISTRY_KEY),
        "Process" => Some(PROCESS),
        "SC_MANAGER OBJECT" | "SERVICE OBJECT" => Some(SERVICE),
        _ => None,
    }
}

fn zeek(path: &str, event: &Event<'_>) -> Option<OcsfClass> {
    Some(match path {
        "dns" => DNS,
        "http" => HTTP,
        "ssh" => SSH,
        "rdp" => RDP,
        "dhcp" => DHCP,
        "ftp" => FTP,
        "smtp" => EMAIL,
        "ntp" => NTP,
        "tunnel" => TUNNEL,
        "kerberos" | "ntlm" | "radius" => AUTHENTICATION,
        "notice" | "intel" | "signatures" => FINDING,
        path if path.starts_with("smb_") => SMB,
        _ if event.get("id.orig_h").is_some() => NETWORK,
        _ => return None,
    })
}

fn cloudtrail(event: &Event<'_>) -> OcsfClass {
    let is_sign_in = is(event, "eventSource", "signin.amazonaws.com");
    let assumes_role = text(event, "eventName").is_some_and(|name| {
        matches!(
            name.as_ref(),
            "AssumeRole" | "AssumeRoleWithSAML" | "AssumeRoleWithWebIdentity" | "GetSessionToken"
        )
    });
    if is_sign_in || assumes_role {
        AUTHENTICATION
    } else {
        API
    }
}

fn okta(event: &Event<'_>) -> OcsfClass {
    let kind = text(event, "eventType").unwrap_or_default();
    if kind.starts_with("user.authentication") || kind.starts_with("user.session") {
        AUTHENTICATION
    } else if kind.starts_with("group.") {
        GROUP
    } else if kind.starts_with("user.") {
        ACCOUNT
    } else {
        API
    }
}

fn cisco(event: &Event<'_>) -> Option<OcsfClass> {
    if is(event, "action", "login") {
        return Some(AUTHENTICATION);
    }
    let has_endpoints = event.get("src_ip").is_some() && event.get("dst_ip").is_some();
    has_endpoints.then_some(NETWORK)
}

/// Returns whether a record of Microsoft 365 is about a login: `UserLoggedIn`, `UserLoginFailed`.
fn is_login_to_m365(event: &Event<'_>) -> bool {
    text(event, "Operation").is_some_and(|operation| operation.starts_with("UserLog"))
}

fn suricata(event: &Event<'_>) -> OcsfClass {
    match text(event, "event_type").as_deref() {
        Some("alert") => FINDING,
        Some("dns") => DNS,
        Some("http") => HTTP,
        Some("ssh") => SSH,
        Some("smtp") => EMAIL,
        Some("smb") => SMB,
        Some("dhcp") => DHCP,
        Some("rdp") => RDP,
        Some("ftp") => FTP,
        _ => NETWORK,
    }
}

fn web(event: &Event<'_>) -> Option<OcsfClass> {
    if is(event, "action", "login") {
        return Some(AUTHENTICATION);
    }
    let is_http = event.get("c-ip").is_some();
    let has_source = event.get("src_ip").is_some();
    is_http.then_some(HTTP).or(has_source.then_some(NETWORK))
}

fn audit(event: &Event<'_>) -> Option<OcsfClass> {
    Some(match text(event, "type")?.as_ref() {
        "EXECVE" | "USER_CMD" | "PROCTITLE" => PROCESS,
        "SYSCALL" if starts_process(event) => PROCESS,
        "PATH" | "CWD" => FILE,
        "SOCKADDR" => NETWORK,
        "KERN_MODULE" => KERNEL_EXTENSION,
        "USER_LOGIN" | "USER_AUTH" | "USER_LOGOUT" | "LOGIN" | "CRED_ACQ" | "USER_ERR" => {
            AUTHENTICATION
        }
        "USER_START" | "USER_END" => SESSION,
        "ADD_USER" | "DEL_USER" | "USER_CHAUTHTOK" | "USER_MGMT" | "ACCT_LOCK" => ACCOUNT,
        "ADD_GROUP" | "DEL_GROUP" | "GRP_MGMT" => GROUP,
        "SERVICE_START" | "SERVICE_STOP" => LIFECYCLE,
        "DAEMON_START" | "DAEMON_END" | "DAEMON_ABORT" | "CONFIG_CHANGE" => EVENT_LOG,
        _ => return None,
    })
}

fn starts_process(event: &Event<'_>) -> bool {
    let call = text(event, "syscall").or_else(|| text(event, "SYSCALL"));
    call.is_some_and(|call| matches!(call.as_ref(), "execve" | "execveat" | "59" | "322"))
}

fn linux(service: &str, event: &Event<'_>) -> Option<OcsfClass> {
    let action = text(event, "action");
    match action.as_deref() {
        Some("login" | "session_open" | "session_close" | "su") => return Some(AUTHENTICATION),
        Some("password_change") => return Some(ACCOUNT),
        Some("upload" | "download" | "delete" | "mkdir") => return Some(FTP),
        _ => {}
    }
    Some(match service {
        "sshd" | "dropbear" if action.is_some() => SSH,
        "sudo" if action.is_some() => PROCESS,
        "cron" | "anacron" | "atd" if action.is_some() => JOB,
        "postfix" | "exim" if action.is_some() => EMAIL,
        "named" if event.get("query").is_some() => DNS,
        "vsftpd" | "proftpd" | "pure-ftpd" if action.is_some() => FTP,
        "smbd" if action.is_some() => SMB,
        "openvpn" if event.get("src_ip").is_some() => TUNNEL,
        "useradd" | "userdel" | "usermod" | "passwd" | "chpasswd" => ACCOUNT,
        "groupadd" | "groupdel" | "groupmod" => GROUP,
        "systemd" => LIFECYCLE,
        _ => return None,
    })
}
