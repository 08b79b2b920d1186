//! The middleware of all requests: checks the token, sets headers, adds problems, counts.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError, web};

use super::connections::CountedConnection;
use super::retained_body::RetainedBody;
use super::routes::OPEN_ROUTES;
use crate::collect::{Credentials, Dialect, ProtocolAnswer};
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// No answer is a page; none may be framed, sniffed for another type, or cached.
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

/// Wraps the whole application, including routes that are added later.
pub(super) async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<AppState>>().cloned() else {
        return Ok(request.into_response(ProblemDetails::failed().error_response()));
    };
    let route = request.match_pattern().unwrap_or_else(|| "other".into());
    let body = RetainedBody::take(&mut request);
    let unauthorized = check_token(&request, &state);
    let has_token = unauthorized.is_none() && !OPEN_ROUTES.contains(&request.path());
    let connection = request.conn_data::<CountedConnection>();
    let in_progress = connection.map(|connection| connection.begin_request(has_token));
    let mut response = match unauthorized {
        Some(unauthorized) => request.into_response(unauthorized),
        None => match next.call(request).await {
            Ok(response) => response.map_into_boxed_body(),
            // Handlers return responses only; this error comes from the HTTP library.
            Err(error) => {
                let status = error.as_response_error().status_code();
                return Err(ProblemDetails::from_status(status).into());
            }
        },
    };
    if lacks_problem(&response) {
        let problem = ProblemDetails::from_status(response.status()).error_response();
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
    Ok(body.retain_until_sent(response, in_progress))
}

/// Returns the answer to a request without a valid token, in the format of its protocol.
fn check_token(request: &ServiceRequest, state: &AppState) -> Option<HttpResponse> {
    if OPEN_ROUTES.contains(&request.path()) {
        return None;
    }
    let dialect = Dialect::for_path(request.path());
    let credentials = dialect.credentials(request.headers());
    match &credentials {
        Credentials::Token(token) if state.options.token.matches(token) => None,
        credentials => Some(dialect.unauthorized(credentials, request.path())),
    }
}

/// Whether an error answer has neither problem details nor the body of another protocol.
fn lacks_problem(response: &ServiceResponse<BoxBody>) -> bool {
    let status = response.status();
    if response
        .response()
        .extensions()
        .contains::<ProtocolAnswer>()
    {
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
        _ => "5xx", // No answer has a higher status.
    }
}
