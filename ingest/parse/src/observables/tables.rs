//! The tables of fields that hold observables: one per source, with kind and role of each field.
//!
//! A row is `(field, kind, role, form)`. The rows of a table are sorted by field name, and names are
//! unique. To add a field, add a row. To add a source, add a table and a variant of [`FieldNaming`].

use weir_schema::ObservableKind::{
    Domain, Email, File, Hash, Host, Ip, Port, Process, RegistryKey, Resource, Url, User, UserAgent,
};
use weir_schema::Role::{Actor, Device, Parent, Source as From, Target};
use weir_schema::{Event, ObservableKind, Role, Value};

/// The notation of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueForm {
    /// The observable itself.
    Plain,
    /// The observable itself, if it can be the name of a user.
    Name,
    /// `MD5=…,SHA256=…`
    Hashes,
    /// The first argument of an `EXECVE` record. In other audit records it is a number.
    ExecArgument,
    /// A command. Its first word is the observable if it is a path.
    Command,
    /// DNS answers as Sysmon writes them.
    DnsAnswers,
    /// A Windows object, whose kind is in the field `ObjectType`.
    WindowsObject,
}

/// A row: a field that holds an observable.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObservableField {
    pub name: &'static str,
    pub kind: ObservableKind,
    pub role: Role,
    pub form: ValueForm,
}

const fn row(name: &'static str, kind: ObservableKind, role: Role) -> ObservableField {
    row_with_form(name, kind, role, ValueForm::Plain)
}

const fn row_with_form(
    name: &'static str,
    kind: ObservableKind,
    role: Role,
    form: ValueForm,
) -> ObservableField {
    ObservableField {
        name,
        kind,
        role,
        form,
    }
}

/// The source whose field names an event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldNaming {
    /// The Windows event log, and Sysmon wherever it runs.
    Windows,
    Zeek,
    CloudTrail,
    Auditd,
    /// The names that Weir gives to the fields of lines, and common names of other sources.
    Common,
}

impl FieldNaming {
    pub fn of(event: &Event<'_>) -> Self {
        let logsource = &event.logsource;
        match (logsource.product.as_deref(), logsource.service.as_deref()) {
            // Text logs of Windows' servers, whose fields Weir names.
            (Some("windows"), Some("dhcp-server" | "dns-server"))
                if event.get("EventID").is_none() =>
            {
                Self::Common
            }
            (Some("windows"), _) => Self::Windows,
            (Some("zeek"), _) => Self::Zeek,
            (Some("aws"), Some("cloudtrail")) => Self::CloudTrail,
            (_, Some("auditd")) => Self::Auditd,
            _ if event.get("Channel").is_some() && event.get("EventID").is_some() => Self::Windows,
            _ => Self::Common,
        }
    }
}

/// Returns the row of a field.
pub(super) fn field(
    naming: FieldNaming,
    event: &Event<'_>,
    name: &str,
) -> Option<&'static ObservableField> {
    let table: &[ObservableField] = match naming {
        FieldNaming::Windows if starts_process(event) => {
            return find(&PROCESS_START, name).or_else(|| find(&WINDOWS, name));
        }
        FieldNaming::Windows => &WINDOWS,
        FieldNaming::Zeek => &ZEEK,
        FieldNaming::CloudTrail => &CLOUDTRAIL,
        FieldNaming::Auditd => &AUDITD,
        FieldNaming::Common => &COMMON,
    };
    find(table, name)
}

/// Returns the row of a field of the common names.
pub(super) fn common(name: &str) -> Option<&'static ObservableField> {
    find(&COMMON, name)
}

/// Returns whether any table has a row of this name.
pub(super) fn is_known(name: &str) -> bool {
    let tables: [&[ObservableField]; 5] = [&COMMON, &WINDOWS, &ZEEK, &CLOUDTRAIL, &AUDITD];
    tables.into_iter().any(|table| find(table, name).is_some())
}

fn find(table: &'static [ObservableField], name: &str) -> Option<&'static ObservableField> {
    let at = table.binary_search_by(|field| field.name.cmp(name)).ok()?;
    table.get(at)
}

fn starts_process(event: &Event<'_>) -> bool {
    matches!(event.get("EventID"), Some(Value::Int(1 | 4688)))
}

/// Fields that name the started process. It is the target, and the process that started it is the
/// parent.
const PROCESS_START: [ObservableField; 3] = [
    row("Image", Process, Target),
    row("NewProcessName", Process, Target),
    row("TargetUserName", User, Target),
];

/// Names of event data, as Microsoft documents them for Sysmon and the Security log.
const WINDOWS: [ObservableField; 61] = [
    row("AccountName", User, Target),
    row("Address", Ip, From),
    row("Application", Process, Actor),
    row("ClientAddress", Ip, From),
    row("ClientIP", Ip, From),
    row("ClientName", Host, From),
    row("Computer", Host, Device),
    row("DestAddress", Ip, Target),
    row("DestPort", Port, Target),
    row("DestinationHostname", Domain, Target),
    row("DestinationIp", Ip, Target),
    row("DestinationPort", Port, Target),
    row_with_form("Hash", Hash, Target, ValueForm::Hashes),
    row_with_form("Hashes", Hash, Target, ValueForm::Hashes),
    row("HostApplication", Process, Actor),
    row("Image", Process, Actor),
    row("ImageLoaded", File, Target),
    row("ImagePath", File, Target),
    row("IpAddress", Ip, From),
    row("IpPort", Port, From),
    row_with_form("MD5", Hash, Target, ValueForm::Hashes),
    row("MemberName", User, Target),
    row("NewProcessName", Process, Target),
    row("NewTargetUserName", User, Target),
    row_with_form("ObjectName", File, Target, ValueForm::WindowsObject),
    row("OldTargetUserName", User, Target),
    row("OriginalFileName", File, Target),
    row("ParentImage", Process, Parent),
    row("ParentProcessName", Process, Parent),
    row("ParentUser", User, Parent),
    row("Path", File, Target),
    row("ProcessName", Process, Actor),
    row("QueryName", Domain, Target),
    row_with_form("QueryResults", Domain, Target, ValueForm::DnsAnswers),
    row("RelativeTargetName", File, Target),
    row_with_form("SHA1", Hash, Target, ValueForm::Hashes),
    row_with_form("SHA256", Hash, Target, ValueForm::Hashes),
    row("SamAccountName", User, Target),
    row("ScriptName", File, Target),
    row("ServiceFileName", File, Target),
    row("ShareName", Resource, Target),
    row("SourceAddress", Ip, From),
    row("SourceHostname", Host, From),
    row("SourceImage", Process, Actor),
    row("SourceIp", Ip, From),
    row("SourcePort", Port, From),
    row("SourceUser", User, Actor),
    row("SubjectUserName", User, Actor),
    row("TargetFilename", File, Target),
    row("TargetImage", Process, Target),
    row("TargetObject", RegistryKey, Target),
    row("TargetServerName", Host, Target),
    row("TargetUser", User, Target),
    row("TargetUserName", User, Target),
    row("User", User, Actor),
    row("UserName", User, Actor),
    row("Workstation", Host, From),
    row("WorkstationName", Host, From),
    row("host", Host, Device),
    row("url", Url, Target),
    row("user", User, Actor),
];

/// Columns of Zeek's logs.
const ZEEK: [ObservableField; 44] = [
    row("answers", Domain, Target),
    row("assigned_addr", Ip, Target),
    row("client", User, Actor),
    row("client_addr", Ip, From),
    row("client_fqdn", Domain, From),
    row("client_name", Host, From),
    row("cookie", User, Actor),
    row("dst", Ip, Target),
    row("extracted", File, Target),
    row("filename", File, Target),
    row("helo", Domain, From),
    row("host", Domain, Target),
    row("host_name", Host, From),
    row("hostname", Host, From),
    row("id.orig_h", Ip, From),
    row("id.orig_p", Port, From),
    row("id.resp_h", Ip, Target),
    row("id.resp_p", Port, Target),
    row("mailfrom", Email, From),
    row("md5", Hash, Target),
    row("name", File, Target),
    row("orig_filenames", File, Target),
    row("path", Resource, Target),
    row("query", Domain, Target),
    row("rcptto", Email, Target),
    row("referrer", Url, From),
    row("requested_addr", Ip, Target),
    row("resp_filenames", File, Target),
    row("rx_hosts", Ip, Target),
    row("san.dns", Domain, Target),
    row("san.email", Email, Target),
    row("san.ip", Ip, Target),
    row("san.uri", Url, Target),
    row("seen.host", Ip, Target),
    row("server_addr", Ip, Target),
    row("server_dns_computer_name", Host, Target),
    row("server_name", Domain, Target),
    row("sha1", Hash, Target),
    row("sha256", Hash, Target),
    row("src", Ip, From),
    row("tx_hosts", Ip, From),
    row("user", User, Actor),
    row("user_agent", UserAgent, From),
    row("username", User, Actor),
];

/// Fields of CloudTrail records.
const CLOUDTRAIL: [ObservableField; 22] = [
    row("recipientAccountId", Resource, Device),
    row("requestParameters.accessKeyId", Resource, Target),
    row("requestParameters.bucketName", Resource, Target),
    row("requestParameters.dBInstanceIdentifier", Resource, Target),
    row("requestParameters.functionName", Resource, Target),
    row("requestParameters.groupId", Resource, Target),
    row("requestParameters.groupName", Resource, Target),
    row("requestParameters.instanceId", Resource, Target),
    row("requestParameters.key", File, Target),
    row("requestParameters.keyId", Resource, Target),
    row("requestParameters.name", Resource, Target),
    row("requestParameters.policyArn", Resource, Target),
    row("requestParameters.roleArn", Resource, Target),
    row("requestParameters.roleName", Resource, Target),
    row("requestParameters.secretId", Resource, Target),
    row("requestParameters.snapshotId", Resource, Target),
    row("requestParameters.userName", User, Target),
    row("sourceIPAddress", Ip, From),
    row("userAgent", UserAgent, From),
    row("userIdentity.arn", User, Actor),
    row(
        "userIdentity.sessionContext.sessionIssuer.userName",
        User,
        Actor,
    ),
    row("userIdentity.userName", User, Actor),
];

/// Fields of Linux audit records.
const AUDITD: [ObservableField; 13] = [
    row("AUID", User, Actor),
    row("UID", User, Actor),
    row_with_form("a0", Process, Target, ValueForm::ExecArgument),
    row("acct", User, Target),
    row("addr", Ip, From),
    row("exe", Process, Actor),
    row("host", Host, Device),
    row("hostname", Host, From),
    row("laddr", Ip, From),
    row("name", File, Target),
    row("node", Host, Device),
    row("path", File, Target),
    row("user", User, Actor),
];

/// Names that Weir gives to the fields of lines, names of CEF and LEEF, and common names of other
/// vendors.
const COMMON: [ObservableField; 55] = [
    row("by_user", User, Actor),
    row("c-ip", Ip, From),
    row_with_form("command", Process, Target, ValueForm::Command),
    row("cs-host", Domain, Target),
    row("cs-referer", Url, From),
    row("cs-uri", Url, Target),
    row("cs-user-agent", UserAgent, From),
    row("cs-username", User, Actor),
    row("dhost", Host, Target),
    row("dpt", Port, Target),
    row("dst", Ip, Target),
    row("dstPort", Port, Target),
    row("dst_ip", Ip, Target),
    row("dst_port", Port, Target),
    row("dstip", Ip, Target),
    row("dstport", Port, Target),
    row("duser", User, Target),
    row("dvchost", Host, Device),
    row("email", Email, Actor),
    row("fileHash", Hash, Target),
    row("filePath", File, Target),
    row("fname", File, Target),
    row("from", Email, From),
    row("host", Host, Device),
    row("hostname", Host, Device),
    row("md5", Hash, Target),
    row("path", File, Target),
    row("query", Domain, Target),
    row("remote_addr", Ip, From),
    row("remote_ip", Ip, From),
    row("request", Url, Target),
    row("requestClientApplication", UserAgent, From),
    row("rhost", Host, From),
    row("sha1", Hash, Target),
    row("sha256", Hash, Target),
    row("shost", Host, From),
    row("source_ip", Ip, From),
    row("sproc", Process, Actor),
    row("spt", Port, From),
    row("src", Ip, From),
    row("srcPort", Port, From),
    row("src_host", Host, From),
    row("src_ip", Ip, From),
    row("src_port", Port, From),
    row("srcip", Ip, From),
    row("srcport", Port, From),
    row("suser", User, Actor),
    row("target_user", User, Target),
    row("to", Email, Target),
    row("url", Url, Target),
    row("user", User, Actor),
    row("user_agent", UserAgent, From),
    row("user_name", User, Actor),
    row("username", User, Actor),
    row("usrName", User, Actor),
];

#[cfg(test)]
mod tests {
    use super::{AUDITD, CLOUDTRAIL, COMMON, PROCESS_START, WINDOWS, ZEEK};

    #[test]
    fn rows_are_sorted_and_names_unique() {
        let tables: [&[super::ObservableField]; 6] = [
            &PROCESS_START,
            &WINDOWS,
            &ZEEK,
            &CLOUDTRAIL,
            &AUDITD,
            &COMMON,
        ];
        for table in tables {
            for pair in table.windows(2) {
                let (a, b) = (pair[0].name, pair[1].name);
                assert!(a < b, "`{a}` precedes `{b}`");
            }
        }
    }
}
