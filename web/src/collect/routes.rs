//! The routes of the shippers' protocols, and their handlers.

use actix_web::Route;
use actix_web::web::{self, ServiceConfig, get, post, resource};

use super::probe::events_resource;
use super::{bulk, document, elastic, hec, journald, otlp};

/// Every route of the collectors, by method and pattern. `docs/collectors.md` describes each; a test
/// compares them.
pub const COLLECTOR_ROUTES: [(&str, &str); 25] = [
    ("POST", "/services/collector"),
    ("POST", "/services/collector/event"),
    ("POST", "/services/collector/event/1.0"),
    ("POST", "/services/collector/raw"),
    ("POST", "/services/collector/raw/1.0"),
    ("POST", "/services/collector/ack"),
    ("GET", "/services/collector/health"),
    ("GET", "/services/collector/health/1.0"),
    ("POST", "/_bulk"),
    ("POST", "/{index}/_bulk"),
    ("POST", "/{index}/_doc"),
    ("PUT", "/{index}/_doc/{id}"),
    ("PUT", "/{index}/_create/{id}"),
    ("GET", "/"),
    ("GET", "/_license"),
    ("GET", "/_xpack"),
    ("GET", "/_cluster/health"),
    ("PUT", "/_index_template/{name}"),
    ("PUT", "/_component_template/{name}"),
    ("PUT", "/_template/{name}"),
    ("PUT", "/_ilm/policy/{name}"),
    ("PUT", "/_ingest/pipeline/{name}"),
    ("PUT", "/_data_stream/{name}"),
    ("POST", "/v1/logs"),
    ("POST", "/upload"),
];

/// Registers every handler.
pub(crate) fn configure(config: &mut ServiceConfig) {
    for path in [
        "/services/collector",
        "/services/collector/event",
        "/services/collector/event/1.0",
    ] {
        let events = [post().to(hec::receive_envelopes)];
        config.service(events_resource(path, events));
    }
    for path in ["/services/collector/raw", "/services/collector/raw/1.0"] {
        config.service(events_resource(path, [post().to(hec::receive_lines)]));
    }
    for path in [
        "/services/collector/health",
        "/services/collector/health/1.0",
    ] {
        config.service(resource(path).route(get().to(hec::health)));
    }
    config.service(resource("/services/collector/ack").route(post().to(hec::acknowledgements)));
    for path in ["/_bulk", "/{index}/_bulk"] {
        let bulk = [post(), web::put()].map(|route| route.to(bulk::receive_bulk));
        config.service(events_resource(path, bulk));
    }
    let document = || [post(), web::put()].map(|route| route.to(document::receive_document));
    config.service(events_resource(document::DOCUMENTS, document()));
    for path in document::NAMED_DOCUMENTS {
        let [post, put] = document();
        config.service(resource(path).route(post).route(put));
    }
    // The HTTP library omits the body of an answer to HEAD; clients want its headers.
    let probe = |path, route: fn(Route) -> Route| {
        resource(path).route(route(get())).route(route(web::head()))
    };
    config
        .service(probe("/", |route| route.to(elastic::root)))
        .service(probe("/_license", |route| route.to(elastic::license)))
        .service(probe("/_xpack", |route| route.to(elastic::xpack)))
        .service(probe("/_cluster/health", |route| route.to(elastic::health)));
    for path in elastic::SETTINGS {
        let settings = resource(path).route(web::put().to(elastic::acknowledge_setting));
        let settings = settings.route(post().to(elastic::acknowledge_setting));
        let settings = settings.route(get().to(elastic::missing_setting));
        config.service(settings.route(web::head().to(elastic::missing_setting)));
    }
    config.service(events_resource("/v1/logs", [post().to(otlp::receive_logs)]));
    config.service(events_resource(
        "/upload",
        [post().to(journald::receive_upload)],
    ));
}
