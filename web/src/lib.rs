//! weir-web
