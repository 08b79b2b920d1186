//! What in an event is worth pivoting on, in which role, and which OCSF class the event is of.
//!
//! An observable accuses nobody. Users, hosts and processes among them are the entities that the
//! event is about.

use std::borrow::Cow;

/// What kind of thing a value names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObservableKind {
    User,
    Host,
    /// The path or the name of a program that ran.
    Process,
    File,
    /// A fingerprint of a file; the observable says by which algorithm.
    Hash,
    Ip,
    Port,
    Domain,
    Url,
    Email,
    RegistryKey,
    UserAgent,
    /// A thing in a cloud: a bucket, a function, an instance.
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

    /// The label that the API and documents use.
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

    /// Whether such a value names an entity: something that acts or is acted upon, and lasts.
    #[must_use]
    pub const fn is_entity(self) -> bool {
        matches!(self, Self::User | Self::Host | Self::Process)
    }
}

/// What the thing has to do with the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Who or what did it.
    Actor,
    /// Where it came from.
    Source,
    /// What it was done to, or where it went.
    Target,
    /// What started the actor or the target.
    Parent,
    /// The machine that it happened on, or that says so.
    Device,
}

impl Role {
    /// The label that the API and documents use.
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
    /// For hashes: by which algorithm, in lower case.
    pub algorithm: Option<&'static str>,
}

/// A class of the Open Cybersecurity Schema Framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OcsfClass {
    /// `class_uid`: its thousands are the category, its hundred thousands the extension.
    pub uid: u32,
    pub name: &'static str,
}
