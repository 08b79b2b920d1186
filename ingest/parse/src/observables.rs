//! What in an event is worth pivoting on: reads the typed values of its fields by the tables of
//! its source.
//!
//! A table says for each field name of a source what kind of thing its value names and in which
//! role; [`tables`] holds them. Values are shown as the source wrote them, with what every source
//! wraps around them taken off: IPv4 in IPv6 form is IPv4, and `Hashes: MD5=…,SHA256=…` is one
//! observable each.

mod classes;
mod tables;

use std::borrow::Cow;
use std::net::SocketAddr;

use weir_schema::{Event, Observable, ObservableKind, Role, Value};

pub use classes::ocsf_class;
use tables::{Field, Form, Source};

/// Most observables of one event. Real events have fewer than 30; more is a list of answers or
/// recipients, whose rest stays in the event.
pub const OBSERVABLES_MAX: usize = 64;

/// Longest value that is taken for one: paths of Windows end at 32 KiB, and those that people
/// pivot on long before.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// The typed values of an event, in the order of its fields, each kind, role and value once.
#[must_use]
pub fn observables<'e>(event: &'e Event<'_>) -> Vec<Observable<'e>> {
    let source = tables::source(event);
    let mut found = Found(Vec::new());
    for (name, value) in &event.fields {
        if let Some(field) = tables::field(source, event, name) {
            found.take(field, name, value, event);
        }
    }
    if source == Source::Zeek {
        found.zeek_url(event);
    }
    found.0
}

struct Found<'e>(Vec<Observable<'e>>);

impl<'e> Found<'e> {
    fn take(&mut self, field: &Field, name: &'e str, value: &'e Value<'_>, event: &Event<'_>) {
        match value {
            Value::List(values) => {
                for value in values.iter().take(OBSERVABLES_MAX) {
                    if !matches!(value, Value::List(_)) {
                        self.take(field, name, value, event);
                    }
                }
            }
            value => {
                let Some(text) = value.as_text() else {
                    return;
                };
                match field.form {
                    Form::Plain => self.add(field.kind, field.role, text, name),
                    Form::Hashes => self.hashes(field.role, &text, name),
                    Form::Words => self.words(field, text, name),
                    Form::Argument => {
                        let kind = event.get("type").and_then(Value::as_text);
                        if kind.as_deref() == Some("EXECVE") {
                            self.add(field.kind, field.role, text, name);
                        }
                    }
                    Form::Answers => self.answers(field.role, &text, name),
                    Form::Object => self.object(field.role, text, name, event),
                }
            }
        }
    }

    fn add(&mut self, kind: ObservableKind, role: Role, value: Cow<'e, str>, field: &'e str) {
        let Some((kind, value)) = typed(kind, value) else {
            return;
        };
        let algorithm = if kind == ObservableKind::Hash {
            let Some(algorithm) = by_length(&value) else {
                return;
            };
            Some(algorithm)
        } else {
            None
        };
        self.push(Observable {
            kind,
            role,
            value,
            field,
            algorithm,
        });
    }

    fn push(&mut self, observable: Observable<'e>) {
        let is_known = self.0.iter().any(|known| {
            known.kind == observable.kind
                && known.role == observable.role
                && known.value == observable.value
                && known.algorithm == observable.algorithm
        });
        if !is_known && self.0.len() < OBSERVABLES_MAX {
            self.0.push(observable);
        }
    }

    /// Sysmon's `SHA1=…,MD5=…,SHA256=…,IMPHASH=…`, or one hash by itself.
    fn hashes(&mut self, role: Role, text: &str, field: &'e str) {
        for part in text.split([',', ';']).take(ALGORITHMS.len()) {
            let (name, hash) = part.split_once('=').unwrap_or(("", part));
            let hash = hash.trim_ascii();
            let algorithm = if name.is_empty() {
                by_length(hash)
            } else {
                let known = ALGORITHMS.iter().find(|(theirs, ours, digits)| {
                    theirs.eq_ignore_ascii_case(name.trim_ascii())
                        && (hash.len() == *digits)
                        && !ours.is_empty()
                });
                known.map(|(_, ours, _)| *ours)
            };
            let zeros = hash.bytes().all(|b| b == b'0');
            if let Some(algorithm) = algorithm
                && !zeros
                && hash.bytes().all(|b| b.is_ascii_hexdigit())
            {
                self.push(Observable {
                    kind: ObservableKind::Hash,
                    role,
                    value: Cow::Owned(hash.to_owned()),
                    field,
                    algorithm: Some(algorithm),
                });
            }
        }
    }

    /// A command: its first word is the program, unless a shell or a router reads it.
    fn words(&mut self, field: &Field, text: Cow<'e, str>, name: &'e str) {
        let first = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.split(' ').next().unwrap_or(text)),
            Cow::Owned(text) => Cow::Owned(text.split(' ').next().unwrap_or(&text).to_owned()),
        };
        if first.starts_with('/') {
            self.add(field.kind, field.role, first, name);
        }
    }

    /// Sysmon's `type:  5 name.example;::ffff:192.0.2.1;`
    fn answers(&mut self, role: Role, text: &str, field: &'e str) {
        for part in text.split(';').take(OBSERVABLES_MAX) {
            let name = part.trim_ascii().rsplit(' ').next().unwrap_or("");
            let value = Cow::Owned(name.to_owned());
            self.add(ObservableKind::Domain, role, value, field);
        }
    }

    /// What Windows calls an object is told by its type.
    fn object(&mut self, role: Role, text: Cow<'e, str>, field: &'e str, event: &Event<'_>) {
        let kind = match event.get("ObjectType").and_then(Value::as_text).as_deref() {
            Some("File" | "Directory") => ObservableKind::File,
            Some("Key") => ObservableKind::RegistryKey,
            Some("Process") => ObservableKind::Process,
            _ => return,
        };
        self.add(kind, role, text, field);
    }

    /// Zeek writes the parts of an address that was asked for.
    fn zeek_url(&mut self, event: &'e Event<'_>) {
        if event.logsource.service.as_deref() != Some("http") {
            return;
        }
        let text = |name| event.get(name).and_then(Value::as_text);
        if let (Some(host), Some(uri)) = (text("host"), text("uri"))
            && uri.starts_with('/')
        {
            let url = Cow::Owned(format!("http://{host}{uri}"));
            self.add(ObservableKind::Url, Role::Target, url, "uri");
        }
    }
}

/// Their name, ours, and how many digits such a hash has.
const ALGORITHMS: [(&str, &str, usize); 6] = [
    ("MD5", "md5", 32),
    ("SHA1", "sha1", 40),
    ("SHA256", "sha256", 64),
    ("SHA512", "sha512", 128),
    ("IMPHASH", "imphash", 32),
    ("SHA-256", "sha256", 64),
];

fn by_length(hash: &str) -> Option<&'static str> {
    if !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let found = ALGORITHMS.iter().find(|(.., digits)| *digits == hash.len());
    found.map(|(_, name, _)| *name)
}

/// The value without what sources wrap around it, and its kind where the value itself tells it;
/// `None` for what says that there is none.
fn typed(kind: ObservableKind, value: Cow<'_, str>) -> Option<(ObservableKind, Cow<'_, str>)> {
    let value = trimmed(value);
    let nothing = [
        "",
        "-",
        "?",
        "N/A",
        "n/a",
        "(null)",
        "null",
        "none",
        "unknown",
        "(unknown)",
        "%%1793",
        "(empty)",
        "LOCAL",
        "HIDDEN_DUE_TO_SECURITY_REASONS",
    ];
    if value.len() > VALUE_BYTES_MAX || nothing.contains(&value.as_ref()) {
        return None;
    }
    match kind {
        ObservableKind::Ip | ObservableKind::Host | ObservableKind::Domain => {
            if let Some(value) = ip(&value) {
                return Some((ObservableKind::Ip, value));
            }
            if kind != ObservableKind::Ip {
                return Some((kind, value));
            }
            // Where an address should be, a name is one of the domain system.
            let is_name = value.contains('.') && !value.contains([' ', ':', '/']);
            is_name.then_some((ObservableKind::Domain, value))
        }
        ObservableKind::Port => {
            let is_port = value != "0" && value.parse::<u16>().is_ok();
            is_port.then_some((kind, value))
        }
        ObservableKind::Url => value.contains("://").then_some((kind, value)),
        ObservableKind::Email => value.contains('@').then_some((kind, value)),
        ObservableKind::User
        | ObservableKind::Process
        | ObservableKind::File
        | ObservableKind::Hash
        | ObservableKind::RegistryKey
        | ObservableKind::UserAgent
        | ObservableKind::Resource => Some((kind, value)),
    }
}

/// Without brackets, quotes and spaces around it.
fn trimmed(value: Cow<'_, str>) -> Cow<'_, str> {
    let marks = [' ', '"', '<', '>', '[', ']'];
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(marks)),
        Cow::Owned(text) => {
            let inner = text.trim_matches(marks);
            if inner.len() == text.len() {
                Cow::Owned(text)
            } else {
                Cow::Owned(inner.to_owned())
            }
        }
    }
}

/// The address, if the value is one that says anything: not the unspecified one. IPv4 in IPv6 form
/// is IPv4.
fn ip(value: &str) -> Option<Cow<'static, str>> {
    // Some write the port with it, some the zone.
    let address = match value.parse::<SocketAddr>() {
        Ok(end) => end.ip(),
        Err(_) => value.split('%').next()?.parse().ok()?,
    };
    let address = address.to_canonical();
    (!address.is_unspecified()).then(|| Cow::Owned(address.to_string()))
}
