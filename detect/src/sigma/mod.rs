//! Sigma text to compiled documents: YAML, rules, correlations and filters.

pub(crate) mod issue;
pub(crate) mod yaml;

pub(crate) mod span;

pub(crate) mod diagnostic;

pub(crate) mod date;
pub(crate) mod decimal;
pub(crate) mod number;

pub(crate) mod pattern;

pub(crate) mod view;

pub(crate) mod value_test;

pub(crate) mod matcher;

pub(crate) mod encode;
pub(crate) mod modifiers;
pub(crate) mod placeholders;

pub(crate) mod clause;
pub(crate) mod condition;

pub(crate) mod log_sources;

pub(crate) mod grouping;

pub(crate) mod detection;

pub(crate) mod correlation;
pub(crate) mod filter;

pub(crate) mod checks;
pub(crate) mod header;
pub(crate) mod metadata;
pub(crate) mod remarks;
pub(crate) mod scalars;

pub(crate) mod document;

pub(crate) mod combine;
