//! Observables: values of an event worth pivoting on, with their roles, and the event's OCSF class.
//!
//! An observable is not an indicator: it accuses nobody. Users, hosts and processes among the
//! observables are the entities that the event is about.

use std::borrow::Cow;

/// The kind of an observable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObservableKind {
    User,
    Host,
    /// The path or the name of a program that ran.
    Process,
    File,
    /// A hash of a file; [`Observable::algorithm`] is the hash function.
    Hash,
    Ip,
    Port,
    Domain,
    Url,
    Email,
    RegistryKey,
    UserAgent,
    /// A cloud resource: a bucket, a function, an instance.
    Resource,
}

impl ObservableKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 13] = [
        Self::User,
        Self::Host,
        Self::Process,
        Self::File,
        Self::Hash,
        Self::Ip,
        Self::Port,
        Self::Domain,
        Self::Url,
        Self::Email,
        Self::RegistryKey,
        Self::UserAgent,
        Self::Resource,
    ];

    /// The label in the API and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Host => "host",
            Self::Process => "process",
            Self::File => "file",
            Self::Hash => "hash",
            Self::Ip => "ip",
            Self::Port => "port",
            Self::Domain => "domain",
            Self::Url => "url",
            Self::Email => "email",
            Self::RegistryKey => "registry_key",
            Self::UserAgent => "user_agent",
            Self::Resource => "resource",
        }
    }

    /// Whether this kind is an entity: something lasting that acts or is acted upon.
    #[must_use]
    pub const fn is_entity(self) -> bool {
        matches!(self, Self::User | Self::Host | Self::Process)
    }
}

/// The part that an observable plays in the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Performed the action.
    Actor,
    /// The origin of the action.
    Source,
    /// The object or destination of the action.
    Target,
    /// Started the actor or the target.
    Parent,
    /// The machine on which it happened, or which reports it.
    Device,
}

impl Role {
    /// The label in the API and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Source => "source",
            Self::Target => "target",
            Self::Parent => "parent",
            Self::Device => "device",
        }
    }
}

/// A typed value of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observable<'e> {
    pub kind: ObservableKind,
    pub role: Role,
    pub value: Cow<'e, str>,
    /// The field that holds it.
    pub field: &'e str,
    /// For hashes: the hash function, in lower case.
    pub algorithm: Option<&'static str>,
}

/// A class of the Open Cybersecurity Schema Framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OcsfClass {
    /// `class_uid`: the thousands are the category, the hundred thousands the extension.
    pub uid: u32,
    pub name: &'static str,
}
