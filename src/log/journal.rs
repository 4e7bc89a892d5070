//! systemd's journal as the reader of standard output.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::Level;

/// Whether `output` is the journal's: then `stream`, the value of `JOURNAL_STREAM`, names it by
/// device and inode (systemd.exec(5)). The variable alone says nothing, for it is inherited by
/// programs whose output goes elsewhere.
pub(super) fn is_reader_of(output: impl AsFd, stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else {
        return false;
    };
    let Ok(metadata) = output.as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata())
    else {
        return false;
    };
    device.parse() == Ok(metadata.dev()) && inode.parse() == Ok(metadata.ino())
}

/// How sd-daemon(3) has a line say how important it is.
pub(super) fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let output = tempfile::tempfile().unwrap();
        let metadata = output.metadata().unwrap();
        let (device, inode) = (metadata.dev(), metadata.ino());
        let check = |stream: &str| is_reader_of(&output, Some(stream));
        assert!(check(&format!("{device}:{inode}")));
        assert!(!check(&format!("{device}:{}", inode + 1)));
        assert!(!check(&format!("{}:{inode}", device + 1)));
        assert!(!check(&format!("{device}")));
        assert!(!check(""));
        assert!(!is_reader_of(&output, None));
    }

    #[test]
    fn each_level_has_its_priority() {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];
        assert_eq!(levels.map(priority), ["<3>", "<4>", "<6>", "<7>"]);
    }
}
