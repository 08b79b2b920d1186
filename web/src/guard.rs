//! What every request passes: the token, the headers of every answer, problem details, counting.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError, web};

use crate::collect::{Dialect, OwnWords, Presented};
use crate::problem::Problem;
use crate::routes::OPEN_ROUTES;
use crate::server::State;
use crate::unread::Unread;

/// Nothing here is a page, may be framed, guessed at or kept by a cache.
const HEADERS: [(header::HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// Wraps the whole server, so that no route can be added outside of it.
pub(crate) async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return Ok(request.into_response(Problem::failed().error_response()));
    };
    let route = request.match_pattern().unwrap_or_else(|| "other".into());
    let body = Unread::take(&mut request);
    let mut response = match refused(&request, &state) {
        Some(refused) => request.into_response(refused),
        None => match next.call(request).await {
            Ok(response) => response.map_into_boxed_body(),
            // Handlers answer with responses only; this is the HTTP library's own.
            Err(error) => {
                let status = error.as_response_error().status_code();
                return Err(Problem::of_status(status).into());
            }
        },
    };
    if lacks_problem(&response) {
        let problem = Problem::of_status(response.status()).error_response();
        let allow = response.headers().get(header::ALLOW).cloned();
        response = response.into_response(problem);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, header::HeaderValue::from_static(value));
    }
    let class = status_class(response.status());
    state
        .metrics
        .requests
        .with_label_values(&[route.as_str(), class])
        .inc();
    Ok(body.hold(response))
}

/// The answer to a request without the token, in the words of its protocol.
fn refused(request: &ServiceRequest, state: &State) -> Option<HttpResponse> {
    if OPEN_ROUTES.contains(&request.path()) {
        return None;
    }
    let dialect = Dialect::of(request.path());
    let presented = dialect.presented(request.headers());
    match &presented {
        Presented::Token(token) if state.options.token.is(token) => None,
        presented => Some(dialect.unauthorized(presented, request.path())),
    }
}

fn lacks_problem(response: &ServiceResponse<BoxBody>) -> bool {
    let status = response.status();
    if response.response().extensions().contains::<OwnWords>() {
        return false;
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    (status.is_client_error() || status.is_server_error())
        && kind.is_none_or(|kind| kind != "application/problem+json")
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx", // Nothing above is ever sent.
    }
}
