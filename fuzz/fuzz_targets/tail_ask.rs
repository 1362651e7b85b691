#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mast_fuzz::run("tail_ask", data));
