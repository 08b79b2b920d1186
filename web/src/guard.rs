//! What every request passes: the token, the headers of every answer, problem details, counting.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};

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
    let mut response = if allowed(&request, &state) {
        match next.call(request).await {
            Ok(response) => response.map_into_boxed_body(),
            // Handlers answer with responses only; this is the HTTP library's own.
            Err(error) => {
                let status = error.as_response_error().status_code();
                return Err(Problem::of_status(status).into());
            }
        }
    } else {
        request.into_response(Problem::unauthorized().error_response())
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

fn allowed(request: &ServiceRequest, state: &State) -> bool {
    OPEN_ROUTES.contains(&request.path()) || {
        let value = request.headers().get(header::AUTHORIZATION);
        value.is_some_and(|value| {
            bearer(value.as_bytes()).is_some_and(|t| state.options.token.is(t))
        })
    }
}

/// The token of `Bearer TOKEN`; the scheme's name is not case-sensitive.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

fn lacks_problem(response: &ServiceResponse<BoxBody>) -> bool {
    let status = response.status();
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
