//! From rule entries to running plans: versions of rules, settings, filters and correlations.

pub(crate) mod settings;

pub(crate) mod period;

pub mod identity;

pub(crate) mod origin;

pub(crate) mod facts;
pub(crate) mod group;

pub(crate) mod live;

pub(crate) mod catalog;

pub(crate) mod revise;

pub(crate) mod members;

pub(crate) mod chain;

pub(crate) mod segments;

pub(crate) mod plans;

pub(crate) mod change;

pub(crate) mod rederive;

pub(crate) mod admit;

pub(crate) mod drafts;

pub(crate) mod index;

pub(crate) mod explain;
pub(crate) mod summary;

pub(crate) mod rule_book;

mod what_ifs;
