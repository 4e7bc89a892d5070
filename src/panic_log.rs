//! A panic ends the process (`panic = "abort"`); what it was is written down first.

use std::backtrace::Backtrace;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::{self, PanicHookInfo};
use std::path::PathBuf;

use jiff::Timestamp;
use tracing::error;

/// From now on every panic, on any thread, is appended to `path` and logged, besides what standard
/// error gets anyway (`config.md` §8.6).
pub fn install(path: PathBuf) {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let record = record(info, &Backtrace::force_capture());
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .and_then(|mut file| file.write_all(record.as_bytes()));
        error!(component = "startup", path = %path.display(), written = written.is_ok(), "{info}");
        default(info);
    }));
}

/// Time, version, thread, words, where, and a blank line.
fn record(info: &PanicHookInfo<'_>, backtrace: &Backtrace) -> String {
    let thread = std::thread::current();
    let mut text = String::new();
    // Writing into a text does not fail.
    let _ = writeln!(
        text,
        "{} goPool {} thread {}\n{info}\n{backtrace}\n",
        Timestamp::now(),
        crate::build::VERSION,
        thread.name().unwrap_or("without a name"),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("panic.log");
        let before = panic::take_hook();
        install(path.clone());
        let outcome = std::thread::Builder::new()
            .name("unlucky".into())
            .spawn(|| panic!("no way on"))
            .unwrap()
            .join();
        panic::set_hook(before);
        assert!(outcome.is_err());
        let text = std::fs::read_to_string(&path).unwrap();
        for words in ["thread unlucky", "no way on", "panic_log.rs"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.ends_with("\n\n"));
    }
}
