//! How the pool proves to bitcoind who it is: the cookie file that bitcoind writes anew at each
//! start, or fixed credentials (`mining.md` §1.5).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use tracing::{info, warn};

use gopool_shards::work::address::Network;

/// `user:password`, as HTTP Basic authentication wants it.
pub type Credentials = String;

/// Where credentials come from. Shared by all calls.
#[derive(Debug)]
pub enum Auth {
    None,
    Fixed(Credentials),
    Cookie(CookieFile),
}

impl Auth {
    /// What to send with the next call. A cookie that has changed on disk is read again.
    pub fn credentials(&self) -> Option<Credentials> {
        match self {
            Self::None => None,
            Self::Fixed(credentials) => Some(credentials.clone()),
            Self::Cookie(cookie) => cookie.credentials(false),
        }
    }

    /// bitcoind refused the credentials: reads the cookie whatever its date says, for Core's
    /// cookies all have the same size and a restart may fall into the same tick of the clock.
    pub fn refused(&self) {
        if let Self::Cookie(cookie) = self {
            cookie.credentials(true);
        }
    }
}

/// A cookie that may not exist yet, and will change when bitcoind restarts.
#[derive(Debug)]
pub struct CookieFile {
    /// In the order in which they are tried; the first that is there wins.
    candidates: Vec<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    loaded: Option<Loaded>,
    warned: bool,
}

#[derive(Debug)]
struct Loaded {
    path: PathBuf,
    stamp: Stamp,
    credentials: Credentials,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl CookieFile {
    /// A configured path: the cookie itself, or the folder that holds it.
    pub fn at(path: &Path) -> Self {
        let mut candidates = vec![path.to_owned()];
        if path.file_name().is_none_or(|name| name != ".cookie") {
            candidates.push(path.join(".cookie"));
        }
        Self::with_candidates(candidates)
    }

    /// Wherever a node of `network` usually keeps it.
    pub fn detected(network: Network) -> Self {
        Self::with_candidates(usual_places(network))
    }

    fn with_candidates(candidates: Vec<PathBuf>) -> Self {
        Self { candidates, state: Mutex::default() }
    }

    /// The first place where there is one now, read or not.
    pub fn find(&self) -> Option<PathBuf> {
        self.candidates.iter().find(|path| path.is_file()).cloned()
    }

    /// Where the cookie in use was read.
    pub fn path(&self) -> Option<PathBuf> {
        let state = self.state.lock().expect("no code panics while it holds this");
        state.loaded.as_ref().map(|loaded| loaded.path.clone())
    }

    fn credentials(&self, force: bool) -> Option<Credentials> {
        let mut state = self.state.lock().expect("no code panics while it holds this");
        if let Some(loaded) = &state.loaded
            && !force
            && stamp(&loaded.path).ok() == Some(loaded.stamp)
        {
            return Some(loaded.credentials.clone());
        }
        for path in &self.candidates {
            match read(path) {
                Ok((credentials, stamp)) => {
                    let known = state.loaded.as_ref().map(|loaded| &loaded.credentials);
                    if known != Some(&credentials) {
                        info!(component = "rpc", path = %path.display(), "cookie loaded");
                    }
                    let path = path.clone();
                    state.loaded = Some(Loaded { path, stamp, credentials: credentials.clone() });
                    state.warned = false;
                    return Some(credentials);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if !state.warned => {
                    state.warned = true;
                    warn!(component = "rpc", path = %path.display(), %error, "cookie not readable");
                }
                Err(_) => {}
            }
        }
        // bitcoind removes its cookie when it stops; the old one is as good as none, but trying
        // it makes the node's own answer the one that is reported.
        state.loaded.as_ref().map(|loaded| loaded.credentials.clone())
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp { modified: metadata.modified()?, bytes: metadata.len() })
}

fn read(path: &Path) -> io::Result<(Credentials, Stamp)> {
    // Stamped first: a file that changes in between is read again next time.
    let stamp = stamp(path)?;
    if fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let text = fs::read_to_string(path)?;
    match text.trim().split_once(':') {
        Some((user, password)) => Ok((format!("{}:{}", user.trim(), password.trim()), stamp)),
        None => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "it is not of the form user:password"))
        }
    }
}

/// Candidates of the selected network first, then the others as the reference lists them.
fn usual_places(network: Network) -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut folders = Vec::new();
    if let Some(folder) = std::env::var("BITCOIN_DATADIR").ok().filter(|f| !f.trim().is_empty()) {
        folders.push(PathBuf::from(folder.trim()));
    }
    if let Some(home) = &home {
        folders.push(home.join(".btcd/data"));
        folders.push(home.join(".bitcoin"));
    }
    folders.extend(["/var/lib/bitcoin", "/home/bitcoin/.bitcoin"].map(PathBuf::from));
    let own: &[&str] = match network {
        Network::Mainnet => &[""],
        Network::Testnet => &["testnet3", "testnet4"],
        Network::Signet => &["signet"],
        Network::Regtest => &["regtest"],
    };
    let all = ["", "regtest", "testnet3", "testnet4", "signet", "simnet"];
    let in_every_folder = |names: &[&str]| -> Vec<PathBuf> {
        let cookie = |folder: &PathBuf, name: &str| folder.join(name).join(".cookie");
        folders.iter().flat_map(|f| names.iter().map(move |name| cookie(f, name))).collect()
    };
    let mut places = in_every_folder(own);
    for place in in_every_folder(&all) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places.push(PathBuf::from("/etc/bitcoin/.cookie"));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_in_its_folder_and_read_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let cookie = CookieFile::at(folder.path());
        assert_eq!(cookie.credentials(false), None, "it may come later");
        let path = folder.path().join(".cookie");
        fs::write(&path, " __cookie__ : abc\n").unwrap();
        assert_eq!(cookie.credentials(false).as_deref(), Some("__cookie__:abc"));
        assert_eq!(cookie.path(), Some(path.clone()));
        fs::write(&path, "__cookie__:defg").unwrap();
        assert_eq!(cookie.credentials(false).as_deref(), Some("__cookie__:defg"));
        // Same size, same date: only a refusal makes it look again.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "__cookie__:hijk").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(cookie.credentials(false).as_deref(), Some("__cookie__:defg"));
        assert_eq!(cookie.credentials(true).as_deref(), Some("__cookie__:hijk"));
    }

    #[test]
    fn the_selected_networks_cookie_comes_first() {
        let places = usual_places(Network::Regtest);
        let position = |end: &str| places.iter().position(|place| place.ends_with(end));
        assert!(position(".bitcoin/regtest/.cookie") < position(".bitcoin/.cookie"));
        assert!(position("testnet4/.cookie").is_some());
    }

    #[test]
    fn a_file_without_a_colon_is_no_cookie() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookie");
        fs::write(&path, "nonsense").unwrap();
        assert_eq!(CookieFile::at(&path).credentials(false), None);
    }
}
