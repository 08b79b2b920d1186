//! Observables by name: what a field of any vendor's record holds, by the last parts of its path.
//!
//! `client.ipAddress`, `CallerIpAddress` and `source-address` are all the address of whoever acted. The
//! case, `_` and `-` do not matter. A name such as `ip`, `name` or `port` says nothing alone; the part
//! before it does (`destination.ip`, `user.name`).

use weir_schema::ObservableKind::{
    Domain, Email, File, Hash, Host, Ip, Port, Process, Url, User, UserAgent,
};
use weir_schema::Role::{Actor, Device, Parent, Source as From, Target};
use weir_schema::{ObservableKind, Role};

use super::tables::{ObservableField, ValueForm};

/// Longest name without separators.
const NAME_BYTES_MAX: usize = 28;

/// The meaning of the part of a path in front of a generic name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    /// No part, or one that says nothing.
    None,
    Source,
    Target,
    User,
    TargetUser,
    Device,
    Process,
    Parent,
    File,
    Url,
    UserAgent,
    Question,
    /// A shipper's own data.
    Shipper,
}

const fn row(
    name: &'static str,
    kind: ObservableKind,
    role: Role,
) -> (&'static str, ObservableField) {
    let form = match kind {
        Hash => ValueForm::Hashes,
        User => ValueForm::Name,
        _ => ValueForm::Plain,
    };
    let field = ObservableField {
        name,
        kind,
        role,
        form,
    };
    (name, field)
}

/// Names that say what they hold, without separators and in lower case, sorted.
const NAMES: [(&str, ObservableField); 147] = [
    row("accountname", User, Actor),
    row("actor", User, Actor),
    row("actorip", Ip, From),
    row("actoripaddress", Ip, From),
    row("adminuser", User, Actor),
    row("affecteduser", User, Target),
    row("alternateid", User, Actor),
    row("attackerip", Ip, From),
    row("caller", User, Actor),
    row("callerip", Ip, From),
    row("calleripaddress", Ip, From),
    row("clientaddr", Ip, From),
    row("clientaddress", Ip, From),
    row("clienthost", Host, From),
    row("clienthostname", Host, From),
    row("clientip", Ip, From),
    row("clientipaddress", Ip, From),
    row("clientport", Port, From),
    row("clientuseragent", UserAgent, From),
    row("computer", Host, Device),
    row("computername", Host, Device),
    row("destaddr", Ip, Target),
    row("desthost", Host, Target),
    row("destinationaddress", Ip, Target),
    row("destinationdomain", Domain, Target),
    row("destinationhost", Host, Target),
    row("destinationhostname", Host, Target),
    row("destinationip", Ip, Target),
    row("destinationipaddress", Ip, Target),
    row("destinationips", Ip, Target),
    row("destinationport", Port, Target),
    row("destinationuser", User, Target),
    row("destinationusername", User, Target),
    row("destip", Ip, Target),
    row("destport", Port, Target),
    row("destuser", User, Target),
    row("devicehostname", Host, Device),
    row("devicename", Host, Device),
    row("devname", Host, Device),
    row("dhost", Host, Target),
    row("dnsquery", Domain, Target),
    row("dpt", Port, Target),
    row("dstaddr", Ip, Target),
    row("dstaddress", Ip, Target),
    row("dsthost", Host, Target),
    row("dstip", Ip, Target),
    row("dstipaddr", Ip, Target),
    row("dstipv4", Ip, Target),
    row("dstipv6", Ip, Target),
    row("dstname", Host, Target),
    row("dstport", Port, Target),
    row("dstuser", User, Target),
    row("duser", User, Target),
    row("dvchost", Host, Device),
    row("emailaddress", Email, Actor),
    row("filehash", Hash, Target),
    row("filemd5", Hash, Target),
    row("filepath", File, Target),
    row("filesha1", Hash, Target),
    row("filesha256", Hash, Target),
    row("fromaddress", Email, From),
    row("fromip", Ip, From),
    row("fullurl", Url, Target),
    row("httpuseragent", UserAgent, From),
    row("impersonateduser", User, Target),
    row("imphash", Hash, Target),
    row("initiatorip", Ip, From),
    row("ipaddr", Ip, From),
    row("localip", Ip, Target),
    row("localport", Port, Target),
    row("locip", Ip, Target),
    row("locport", Port, Target),
    row("loginip", Ip, From),
    row("loginname", User, Actor),
    row("machinename", Host, Device),
    row("mailfrom", Email, From),
    row("md5", Hash, Target),
    row("originip", Ip, From),
    row("parentimage", Process, Parent),
    row("parentprocessname", Process, Parent),
    row("performedby", User, Actor),
    row("principalemail", User, Actor),
    row("processpath", Process, Actor),
    row("qname", Domain, Target),
    row("queryname", Domain, Target),
    row("rcptto", Email, Target),
    row("recipientaddress", Email, Target),
    row("recipients", Email, Target),
    row("referer", Url, From),
    row("referrer", Url, From),
    row("remip", Ip, From),
    row("remoteaddr", Ip, From),
    row("remoteaddress", Ip, From),
    row("remotehost", Host, From),
    row("remoteip", Ip, From),
    row("remoteipaddress", Ip, From),
    row("remoteport", Port, From),
    row("remport", Port, From),
    row("requesterip", Ip, From),
    row("requesturl", Url, Target),
    row("rrname", Domain, Target),
    row("samaccountname", User, Actor),
    row("senderaddress", Email, From),
    row("serveraddress", Ip, Target),
    row("serverip", Ip, Target),
    row("serverport", Port, Target),
    row("sha1", Hash, Target),
    row("sha256", Hash, Target),
    row("sha512", Hash, Target),
    row("shost", Host, From),
    row("sni", Domain, Target),
    row("sourceaddr", Ip, From),
    row("sourceaddress", Ip, From),
    row("sourcehost", Host, From),
    row("sourcehostname", Host, From),
    row("sourceip", Ip, From),
    row("sourceipaddress", Ip, From),
    row("sourceips", Ip, From),
    row("sourceport", Port, From),
    row("sourceuser", User, Actor),
    row("sourceusername", User, Actor),
    row("spt", Port, From),
    row("srcaddr", Ip, From),
    row("srcaddress", Ip, From),
    row("srchost", Host, From),
    row("srcip", Ip, From),
    row("srcipaddr", Ip, From),
    row("srcipv4", Ip, From),
    row("srcipv6", Ip, From),
    row("srcport", Port, From),
    row("srcuser", User, Actor),
    row("suser", User, Actor),
    row("targethost", Host, Target),
    row("targethostname", Host, Target),
    row("targetip", Ip, Target),
    row("targetupn", User, Target),
    row("targetuser", User, Target),
    row("targetusername", User, Target),
    row("targetuserprincipalname", User, Target),
    row("upn", User, Actor),
    row("useragent", UserAgent, From),
    row("userid", User, Actor),
    row("userip", Ip, From),
    row("username", User, Actor),
    row("userprincipalname", User, Actor),
    row("usr", User, Actor),
    row("usrname", User, Actor),
];

/// Names that say something only behind a part that does, sorted.
const GENERIC: [&str; 20] = [
    "addr",
    "address",
    "domain",
    "email",
    "executable",
    "full",
    "fullname",
    "hostname",
    "id",
    "ip",
    "ipaddress",
    "ips",
    "name",
    "original",
    "path",
    "port",
    "uid",
    "url",
    "user",
    "userid",
];

/// Parts of a path, and what they say of the name behind them, sorted.
const CONTEXTS: [(&str, Context); 50] = [
    ("account", Context::User),
    ("actor", Context::User),
    ("agent", Context::Shipper),
    ("beat", Context::Shipper),
    ("client", Context::Source),
    ("clientinfo", Context::Source),
    ("computer", Context::Device),
    ("container", Context::Shipper),
    ("dest", Context::Target),
    ("destination", Context::Target),
    ("device", Context::Device),
    ("docker", Context::Shipper),
    ("dst", Context::Target),
    ("dstdevice", Context::Target),
    ("dstendpoint", Context::Target),
    ("dstuser", Context::TargetUser),
    ("ecs", Context::Shipper),
    ("file", Context::File),
    ("host", Context::Device),
    ("identity", Context::User),
    ("impersonateduser", Context::TargetUser),
    ("initiator", Context::Source),
    ("input", Context::Shipper),
    ("kubernetes", Context::Shipper),
    ("local", Context::Target),
    ("log", Context::Shipper),
    ("machine", Context::Device),
    ("nat", Context::Shipper),
    ("observer", Context::Shipper),
    ("orchestrator", Context::Shipper),
    ("parent", Context::Parent),
    ("parentprocess", Context::Parent),
    ("principal", Context::User),
    ("process", Context::Process),
    ("question", Context::Question),
    ("remote", Context::Source),
    ("rule", Context::Shipper),
    ("server", Context::Target),
    ("service", Context::Shipper),
    ("source", Context::Source),
    ("src", Context::Source),
    ("srcdevice", Context::Source),
    ("srcendpoint", Context::Source),
    ("srcuser", Context::User),
    ("target", Context::Target),
    ("targetuser", Context::TargetUser),
    ("url", Context::Url),
    ("user", Context::User),
    ("useragent", Context::UserAgent),
    ("useridentity", Context::User),
];

/// Returns what a field holds by its name; `None` if the name does not say.
pub(super) fn field(name: &str) -> Option<ObservableField> {
    let mut parts = name.rsplit('.');
    let mut buffer = [0; NAME_BYTES_MAX];
    let last = plain(parts.next()?, &mut buffer)?;
    let generic = GENERIC.binary_search(&last).is_ok();
    let known = NAMES.binary_search_by(|(known, _)| (*known).cmp(last));
    if !generic && known.is_err() {
        return None;
    }
    let context = context(parts.next(), parts.next(), name);
    if context == Context::Shipper {
        return None;
    }
    let Some((_, field)) = known.ok().and_then(|at| NAMES.get(at)) else {
        return by_context(last, context);
    };
    let mut field = *field;
    let is_target = matches!(context, Context::Target | Context::TargetUser);
    if is_target && field.kind == User {
        field.role = Target;
    }
    Some(field)
}

/// Returns what the parts in front of a name say: the nearest, or the one before it.
fn context(parent: Option<&str>, grandparent: Option<&str>, name: &str) -> Context {
    let of = |part: Option<&str>| {
        let mut buffer = [0; NAME_BYTES_MAX];
        let part = plain(part?, &mut buffer)?;
        let at = CONTEXTS
            .binary_search_by(|(known, _)| (*known).cmp(part))
            .ok()?;
        CONTEXTS.get(at).map(|(_, context)| *context)
    };
    // OpenTelemetry puts the names of others behind its own.
    let path = name.strip_prefix("attributes.").unwrap_or(name);
    let first = path
        .split('.')
        .next()
        .filter(|first| first.len() < path.len());
    if of(first) == Some(Context::Shipper) {
        return Context::Shipper;
    }
    match (of(parent), of(grandparent)) {
        // `user.target.name`, `target.user.name`
        (Some(Context::Target), Some(Context::User))
        | (Some(Context::User), Some(Context::Target)) => Context::TargetUser,
        (Some(context), _) => context,
        (None, _) => Context::None,
    }
}

fn by_context(last: &str, context: Context) -> Option<ObservableField> {
    let (kind, role) = match (last, context) {
        ("ip" | "ips" | "ipaddress", Context::None | Context::Source | Context::User)
        | ("address" | "addr", Context::Source) => (Ip, From),
        ("ip" | "ips" | "ipaddress" | "address" | "addr", Context::Target) => (Ip, Target),
        ("ip" | "ipaddress", Context::Device) => (Ip, Device),
        ("port", Context::Source) => (Port, From),
        ("port", Context::Target) => (Port, Target),
        ("name" | "email", Context::User) => (User, Actor),
        ("name" | "email", Context::TargetUser) => (User, Target),
        ("user", Context::None | Context::Source | Context::User) => (User, Actor),
        ("user", Context::Target | Context::TargetUser) => (User, Target),
        ("email", Context::None) => (Email, Actor),
        ("name", Context::Process) | ("executable", Context::Process) => (Process, Actor),
        ("name", Context::Parent) | ("executable", Context::Parent) => (Process, Parent),
        ("name" | "path", Context::File) => (File, Target),
        ("name", Context::Device) => (Host, Device),
        ("name", Context::Question) => (Domain, Target),
        ("hostname", Context::Source) => (Host, From),
        ("hostname", Context::Target) => (Host, Target),
        ("hostname", Context::None | Context::Device) => (Host, Device),
        ("domain", Context::Source) => (Domain, From),
        ("domain", Context::Target | Context::Url) => (Domain, Target),
        ("original" | "full", Context::Url) | ("url", _) => (Url, Target),
        ("original", Context::UserAgent) => (UserAgent, From),
        _ => return None,
    };
    Some(row("", kind, role).1)
}

/// Returns the part without separators and in lower case; `None` if it is longer than any name.
fn plain<'b>(part: &str, buffer: &'b mut [u8; NAME_BYTES_MAX]) -> Option<&'b str> {
    let mut length = 0;
    for byte in part.bytes() {
        if matches!(byte, b'_' | b'-' | b' ') {
            continue;
        }
        *buffer.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    std::str::from_utf8(buffer.get(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{CONTEXTS, GENERIC, NAMES, field};

    #[test]
    fn tables_are_sorted() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(CONTEXTS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(GENERIC.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn read_kind_and_role_from_the_name() {
        let cases = [
            ("callerIpAddress", "ip source"),
            ("properties.ipAddress", "ip source"),
            ("client.ipAddress", "ip source"),
            ("source-address", "ip source"),
            ("source.ip", "ip source"),
            ("destination.ip", "ip target"),
            ("dst_endpoint.ip", "ip target"),
            ("DestinationIp", "ip target"),
            ("destination.port", "port target"),
            ("user.name", "user actor"),
            ("user.target.name", "user target"),
            ("target.user.name", "user target"),
            ("properties.userPrincipalName", "user actor"),
            (
                "protoPayload.authenticationInfo.principalEmail",
                "user actor",
            ),
            ("actor.alternateId", "user actor"),
            ("host.name", "host device"),
            ("file.hash.sha256", "hash target"),
            ("dns.question.name", "domain target"),
            ("user_agent.original", "user_agent source"),
            ("process.parent.executable", "process parent"),
            ("agent.name", ""),
            ("kubernetes.node.ip", ""),
            ("name", ""),
            ("port", ""),
            ("service.name", ""),
            ("an_absurdly_long_name_that_no_table_holds.ip", "ip source"),
        ];
        for (name, expected) in cases {
            let got = field(name).map_or(String::new(), |field| {
                format!("{} {}", field.kind.name(), field.role.name())
            });
            assert_eq!(got, expected, "{name}");
        }
    }
}
