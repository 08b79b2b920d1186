//! weir-detect
