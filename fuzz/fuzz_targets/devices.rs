//! See `targets/src/devices.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shootdown_fuzz_targets::devices::run(data));
