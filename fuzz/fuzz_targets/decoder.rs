//! See `targets/src/decoder.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shootdown_fuzz_targets::decoder::run(data));
