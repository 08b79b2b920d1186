//! Negotiates version and commands when a RELP session opens.

/// Supported versions of the protocol. They do not differ for a server of `syslog`.
const VERSIONS: [&str; 2] = ["0", "1"];

/// Returns the response to the data of `open`: with code 200, or with code 500 as an error.
pub(crate) fn negotiate(data: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(data).map_err(|_| "500 the offers are not text")?;
    let mut version = None;
    let mut offers_syslog = false;
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        match name.trim() {
            "relp_version" => version = Some(value.trim()),
            "commands" => {
                offers_syslog = value.split(',').any(|command| command.trim() == "syslog");
            }
            _ => {} // A server ignores offers that it does not know.
        }
    }
    let version = version.ok_or("500 the offer `relp_version` is missing")?;
    if !VERSIONS.contains(&version) {
        return Err("500 the server supports versions 0 and 1 of RELP");
    }
    if !offers_syslog {
        return Err("500 the command `syslog` must be offered; the server supports no other");
    }
    let software = concat!("weir,", env!("CARGO_PKG_VERSION"));
    Ok(format!(
        "200 OK\nrelp_version={version}\nrelp_software={software}\ncommands=syslog"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_syslog_only() {
        for (offer, expected) in [
            (
                "relp_version=0\nrelp_software=librelp,1.11.0\ncommands=syslog",
                "200 ",
            ),
            ("relp_version=1\ncommands=other,syslog\nnew=1", "200 "),
            ("commands=syslog", "500 the offer `relp_version`"),
            ("relp_version=7\ncommands=syslog", "500 the server supports"),
            ("relp_version=0\ncommands=", "500 the command"),
            ("", "500 the offer"),
        ] {
            let found = negotiate(offer.as_bytes()).unwrap_or_else(str::to_owned);
            assert!(found.starts_with(expected), "{offer:?}: {found}");
        }
        assert!(negotiate(b"relp_version=0\xff").is_err());
    }
}
