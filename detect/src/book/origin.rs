//! The tenant and the source of an event, which decide on its groups besides its fields.

use weir_schema::TenantKey;

/// Whose event it is, and who sent it.
#[derive(Clone, Copy, Debug)]
pub struct EventOrigin<'a> {
    pub tenant: TenantKey,
    /// The source's name: the group of an event that names neither host nor device nor actor.
    pub source: &'a str,
}

impl From<TenantKey> for EventOrigin<'static> {
    /// An event of an unnamed source.
    fn from(tenant: TenantKey) -> Self {
        let source = "";
        Self { tenant, source }
    }
}
