//! Runs `rules::check` on the input of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir_fuzz::rules::check(bytes));
