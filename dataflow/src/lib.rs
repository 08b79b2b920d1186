//! weir-dataflow
