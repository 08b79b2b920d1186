//! Places in the tables of a correlator.

/// The place of a plan in the plan table. It is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanSlot(pub u32);

/// The place of a group in the group store. It is reused once its group is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupSlot(pub u32);
