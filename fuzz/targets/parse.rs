//! Runs `parse::check` on the input of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir_fuzz::parse::check(bytes));
