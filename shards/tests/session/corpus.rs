//! What the fuzzer has found runs with the tests.

use std::fs;
use std::path::Path;

use crate::harness;

fn run(target: &str, try_input: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut count = 0;
    for file in files {
        try_input(&fs::read(file.expect("an entry").path()).expect("an input"));
        count += 1;
    }
    assert!(count > 0, "no input in {}", folder.display());
}

#[test]
fn inputs_found_for_lines_do_no_harm() {
    run("line", harness::line);
}

#[test]
fn inputs_found_for_requests_do_no_harm() {
    run("request", harness::request);
}

#[test]
fn inputs_found_for_sessions_do_no_harm() {
    run("session", harness::session);
}
