//! The credentials of requests, and answers in the format of another protocol.

use actix_web::HttpResponse;

/// The token that a request presents.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Missing,
    /// The header is malformed, or its scheme is not supported.
    Unreadable,
    Token(Vec<u8>),
}

/// Marks an answer in the format of its protocol; no problem details replace its body.
pub(crate) struct ProtocolAnswer;

/// Marks an answer as [`ProtocolAnswer`].
pub(super) fn protocol_answer(mut response: HttpResponse) -> HttpResponse {
    response.extensions_mut().insert(ProtocolAnswer);
    response
}
