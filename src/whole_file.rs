//! Files that are there whole or not at all, whenever the machine stops.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Makes a file anew and returns when it is on the disk. What had its name is gone, its mode too.
pub fn make(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts a file in the place of what is there; until then that stays. Folders are made.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = beside(path);
    let replaced = make(&temporary, bytes, mode).and_then(|()| fs::rename(&temporary, path));
    if replaced.is_err() {
        // It may not have come to be.
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

/// A file, and what shall be in its place.
#[derive(Debug)]
pub struct Replacement {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    pub mode: u32,
}

/// Why several files have not been replaced.
#[derive(Debug)]
pub struct NotReplaced {
    pub path: PathBuf,
    pub source: io::Error,
    /// Those that are new all the same: what they were could not be put back.
    pub left: Vec<PathBuf>,
}

/// Replaces all of these files, or none of them. Everything is on the disk under other names before
/// the first is touched, so what is left to go wrong is a rename; then those that are done are put
/// back. Who owns a file goes on to do so, as far as the process may decide that.
pub fn replace_all(files: &[Replacement]) -> Result<(), NotReplaced> {
    let mut before = Vec::new();
    let prepared = files.iter().try_for_each(|file| {
        let mut prepare = || {
            before.push(Former::of(&file.path)?);
            let temporary = beside(&file.path);
            make(&temporary, &file.bytes, file.mode)?;
            // The process' umask may have taken rights away that the file has.
            fs::set_permissions(&temporary, Permissions::from_mode(file.mode))?;
            if let Some(Some(Former { owner: (user, group), .. })) = before.last() {
                // Only root may give a file away; others own it, and must be able to read it.
                let _ = chown(&temporary, Some(*user), Some(*group));
            }
            Ok(())
        };
        prepare().map_err(|source| (file, source))
    });
    let mut replaced = 0;
    let done = prepared.and_then(|()| {
        files.iter().try_for_each(|file| {
            fs::rename(beside(&file.path), &file.path).map_err(|source| (file, source))?;
            replaced += 1;
            Ok(())
        })
    });
    let Err((file, source)) = done else {
        for file in files {
            // They have their new contents, whether the disk knows of the names yet or not.
            let _ = sync_folder_of(&file.path);
        }
        return Ok(());
    };
    for file in files {
        // Some have not come to be.
        let _ = fs::remove_file(beside(&file.path));
    }
    let undone = files[..replaced].iter().zip(before);
    let left = undone.filter(|(file, former)| match former {
        Some(former) => replace(&file.path, &former.bytes, former.mode).is_err(),
        None => fs::remove_file(&file.path).is_err(),
    });
    let left = left.map(|(file, _)| file.path.clone()).collect();
    Err(NotReplaced { path: file.path.clone(), source, left })
}

/// What a file was.
struct Former {
    bytes: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
}

impl Former {
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => {
                let metadata = fs::metadata(path)?;
                let mode = metadata.mode() & 0o777;
                Ok(Some(Self { bytes, mode, owner: (metadata.uid(), metadata.gid()) }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Where a file is made before it takes its place.
fn beside(path: &Path) -> PathBuf {
    let mut temporary = OsString::from(path);
    temporary.push(".new");
    temporary.into()
}

/// Returns when the names in the file's folder are on the disk: a file that has been renamed may
/// otherwise have its old name after a power cut.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// A name beside a file that says what it was kept for and when:
/// `workers.db.damaged-20261126T081500Z`.
pub fn dated(path: &Path, what: &str) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{what}-{now}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/file");
        for (text, mode) in [("first", 0o644), ("second", 0o600)] {
            replace(&path, text.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn of_several_files_all_are_replaced_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let to_second = |names: &[&str]| {
            let replacement = |name: &&str| Replacement {
                path: path(name),
                bytes: b"second".into(),
                mode: 0o640,
            };
            replace_all(&names.iter().map(replacement).collect::<Vec<_>>())
        };
        let text = |name| fs::read_to_string(path(name)).unwrap();
        fs::write(path("a"), "first").unwrap();
        // One that cannot be made, and one whose place cannot be taken.
        fs::create_dir(path("b.new")).unwrap();
        assert_eq!(to_second(&["a", "b"]).unwrap_err().path, path("b"));
        fs::create_dir_all(path("c")).unwrap();
        let error = to_second(&["a", "new", "c"]).unwrap_err();
        assert_eq!((error.path, error.left.len()), (path("c"), 0));
        assert_eq!(text("a"), "first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left over");
        to_second(&["a", "new"]).unwrap();
        assert_eq!((text("a"), text("new")), ("second".into(), "second".into()));
        assert_eq!(fs::metadata(path("a")).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn what_cannot_be_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::create_dir(&path).unwrap();
        replace(&path, b"x", 0o644).unwrap_err();
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
