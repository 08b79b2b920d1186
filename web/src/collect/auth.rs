//! How each protocol presents the token, and says that it was not the right one.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{elastic, hec, otlp};
use crate::problem::Problem;

/// Longest header that is looked at: a token of 512 bytes in base64, and a name before it.
const HEADER_BYTES_MAX: usize = 2048;

/// Whose words a route speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Weir,
    Splunk,
    Elastic,
    Otlp,
    /// Only the way the token comes is the others'; errors are Weir's own.
    Journald,
}

/// What a request shows to be let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    Nothing,
    /// In a way that is not known here.
    Unreadable,
    Token(Vec<u8>),
}

/// Marks an error answer as its protocol's own, which is to be left as it is.
pub(crate) struct OwnWords;

impl Dialect {
    pub(crate) fn of(path: &str) -> Self {
        let last = path.rsplit('/').next();
        match path {
            "/v1/logs" => Self::Otlp,
            "/upload" => Self::Journald,
            "/" => Self::Elastic,
            path if path.starts_with("/services/collector") => Self::Splunk,
            path if path.starts_with("/_") || last == Some("_bulk") => Self::Elastic,
            _ => Self::Weir,
        }
    }

    /// Reads the token out of the headers. Every route takes `Bearer`.
    pub(crate) fn presented(self, headers: &HeaderMap) -> Presented {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Presented::Nothing;
        };
        let value = value.as_bytes();
        let at = value.iter().position(|byte| *byte == b' ');
        let Some((scheme, rest)) = at.and_then(|at| value.split_at_checked(at)) else {
            return Presented::Unreadable;
        };
        if value.len() > HEADER_BYTES_MAX {
            return Presented::Unreadable;
        }
        let rest = rest.trim_ascii();
        let scheme = scheme.to_ascii_lowercase();
        let token = match (scheme.as_slice(), self) {
            (b"bearer", _) | (b"splunk", Self::Splunk) => Some(rest.to_vec()),
            (b"basic", Self::Splunk | Self::Elastic | Self::Journald) => after_colon(rest),
            // `id:key` in base64, as Elasticsearch gives them, or the key alone.
            (b"apikey", Self::Elastic) => after_colon(rest).or_else(|| Some(rest.to_vec())),
            _ => None,
        };
        token.map_or(Presented::Unreadable, Presented::Token)
    }

    /// The answer to a request that is not let in.
    pub(crate) fn unauthorized(self, presented: &Presented, path: &str) -> HttpResponse {
        match self {
            Self::Splunk => hec::unauthorized(presented),
            Self::Otlp => otlp::unauthorized(),
            // A browser that asks for `/` is no shipper.
            Self::Elastic if path != "/" => elastic::unauthorized(),
            Self::Weir | Self::Elastic | Self::Journald => {
                actix_web::ResponseError::error_response(&Problem::unauthorized())
            }
        }
    }
}

/// What stands behind the first colon of a text in base64.
fn after_colon(text: &[u8]) -> Option<Vec<u8>> {
    let decoded = STANDARD.decode(text).ok()?;
    let at = decoded.iter().position(|byte| *byte == b':')?;
    decoded.get(at + 1..).map(<[u8]>::to_vec)
}

/// Lets an error answer pass as it is.
pub(crate) fn own_words(mut response: HttpResponse) -> HttpResponse {
    response.extensions_mut().insert(OwnWords);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn each_protocol_has_its_way_with_the_token() {
        let of = |text: &str| Presented::Token(text.as_bytes().to_vec());
        for (path, value, expected) in [
            ("/api/v1/events", "Bearer tok", of("tok")),
            ("/api/v1/events", "bearer  tok ", of("tok")),
            ("/api/v1/events", "Basic eDp0b2s=", Presented::Unreadable),
            ("/api/v1/events", "Splunk tok", Presented::Unreadable),
            ("/api/v1/events", "tok", Presented::Unreadable),
            ("/services/collector/raw", "Splunk tok", of("tok")),
            ("/services/collector", "Basic eDp0b2s=", of("tok")),
            ("/services/collector", "Basic !", Presented::Unreadable),
            ("/services/collector", "Basic dG9r", Presented::Unreadable),
            ("/_bulk", "Basic eDp0b2s6eA==", of("tok:x")),
            ("/a/_bulk", "ApiKey eDp0b2s=", of("tok")),
            ("/", "ApiKey tok", of("tok")),
            ("/v1/logs", "Basic eDp0b2s=", Presented::Unreadable),
            ("/upload", "Basic eDp0b2s=", of("tok")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            assert_eq!(
                Dialect::of(path).presented(&headers),
                expected,
                "{path} {value}"
            );
        }
        assert_eq!(
            Dialect::Weir.presented(&HeaderMap::new()),
            Presented::Nothing
        );
    }
}
