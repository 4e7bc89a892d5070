//! How the pool proves to bitcoind who it is: the cookie file that bitcoind writes anew at each
//! start, or fixed credentials (`mining.md` §1.5, `config.md` §4.2, §4.3).
//!
//! While no cookie has been read, every place where one may be is looked at again and again: the
//! node may be started after the pool. The first one that is read is then followed and no other,
//! until the node refuses it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use gopool_shards::work::address::Network;

/// How often the cookie is looked at while nobody calls.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// `user:password`, as HTTP Basic authentication wants it.
pub type Credentials = String;

/// Where credentials come from. Shared by all calls.
#[derive(Debug)]
pub enum Auth {
    None,
    Fixed(Credentials),
    Cookie(Arc<CookieFile>),
}

impl Auth {
    /// What to send with the next call. A cookie that has changed on disk is read again.
    pub fn credentials(&self) -> Option<Credentials> {
        match self {
            Self::None => None,
            Self::Fixed(credentials) => Some(credentials.clone()),
            Self::Cookie(cookie) => cookie.credentials(Look::IfChanged),
        }
    }

    /// bitcoind refused the credentials: reads the cookie whatever its date says, for Core's
    /// cookies all have the same size and a restart may fall into the same tick of the clock.
    pub fn refused(&self) {
        if let Self::Cookie(cookie) = self {
            cookie.credentials(Look::Anew);
        }
    }

    /// Follows a cookie also while nobody calls, for as long as the process lives.
    pub fn watch(&self) -> io::Result<()> {
        let Self::Cookie(cookie) = self else { return Ok(()) };
        let cookie = Arc::clone(cookie);
        thread::Builder::new().name("cookie".into()).spawn(move || {
            loop {
                cookie.credentials(Look::IfChanged);
                thread::sleep(WATCH_INTERVAL);
            }
        })?;
        Ok(())
    }
}

/// A cookie that may not exist yet, and will change when bitcoind restarts.
#[derive(Debug)]
pub struct CookieFile {
    /// Cookies, or folders that hold one, in the order in which they are tried.
    candidates: Vec<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    loaded: Option<Loaded>,
    /// What was wrong last: each trouble is reported once.
    trouble: Option<String>,
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// At the cookie in use and no other: a node that restarts has none for a moment, and another
    /// node's is not a better one.
    IfChanged,
    /// At all places: the one in use is worth nothing.
    Anew,
}

/// Why there is nothing to send.
enum Failure {
    Nowhere,
    At(PathBuf, io::Error),
}

impl CookieFile {
    /// A configured path: the cookie itself, or the folder that holds it.
    pub fn at(path: &Path) -> Arc<Self> {
        let mut candidates = vec![path.to_owned()];
        if !path.as_os_str().as_encoded_bytes().ends_with(b".cookie") {
            candidates.push(path.join(".cookie"));
        }
        Self::with_candidates(candidates)
    }

    /// Wherever a node of `network` usually keeps it.
    pub fn detected(network: Network) -> Arc<Self> {
        let datadir = std::env::var("BITCOIN_DATADIR").ok();
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        Self::with_candidates(usual_places(network, datadir.as_deref(), home.as_deref()))
    }

    fn with_candidates(candidates: Vec<PathBuf>) -> Arc<Self> {
        Arc::new(Self { candidates, state: Mutex::default() })
    }

    /// The first cookie that exists now. Nothing is read.
    pub fn find(&self) -> Option<PathBuf> {
        self.candidates.iter().map(|candidate| cookie_at(candidate)).find(|path| path.is_file())
    }

    /// Where the cookie in use was read.
    pub fn path(&self) -> Option<PathBuf> {
        self.state().loaded.as_ref().map(|loaded| loaded.path.clone())
    }

    fn credentials(&self, look: Look) -> Option<Credentials> {
        let mut state = self.state();
        let read = match &state.loaded {
            Some(loaded) if look == Look::IfChanged => {
                if stamp(&loaded.path).ok() == Some(loaded.stamp) {
                    return Some(loaded.credentials.clone());
                }
                self::read(&loaded.path).map_err(|error| Failure::At(loaded.path.clone(), error))
            }
            _ => self.read_first(),
        };
        match read {
            Ok(loaded) => state.take(loaded),
            Err(failure) => state.report(&failure, &self.candidates),
        }
        // bitcoind removes its cookie when it stops; the old one is as good as none, but trying
        // it makes the node's own answer the one that is reported.
        state.loaded.as_ref().map(|loaded| loaded.credentials.clone())
    }

    /// Reads the first that exists. One that exists and cannot be used ends the search: what comes
    /// after it belongs to another node.
    fn read_first(&self) -> Result<Loaded, Failure> {
        let mut closed = None;
        for candidate in &self.candidates {
            let path = cookie_at(candidate);
            match read(&path) {
                Ok(loaded) => return Ok(loaded),
                Err(error) if is_absent(&error) => {}
                // Behind a folder that we may not enter: whether it exists is not known.
                Err(error) if fs::metadata(&path).is_err() => {
                    closed.get_or_insert((path, error));
                }
                Err(error) => return Err(Failure::At(path, error)),
            }
        }
        Err(closed.map_or(Failure::Nowhere, |(path, error)| Failure::At(path, error)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds this")
    }
}

impl State {
    fn take(&mut self, new: Loaded) {
        let known = self.loaded.as_ref().map(|loaded| &loaded.credentials);
        let path = new.path.display();
        match known {
            None => info!(component = "rpc", %path, "cookie loaded"),
            Some(known) if *known != new.credentials => {
                info!(component = "rpc", %path, "cookie reloaded");
            }
            Some(_) => {}
        }
        self.loaded = Some(new);
        self.trouble = None;
    }

    fn report(&mut self, failure: &Failure, candidates: &[PathBuf]) {
        let trouble = match failure {
            // A node that is being restarted.
            Failure::At(_, error) if is_absent(error) => return,
            Failure::At(path, error) => format!("{}: {error}", path.display()),
            Failure::Nowhere => String::new(),
        };
        if self.trouble.replace(trouble.clone()).as_ref() == Some(&trouble) {
            return;
        }
        match failure {
            Failure::At(path, error) => {
                warn!(component = "rpc", path = %path.display(), %error, "cookie not readable");
            }
            Failure::Nowhere => {
                let places: Vec<_> = candidates.iter().map(|path| path.to_string_lossy()).collect();
                let paths = places.join(", ");
                warn!(
                    component = "rpc",
                    paths, "there is no cookie yet, it is looked for each second"
                );
            }
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The cookie that `candidate` is or, when it is a folder, holds.
fn cookie_at(candidate: &Path) -> PathBuf {
    if candidate.is_dir() { candidate.join(".cookie") } else { candidate.to_owned() }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp { modified: metadata.modified()?, bytes: metadata.len() })
}

fn read(path: &Path) -> io::Result<Loaded> {
    // Stamped first: a file that changes in between is read again next time.
    let stamp = stamp(path)?;
    let text = fs::read_to_string(path)?;
    let Some((user, password)) = text.trim().split_once(':') else {
        let reason = "it is not of the form user:password";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    };
    let credentials = format!("{}:{}", user.trim(), password.trim());
    Ok(Loaded { path: path.to_owned(), stamp, credentials })
}

/// Those of the selected network first, then the others, in the order of `config.md` §4.2. The test
/// network has two folders, the older version's first.
fn usual_places(network: Network, datadir: Option<&str>, home: Option<&Path>) -> Vec<PathBuf> {
    const CORE: &[&str] = &["", "regtest", "testnet3", "testnet4", "signet"];
    const BTCD: &[&str] = &["", "regtest", "testnet3", "testnet4", "signet", "simnet"];
    let own: &[&str] = match network {
        Network::Mainnet => &[""],
        Network::Testnet => &["testnet3", "testnet4"],
        Network::Signet => &["signet"],
        Network::Regtest => &["regtest"],
    };
    let mut folders = Vec::new();
    if let Some(datadir) = datadir.map(str::trim).filter(|datadir| !datadir.is_empty()) {
        folders.push((PathBuf::from(datadir), CORE));
    }
    if let Some(home) = home {
        folders.push((home.join(".btcd/data"), BTCD));
        folders.push((home.join(".bitcoin"), CORE));
    }
    for folder in ["/var/lib/bitcoin", "/home/bitcoin/.bitcoin"] {
        folders.push((PathBuf::from(folder), CORE));
    }
    let places_of = |is_wanted: &dyn Fn(&str) -> bool| -> Vec<PathBuf> {
        let in_folder = |(folder, names): &(PathBuf, &[&str])| -> Vec<PathBuf> {
            let wanted = names.iter().filter(|name| is_wanted(name));
            wanted.map(|name| folder.join(name).join(".cookie")).collect()
        };
        folders.iter().flat_map(in_folder).collect()
    };
    let mut places = places_of(&|name| own.contains(&name));
    places.extend(places_of(&|name| !own.contains(&name)));
    places.push(PathBuf::from("/etc/bitcoin/.cookie"));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[track_caller]
    fn check(cookie: &CookieFile, look: Look, expected: Option<&str>) {
        assert_eq!(cookie.credentials(look).as_deref(), expected);
    }

    #[test]
    fn a_cookie_is_found_in_its_folder_and_read_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let cookie = CookieFile::at(folder.path());
        check(&cookie, Look::IfChanged, None);
        assert_eq!(cookie.find(), None);
        let path = folder.path().join(".cookie");
        write(&path, " __cookie__ : abc\n");
        assert_eq!(cookie.find(), Some(path.clone()));
        assert_eq!(cookie.path(), None, "found is not read");
        check(&cookie, Look::IfChanged, Some("__cookie__:abc"));
        assert_eq!(cookie.path(), Some(path.clone()));
        write(&path, "__cookie__:defg");
        check(&cookie, Look::IfChanged, Some("__cookie__:defg"));
        // Same size, same date: only a refusal makes it look again.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        write(&path, "__cookie__:hijk");
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        check(&cookie, Look::IfChanged, Some("__cookie__:defg"));
        check(&cookie, Look::Anew, Some("__cookie__:hijk"));
    }

    #[test]
    fn a_path_is_the_cookie_or_its_folder_whatever_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for (configured, file) in [
            ("a/.cookie", "a/.cookie"),
            ("b/rpc.cookie", "b/rpc.cookie"),
            ("c/token", "c/token"),
            ("d", "d/.cookie"),
            ("e/.cookie", "e/.cookie/.cookie"),
        ] {
            let cookie = CookieFile::at(&folder.path().join(configured));
            check(&cookie, Look::IfChanged, None);
            let file = folder.path().join(file);
            write(&file, "u:p");
            check(&cookie, Look::IfChanged, Some("u:p"));
            assert_eq!(cookie.path(), Some(file));
        }
    }

    #[test]
    fn a_password_may_have_colons_and_a_file_without_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookie");
        let cookie = CookieFile::at(&path);
        write(&path, "nonsense");
        check(&cookie, Look::IfChanged, None);
        write(&path, "user:pass:word");
        check(&cookie, Look::IfChanged, Some("user:pass:word"));
        write(&path, "torn");
        check(&cookie, Look::IfChanged, Some("user:pass:word"));
        fs::remove_file(&path).unwrap();
        check(&cookie, Look::IfChanged, Some("user:pass:word"));
    }

    #[test]
    fn detecting_goes_on_until_there_is_one_and_again_when_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        let cookie = CookieFile::with_candidates(vec![first.clone(), second.clone()]);
        assert_eq!(cookie.candidates, [first.clone(), second.clone()]);
        check(&cookie, Look::IfChanged, None);
        write(&second, "second:1");
        check(&cookie, Look::IfChanged, Some("second:1"));
        // The one in use is kept while the node has nothing against it, also when it is gone.
        write(&first, "first:1");
        check(&cookie, Look::IfChanged, Some("second:1"));
        fs::remove_file(&second).unwrap();
        check(&cookie, Look::IfChanged, Some("second:1"));
        check(&cookie, Look::Anew, Some("first:1"));
        assert_eq!(cookie.path(), Some(first));
    }

    #[test]
    fn one_that_exists_and_cannot_be_used_ends_the_search() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        write(&first, "");
        write(&second, "second:1");
        let cookie = CookieFile::with_candidates(vec![first.clone(), second]);
        assert_eq!(cookie.find(), Some(first.clone()));
        check(&cookie, Look::IfChanged, None);
        write(&first, "first:1");
        check(&cookie, Look::IfChanged, Some("first:1"));
    }

    #[test]
    fn the_watcher_follows_a_cookie_that_nobody_asks_for() {
        let folder = tempfile::tempdir().unwrap();
        let cookie = CookieFile::at(folder.path());
        Auth::Cookie(Arc::clone(&cookie)).watch().unwrap();
        let credentials =
            || cookie.state().loaded.as_ref().map(|loaded| loaded.credentials.clone());
        for text in ["a:1", "a:22", "a:333"] {
            write(&folder.path().join(".cookie"), text);
            let deadline = std::time::Instant::now() + WATCH_INTERVAL * 10;
            while credentials().as_deref() != Some(text) {
                assert!(std::time::Instant::now() < deadline, "{text} is not seen");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    #[test]
    fn the_places_are_those_of_the_table_with_the_networks_own_first() {
        let shown = |network| -> Vec<String> {
            let places = usual_places(network, Some(" /data "), Some(Path::new("/home/me")));
            places.iter().map(|place| place.display().to_string()).collect()
        };
        let folders = ["/data", "/home/me/.btcd/data", "/home/me/.bitcoin"];
        let folders = folders.into_iter().chain(["/var/lib/bitcoin", "/home/bitcoin/.bitcoin"]);
        let own: Vec<String> = folders.map(|folder| format!("{folder}/regtest/.cookie")).collect();
        let places = shown(Network::Regtest);
        assert_eq!(places[..5], own);
        assert_eq!(places[5], "/data/.cookie");
        assert_eq!(places.last().unwrap(), "/etc/bitcoin/.cookie");
        let mainnet = [
            "/data/.cookie",
            "/home/me/.btcd/data/.cookie",
            "/home/me/.bitcoin/.cookie",
            "/var/lib/bitcoin/.cookie",
            "/home/bitcoin/.bitcoin/.cookie",
            "/data/regtest/.cookie",
            "/data/testnet3/.cookie",
            "/data/testnet4/.cookie",
            "/data/signet/.cookie",
            "/home/me/.btcd/data/regtest/.cookie",
            "/home/me/.btcd/data/testnet3/.cookie",
            "/home/me/.btcd/data/testnet4/.cookie",
            "/home/me/.btcd/data/signet/.cookie",
            "/home/me/.btcd/data/simnet/.cookie",
            "/home/me/.bitcoin/regtest/.cookie",
        ];
        assert_eq!(shown(Network::Mainnet)[..mainnet.len()], mainnet);
        // Every network looks at the same places.
        let sorted = |network| {
            let mut places = shown(network);
            places.sort();
            places
        };
        for network in [Network::Testnet, Network::Signet, Network::Regtest] {
            assert_eq!(sorted(network), sorted(Network::Mainnet));
        }
        assert_eq!(usual_places(Network::Mainnet, Some("  "), None).len(), 11);
    }
}
