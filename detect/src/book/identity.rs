//! Fields that say who reported or acted, and values that stand for nobody.

/// Fields that name the device of an event without the field `host`, the surest first.
pub const DEVICE_FIELDS: [&str; 18] = [
    "host.name",
    "host.hostname",
    "Computer",
    "ComputerName",
    "MachineName",
    "DeviceName",
    "deviceHostName",
    "dvchost",
    "devname",
    "device_name",
    "device.hostname",
    "device.name",
    "observer.hostname",
    "observer.name",
    "hostname",
    "dvc",
    "deviceExternalId",
    "devid",
];

/// Fields that name the account, tenant or project of a cloud event.
pub const ACCOUNT_FIELDS: [&str; 11] = [
    "recipientAccountId",
    "userIdentity.accountId",
    "cloud.account.id",
    "resource.labels.project_id",
    "OrganizationId",
    "properties.tenantId",
    "tenantId",
    "subscriptionId",
    "org",
    "accountId",
    "account_id",
];

/// Fields that name who acted in a cloud event.
pub const ACTOR_FIELDS: [&str; 17] = [
    "userIdentity.arn",
    "userIdentity.userName",
    "userIdentity.principalId",
    "userIdentity.invokedBy",
    "protoPayload.authenticationInfo.principalEmail",
    "actor.alternateId",
    "actor.id",
    "UserId",
    "properties.initiatedBy.user.userPrincipalName",
    "properties.initiatedBy.app.displayName",
    "properties.userPrincipalName",
    "user.username",
    "user.email",
    "user.name",
    "identity",
    "caller",
    "actor",
];

/// The kind of thing that a field names, by which its placeholders differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldRole {
    Address,
    Host,
    /// A program: it is nobody's identity, and `-` says that none was involved.
    Program,
    Other,
}

/// Placeholders of every field. Their case does not matter.
pub const PLACEHOLDERS: [&str; 12] = [
    "",
    "-",
    "--",
    "n/a",
    "<n/a>",
    "(null)",
    "(none)",
    "<none>",
    "(unknown)",
    "<unknown>",
    "(empty)",
    "%%1793",
];

/// Further placeholders of fields that name a host.
pub const HOST_PLACEHOLDERS: [&str; 3] = ["unknown", "none", "null"];

/// Further placeholders of fields that hold an address.
pub const ADDRESS_PLACEHOLDERS: [&str; 8] = [
    "0.0.0.0",
    "::",
    "0:0:0:0:0:0:0:0",
    "::ffff:0.0.0.0",
    "0",
    "unknown",
    "none",
    "null",
];

impl FieldRole {
    /// The role of a field, by the last part of its name.
    #[must_use]
    pub fn of(field: &str) -> Self {
        let last = field.rsplit(['.', '[']).next().unwrap_or(field);
        let ends = |end: &str| {
            let start = last.len().wrapping_sub(end.len());
            last.get(start..)
                .is_some_and(|last| last.eq_ignore_ascii_case(end))
        };
        if ["ip", "ipaddr", "ipv4", "ipv6", "addr", "address", "ips"]
            .into_iter()
            .any(ends)
            || matches!(field, "src" | "dst" | "dvc" | "id.orig_h" | "id.resp_h")
        {
            Self::Address
        } else if ["host", "hostname", "computer", "computername", "devname"]
            .into_iter()
            .any(ends)
            || DEVICE_FIELDS.contains(&field)
        {
            Self::Host
        } else if ["processname", "process", "image", "program"]
            .into_iter()
            .any(ends)
        {
            Self::Program
        } else {
            Self::Other
        }
    }
}

/// Whether the text of a field stands for nobody and nothing.
pub(crate) fn is_placeholder(field: &str, text: &str) -> bool {
    // No placeholder is longer, and most values are.
    if text.len() > 15 {
        return false;
    }
    let text = text.trim();
    let in_list = |list: &[&str]| list.iter().any(|known| text.eq_ignore_ascii_case(known));
    match FieldRole::of(field) {
        FieldRole::Address => in_list(&PLACEHOLDERS) || in_list(&ADDRESS_PLACEHOLDERS),
        FieldRole::Host => {
            let lists = [&PLACEHOLDERS[..], &HOST_PLACEHOLDERS, &ADDRESS_PLACEHOLDERS];
            lists.into_iter().any(in_list)
        }
        FieldRole::Program => false,
        FieldRole::Other => in_list(&PLACEHOLDERS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_depend_on_the_role_of_the_field() {
        for (field, text, expected) in [
            ("user", "", true),
            ("user", " - ", true),
            ("user", "N/A", true),
            ("user", "unknown", false),
            ("user", "0.0.0.0", false),
            ("user", "root", false),
            ("src_ip", "0.0.0.0", true),
            ("SourceIp", "::", true),
            ("source.address", "unknown", true),
            ("src_ip", "203.0.113.7", false),
            ("IpAddress", "-", true),
            ("host", "0.0.0.0", true),
            ("host", "none", true),
            ("host", "nonesuch", false),
            ("devname", "NULL", true),
            ("ProcessName", "-", false),
            ("LogonProcessName", "-", false),
            ("TargetUserName", "-", true),
            ("zip", "0", true), // As a name ends, so it is read.
            ("count", "0", false),
        ] {
            assert_eq!(is_placeholder(field, text), expected, "{field}={text}");
        }
    }
}
