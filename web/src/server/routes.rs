//! The routes of the API, and their handlers.

use actix_web::web::{ServiceConfig, delete, get, post, put, resource};

use crate::api::{alerts, health, rules, sinks, sources, what_if};
use crate::collect;
use crate::stream;

/// Every route of the API, by method and pattern. `docs/api.md` describes each; a test compares them.
pub const ROUTES: [(&str, &str); 25] = [
    ("POST", "/api/v1/events"),
    ("GET", "/api/v1/alerts"),
    ("GET", "/api/v1/alerts/{id}"),
    ("GET", "/api/v1/alerts/{id}/explanation"),
    ("GET", "/api/v1/stream/alerts"),
    ("GET", "/api/v1/stream/alerts.ndjson"),
    ("GET", "/api/v1/rules"),
    ("PUT", "/api/v1/rules"),
    ("DELETE", "/api/v1/rules/{id}"),
    ("POST", "/api/v1/rules/{id}/disable"),
    ("POST", "/api/v1/rules/{id}/enable"),
    ("POST", "/api/v1/what-if"),
    ("GET", "/api/v1/what-if"),
    ("GET", "/api/v1/what-if/{id}"),
    ("DELETE", "/api/v1/what-if/{id}"),
    ("POST", "/api/v1/what-if/{id}/promote"),
    ("GET", "/api/v1/sinks"),
    ("GET", "/api/v1/sinks/{name}/dead"),
    ("POST", "/api/v1/sinks/{name}/resend"),
    ("POST", "/api/v1/sinks/{name}/enable"),
    ("GET", "/api/v1/sources/unread"),
    ("GET", "/api/v1/tap"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
];

/// The paths that need no token.
pub(super) const OPEN_ROUTES: [&str; 4] = [
    "/healthz",
    "/readyz",
    "/services/collector/health",
    "/services/collector/health/1.0",
];

/// Registers every handler.
pub(super) fn configure(config: &mut ServiceConfig) {
    collect::configure(config);
    config
        .service(resource("/api/v1/events").route(post().to(collect::receive_events)))
        .service(resource("/api/v1/alerts").route(get().to(alerts::list)))
        .service(resource("/api/v1/alerts/{id}").route(get().to(alerts::get)))
        .service(resource("/api/v1/alerts/{id}/explanation").route(get().to(alerts::explain)))
        .service(resource("/api/v1/stream/alerts").route(get().to(stream::alerts::negotiated)))
        .service(resource("/api/v1/stream/alerts.ndjson").route(get().to(stream::alerts::ndjson)))
        .service(
            resource("/api/v1/rules")
                .route(get().to(rules::list))
                .route(put().to(rules::add)),
        )
        .service(resource("/api/v1/rules/{id}").route(delete().to(rules::remove)))
        .service(resource("/api/v1/rules/{id}/disable").route(post().to(rules::disable)))
        .service(resource("/api/v1/rules/{id}/enable").route(post().to(rules::enable)))
        .service(
            resource("/api/v1/what-if")
                .route(post().to(what_if::begin))
                .route(get().to(what_if::list)),
        )
        .service(
            resource("/api/v1/what-if/{id}")
                .route(get().to(what_if::get))
                .route(delete().to(what_if::drop_what_if)),
        )
        .service(resource("/api/v1/what-if/{id}/promote").route(post().to(what_if::promote)))
        .service(resource("/api/v1/sinks").route(get().to(sinks::list)))
        .service(resource("/api/v1/sinks/{name}/dead").route(get().to(sinks::dead_letters)))
        .service(resource("/api/v1/sinks/{name}/resend").route(post().to(sinks::resend)))
        .service(resource("/api/v1/sinks/{name}/enable").route(post().to(sinks::enable)))
        .service(resource("/api/v1/sources/unread").route(get().to(sources::unread)))
        .service(resource("/api/v1/tap").route(get().to(stream::tap::open)))
        .configure(configure_health);
}

/// Registers the handlers of health and metrics.
pub(super) fn configure_health(config: &mut ServiceConfig) {
    config
        .service(resource("/healthz").route(get().to(health::live)))
        .service(resource("/readyz").route(get().to(health::ready)))
        .service(resource("/metrics").route(get().to(health::metrics)));
}
