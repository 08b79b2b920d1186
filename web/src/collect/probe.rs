//! Probes: requests that shippers send to an address before they send events to it.
//!
//! `OPTIONS`, `HEAD` and `GET` need the token as events do. They succeed while a body would be read
//! without a wait, so that a probe says what the next request will meet.

use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse, Resource, Route};
use serde_json::json;

use super::credentials::protocol_answer;
use super::dialect::Dialect;
use super::{elastic, hec};
use crate::state::AppState;

/// The methods of an address for events.
const ALLOW: &str = "POST, OPTIONS, HEAD, GET";

/// The resource of an address for events, with the routes that take them, and its probes.
pub(super) fn events_resource(path: &str, routes: impl IntoIterator<Item = Route>) -> Resource {
    let probes = [Method::OPTIONS, Method::HEAD, Method::GET];
    let probes = probes.map(|method| web::method(method).to(answer_probe));
    let routes = routes.into_iter().chain(probes);
    routes.fold(web::resource(path), |resource, route| resource.route(route))
}

/// Answers a probe in the protocol of its address.
async fn answer_probe(request: HttpRequest, state: Data<AppState>) -> HttpResponse {
    let is_full = state.body_slots.are_full();
    let status = if is_full {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let mut response = match Dialect::for_path(request.path()) {
        Dialect::Splunk => hec::health(state).await,
        Dialect::Elastic => elastic::respond(status, &json!({})),
        Dialect::Otlp | Dialect::Journald | Dialect::Weir => {
            protocol_answer(HttpResponse::build(status).finish())
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, header::HeaderValue::from_static(ALLOW));
    response
}
