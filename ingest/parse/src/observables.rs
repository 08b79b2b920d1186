//! Observables: extracts the typed values of an event's fields that are worth pivoting on.
//!
//! The [`tables`] list for each source the fields, and the kind and role of their values. A value
//! stays as the source wrote it, except for its wrapping: IPv4 in IPv6 form becomes IPv4, and
//! `Hashes: MD5=…,SHA256=…` becomes one observable per hash.

mod classes;
mod names;
mod tables;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use weir_schema::{Event, Observable, ObservableKind, Role, Value};

pub use classes::ocsf_class;
use tables::{FieldNaming, ObservableField, ValueForm};

/// Most observables of one event. Real events have fewer than 30. More come from a list of DNS
/// answers or recipients, and the event still has the rest of that list.
pub const OBSERVABLES_MAX: usize = 64;

/// Longest value of an observable. Windows paths end at 32 KiB, but those that people pivot on are
/// much shorter.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// Returns the observables of an event in the order of its fields, without duplicates.
#[must_use]
pub fn observables<'e>(event: &'e Event<'_>) -> Vec<Observable<'e>> {
    let naming = FieldNaming::of(event);
    let mut found = ObservableSet(Vec::new());
    for (name, value) in &event.fields {
        if is_of_carrier(name, event) {
            continue;
        }
        if let Some(field) = tables::field(naming, event, name) {
            found.add_field(field, name, value, event);
        } else if naming == FieldNaming::Common
            && let Some(field) = names::field(name)
        {
            found.add_field(&field, name, value, event);
        }
    }
    if naming == FieldNaming::Zeek {
        found.add_zeek_url(event);
    }
    found.0
}

/// Returns whether a field is about the carrier of a line: Vector adds the address of the peer that
/// sent it, and others name its program as a process.
fn is_of_carrier(name: &str, event: &Event<'_>) -> bool {
    match name {
        "source_ip" => event.get("source_type").is_some(),
        "process.name" => event.get("program").is_some(),
        _ => false,
    }
}

/// Returns whether the name of a field says that it holds who did something, where, or to what.
pub(crate) fn is_identity(name: &str) -> bool {
    let kind = match tables::common(name) {
        Some(field) => field.kind,
        None => match names::field(name) {
            Some(field) => field.kind,
            None => return false,
        },
    };
    kind != ObservableKind::Host
}

/// Returns whether the name of a field, or the last part of its path, says in any source that it holds an
/// observable.
pub(crate) fn is_known(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    tables::is_known(name) || tables::is_known(last) || names::field(name).is_some()
}

/// The observables found so far, each once and at most [`OBSERVABLES_MAX`].
struct ObservableSet<'e>(Vec<Observable<'e>>);

impl<'e> ObservableSet<'e> {
    fn add_field(
        &mut self,
        field: &ObservableField,
        name: &'e str,
        value: &'e Value<'_>,
        event: &Event<'_>,
    ) {
        match value {
            Value::List(values) => {
                for value in values.iter().take(OBSERVABLES_MAX) {
                    if !matches!(value, Value::List(_)) {
                        self.add_field(field, name, value, event);
                    }
                }
            }
            value => {
                let Some(text) = value.as_text() else {
                    return;
                };
                match field.form {
                    ValueForm::Plain => self.add(field.kind, field.role, text, name),
                    ValueForm::Name => {
                        if is_name(value) {
                            self.add(field.kind, field.role, text, name);
                        }
                    }
                    ValueForm::Hashes => self.add_hashes(field.role, &text, name),
                    ValueForm::Command => self.add_program(field, text, name),
                    ValueForm::ExecArgument => {
                        let kind = event.get("type").and_then(Value::as_text);
                        if kind.as_deref() == Some("EXECVE") {
                            self.add(field.kind, field.role, text, name);
                        }
                    }
                    ValueForm::DnsAnswers => self.add_dns_answers(field.role, &text, name),
                    ValueForm::WindowsObject => {
                        self.add_windows_object(field.role, text, name, event)
                    }
                }
            }
        }
    }

    fn add(&mut self, kind: ObservableKind, role: Role, value: Cow<'e, str>, field: &'e str) {
        let Some((kind, value)) = classify(kind, value) else {
            return;
        };
        let algorithm = if kind == ObservableKind::Hash {
            let Some(algorithm) = algorithm_by_length(&value) else {
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

    /// Adds the hashes of Sysmon's `SHA1=…,MD5=…,SHA256=…,IMPHASH=…`, or a single hash.
    fn add_hashes(&mut self, role: Role, text: &str, field: &'e str) {
        for part in text.split([',', ';']).take(ALGORITHMS.len()) {
            let (name, hash) = part.split_once('=').unwrap_or(("", part));
            let hash = hash.trim_ascii();
            let algorithm = if name.is_empty() {
                algorithm_by_length(hash)
            } else {
                let known = ALGORITHMS.iter().find(|(sysmon_name, own_name, digits)| {
                    sysmon_name.eq_ignore_ascii_case(name.trim_ascii())
                        && (hash.len() == *digits)
                        && !own_name.is_empty()
                });
                known.map(|(_, own_name, _)| *own_name)
            };
            let is_zero = hash.bytes().all(|b| b == b'0');
            if let Some(algorithm) = algorithm
                && !is_zero
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

    /// Adds the program of a command: its first word if that is a path. Other first words are commands
    /// of a shell or a router.
    fn add_program(&mut self, field: &ObservableField, text: Cow<'e, str>, name: &'e str) {
        let first = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.split(' ').next().unwrap_or(text)),
            Cow::Owned(text) => Cow::Owned(text.split(' ').next().unwrap_or(&text).to_owned()),
        };
        if first.starts_with('/') {
            self.add(field.kind, field.role, first, name);
        }
    }

    /// Adds the names and addresses of Sysmon's `type:  5 name.example;::ffff:192.0.2.1;`.
    fn add_dns_answers(&mut self, role: Role, text: &str, field: &'e str) {
        for part in text.split(';').take(OBSERVABLES_MAX) {
            let name = part.trim_ascii().rsplit(' ').next().unwrap_or("");
            let value = Cow::Owned(name.to_owned());
            self.add(ObservableKind::Domain, role, value, field);
        }
    }

    /// Adds a Windows object, whose kind is in the field `ObjectType`.
    fn add_windows_object(
        &mut self,
        role: Role,
        text: Cow<'e, str>,
        field: &'e str,
        event: &Event<'_>,
    ) {
        let kind = match event.get("ObjectType").and_then(Value::as_text).as_deref() {
            Some("File" | "Directory") => ObservableKind::File,
            Some("Key") => ObservableKind::RegistryKey,
            Some("Process") => ObservableKind::Process,
            _ => return,
        };
        self.add(kind, role, text, field);
    }

    /// Adds the URL of an HTTP request, of which Zeek logs the parts.
    fn add_zeek_url(&mut self, event: &'e Event<'_>) {
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

/// The name in events, the name in observables, and the number of hexadecimal digits.
const ALGORITHMS: [(&str, &str, usize); 6] = [
    ("MD5", "md5", 32),
    ("SHA1", "sha1", 40),
    ("SHA256", "sha256", 64),
    ("SHA512", "sha512", 128),
    ("IMPHASH", "imphash", 32),
    ("SHA-256", "sha256", 64),
];

fn algorithm_by_length(hash: &str) -> Option<&'static str> {
    if !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let found = ALGORITHMS.iter().find(|(.., digits)| *digits == hash.len());
    found.map(|(_, name, _)| *name)
}

/// Values that mean "none".
const PLACEHOLDERS: [&str; 14] = [
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

/// Returns the value without its wrapping, and its kind, which the value may make more specific.
/// Returns `None` for placeholders and for values that are not of the kind.
fn classify(kind: ObservableKind, value: Cow<'_, str>) -> Option<(ObservableKind, Cow<'_, str>)> {
    let value = trim_wrapping(value);
    if value.len() > VALUE_BYTES_MAX || PLACEHOLDERS.contains(&value.as_ref()) {
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
            // A name in a field for addresses is a domain name, or that of a host.
            let is_name = crate::host::is_host(&value)
                && !value.contains(':')
                && value.bytes().any(|b| b.is_ascii_alphabetic());
            let kind = if value.contains('.') {
                ObservableKind::Domain
            } else {
                ObservableKind::Host
            };
            is_name.then_some((kind, value))
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

/// Longest name of a user.
const USER_BYTES_MAX: usize = 256;

/// Returns whether a value can be the name of a user: a text, and neither a number nor JSON.
fn is_name(value: &Value<'_>) -> bool {
    let Value::Text(text) = value else {
        return false;
    };
    text.len() <= USER_BYTES_MAX
        && !text.starts_with(['{', '['])
        && !text.bytes().all(|b| b.is_ascii_digit())
}

/// Removes brackets, quotes and spaces around the value.
fn trim_wrapping(value: Cow<'_, str>) -> Cow<'_, str> {
    let wrapping = [' ', '"', '<', '>', '[', ']'];
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(wrapping)),
        Cow::Owned(text) => {
            let inner = text.trim_matches(wrapping);
            if inner.len() == text.len() {
                Cow::Owned(text)
            } else {
                Cow::Owned(inner.to_owned())
            }
        }
    }
}

/// Reads an address, except for the unspecified one. IPv4 in IPv6 form becomes IPv4.
fn ip(value: &str) -> Option<Cow<'static, str>> {
    // Some sources add the port, some the zone.
    let address = match value.parse::<SocketAddr>() {
        Ok(end) => end.ip(),
        Err(_) => match value.split('%').next()?.parse() {
            Ok(address) => address,
            // SonicWall writes `192.0.2.1:4022:X0`.
            Err(_) => IpAddr::V4(value.split(':').next()?.parse().ok()?),
        },
    };
    let address = address.to_canonical();
    (!address.is_unspecified()).then(|| Cow::Owned(address.to_string()))
}
