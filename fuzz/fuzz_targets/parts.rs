//! libFuzzer's entry to [`halcyon_fuzz::parts::target`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| halcyon_fuzz::parts::target(data));
