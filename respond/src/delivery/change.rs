//! A change on its way to a consumer, with everything that its messages need.

use weir_schema::{AlertRecord, Change, ChangeKind};

/// A change to deliver.
pub(crate) struct OutgoingChange {
    pub change: Change,
    /// The kind under which the sink sends it.
    pub kind: ChangeKind,
    /// The alert as of the previous change.
    pub before: Option<AlertRecord>,
    /// Alerts that this change supersedes, in their current state.
    pub superseded: Vec<AlertRecord>,
}
