//! Connections to consumers: HTTP and syslog, over TLS or not, to permitted addresses only.

pub(crate) mod guard;

mod dial;

mod tls;

pub(crate) mod http;

pub(crate) mod syslog;
