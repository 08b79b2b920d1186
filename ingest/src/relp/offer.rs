//! What client and server of RELP agree on when a session opens.

/// Versions of the protocol: they differ in nothing that a server of `syslog` does.
const VERSIONS: [&str; 2] = ["0", "1"];

/// The answer to the data of `open`: text of a response with code 200, or with 500.
pub(crate) fn negotiate(data: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(data).map_err(|_| "500 the offers are no text")?;
    let mut version = None;
    let mut offers_syslog = false;
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        match name.trim() {
            "relp_version" => version = Some(value.trim()),
            "commands" => {
                offers_syslog = value.split(',').any(|command| command.trim() == "syslog");
            }
            _ => {} // Offers that a server does not know are not agreed on.
        }
    }
    let version = version.ok_or("500 the offer `relp_version` is missing")?;
    if !VERSIONS.contains(&version) {
        return Err("500 of the protocol, versions 0 and 1 are spoken here");
    }
    if !offers_syslog {
        return Err("500 the command `syslog` must be offered: nothing else is taken here");
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
    fn syslog_is_agreed_on_and_nothing_else() {
        for (offer, expected) in [
            (
                "relp_version=0\nrelp_software=librelp,1.11.0\ncommands=syslog",
                "200 ",
            ),
            ("relp_version=1\ncommands=other,syslog\nnew=1", "200 "),
            ("commands=syslog", "500 the offer `relp_version`"),
            ("relp_version=7\ncommands=syslog", "500 of the protocol"),
            ("relp_version=0\ncommands=", "500 the command"),
            ("", "500 the offer"),
        ] {
            let found = negotiate(offer.as_bytes()).unwrap_or_else(str::to_owned);
            assert!(found.starts_with(expected), "{offer:?}: {found}");
        }
        assert!(negotiate(b"relp_version=0\xff").is_err());
    }
}
