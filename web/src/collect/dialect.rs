//! How each protocol presents the token, and how it answers a wrong one.

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpResponse, ResponseError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::credentials::Credentials;
use super::{elastic, hec, otlp};
use crate::problem::ProblemDetails;

/// Longest header that is read: a token of 512 bytes in base64, after a user name.
const HEADER_BYTES_MAX: usize = 2048;

/// The protocol whose credentials and errors a route uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Weir,
    Splunk,
    Elastic,
    Otlp,
    /// Uses basic authentication, but Weir's own errors.
    Journald,
}

impl Dialect {
    /// The dialect of a path.
    pub(crate) fn for_path(path: &str) -> Self {
        let mut parts = path.split('/').skip(1);
        let (first, second) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        match path {
            "/v1/logs" => Self::Otlp,
            "/upload" => Self::Journald,
            "/" => Self::Elastic,
            path if path.starts_with("/services/collector") => Self::Splunk,
            // Elasticsearch's own words start with `_`, alone or behind an index.
            _ if first.starts_with('_') || second.starts_with('_') => Self::Elastic,
            _ => Self::Weir,
        }
    }

    /// Reads the token from the headers. Every route accepts `Bearer`.
    pub(crate) fn credentials(self, headers: &HeaderMap) -> Credentials {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Credentials::Missing;
        };
        let value = value.as_bytes();
        let at = value.iter().position(|byte| *byte == b' ');
        let Some((scheme, rest)) = at.and_then(|at| value.split_at_checked(at)) else {
            return Credentials::Unreadable;
        };
        if value.len() > HEADER_BYTES_MAX {
            return Credentials::Unreadable;
        }
        let rest = rest.trim_ascii();
        let scheme = scheme.to_ascii_lowercase();
        let token = match (scheme.as_slice(), self) {
            (b"bearer", _) | (b"splunk", Self::Splunk) => Some(rest.to_vec()),
            (b"basic", Self::Splunk | Self::Elastic | Self::Journald) => after_colon(rest),
            // `id:key` in base64, as Elasticsearch issues them, or the key alone.
            (b"apikey", Self::Elastic) => api_key(rest).or_else(|| Some(rest.to_vec())),
            _ => None,
        };
        token.map_or(Credentials::Unreadable, Credentials::Token)
    }

    /// The answer to a request without the right token.
    pub(crate) fn unauthorized(self, credentials: &Credentials, path: &str) -> HttpResponse {
        match self {
            Self::Splunk => hec::unauthorized(credentials),
            Self::Otlp => otlp::unauthorized(),
            // `/` is also requested by browsers, which are no shippers.
            Self::Elastic if path != "/" => elastic::unauthorized(),
            Self::Weir | Self::Elastic | Self::Journald => {
                ProblemDetails::unauthorized().error_response()
            }
        }
    }
}

/// Decodes base64 and returns the part after the first colon.
fn after_colon(text: &[u8]) -> Option<Vec<u8>> {
    let decoded = STANDARD.decode(text).ok()?;
    let at = decoded.iter().position(|byte| *byte == b':')?;
    decoded.get(at + 1..).map(<[u8]>::to_vec)
}

/// Decodes `id:key` from base64 and returns the key. `None` if the text is a bare key.
///
/// A token of hexadecimal digits is valid base64, too. It decodes to bytes that are not text.
fn api_key(text: &[u8]) -> Option<Vec<u8>> {
    let decoded = STANDARD.decode(text).ok()?;
    let is_text = decoded.iter().all(u8::is_ascii_graphic);
    after_colon(text).filter(|_| is_text)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn read_the_token_of_each_protocol() {
        let token = |text: &str| Credentials::Token(text.as_bytes().to_vec());
        for (path, value, expected) in [
            ("/api/v1/events", "Bearer tok", token("tok")),
            ("/api/v1/events", "bearer  tok ", token("tok")),
            ("/api/v1/events", "Basic eDp0b2s=", Credentials::Unreadable),
            ("/api/v1/events", "Splunk tok", Credentials::Unreadable),
            ("/api/v1/events", "tok", Credentials::Unreadable),
            ("/services/collector/raw", "Splunk tok", token("tok")),
            ("/services/collector", "Basic eDp0b2s=", token("tok")),
            ("/services/collector", "Basic !", Credentials::Unreadable),
            ("/services/collector", "Basic dG9r", Credentials::Unreadable),
            ("/_bulk", "Basic eDp0b2s6eA==", token("tok:x")),
            ("/a/_bulk", "ApiKey eDp0b2s=", token("tok")),
            ("/a/_doc", "ApiKey eDp0b2s=", token("tok")),
            ("/a/_search", "ApiKey eDp0b2s=", token("tok")),
            ("/api/_bulk", "ApiKey eDp0b2s=", token("tok")),
            ("/api/v1/_bulk", "Basic eDp0b2s=", Credentials::Unreadable),
            ("/", "ApiKey tok", token("tok")),
            // Hexadecimal digits whose bytes as base64 include a colon.
            ("/", "ApiKey 3aaa", token("3aaa")),
            ("/", "ApiKey aTrr", token("aTrr")),
            ("/v1/logs", "Basic eDp0b2s=", Credentials::Unreadable),
            ("/upload", "Basic eDp0b2s=", token("tok")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            assert_eq!(
                Dialect::for_path(path).credentials(&headers),
                expected,
                "{path} {value}"
            );
        }
        assert_eq!(
            Dialect::Weir.credentials(&HeaderMap::new()),
            Credentials::Missing
        );
    }
}
