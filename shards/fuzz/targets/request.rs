#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gopool_fuzz::harness::request(data));
