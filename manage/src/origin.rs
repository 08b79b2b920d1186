//! Origins of rules: a line of a file, or a person who used the API.

use std::path::PathBuf;

/// Origin of rules that were added over the API.
pub const API_ORIGIN: &str = "api";

/// Origin of a rule added over the API by a client that names its own source, such as a ticket.
pub fn api_origin(client: &str) -> String {
    if client == API_ORIGIN {
        return client.to_owned();
    }
    format!("{API_ORIGIN} ({client})")
}

/// Whether a person added the rule over the API. The origin of a file ends with a line number.
pub fn is_manual(origin: &str) -> bool {
    let inner = origin.strip_prefix(API_ORIGIN);
    inner.is_some_and(|inner| inner.is_empty() || (inner.starts_with(" (") && inner.ends_with(')')))
}

/// The file part of an origin.
pub fn file_of(origin: &str) -> PathBuf {
    let file = origin.rsplit_once(':').map_or(origin, |(file, _)| file);
    PathBuf::from(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_origins_differ_from_file_origins() {
        for origin in [
            "api",
            "api (git 4711)",
            &api_origin("api"),
            &api_origin("x:1"),
        ] {
            assert!(is_manual(origin), "{origin}");
        }
        for origin in [
            "api:1",
            "api/x.yml:3",
            "api (x):7",
            "builtin:linux/a.yml:1",
            "apis",
        ] {
            assert!(!is_manual(origin), "{origin}");
        }
    }
}
