//! `admin.toml` (`config.md` §10.1). It is read by itself: not with the others, and not at SIGUSR2.

use super::{ANY, above, section};

section! {
    /// Who may change settings on the pages.
    pub struct Admin in Admin "" {
        enabled: Bool(false), ANY, Live, "the panel at /admin";
        username: Text("admin"), ANY, Live, "who may use it";
        password: Text(""), ANY, Restart, secret, "hashed at the next start, and gone after the first login";
        password_argon2id: Text(""), ANY, Live, secret, "the password as Argon2id, and what counts when it is there";
        password_sha256: Text(""), ANY, Live, secret, "SHA-256 of the password, in hex; counts for files that have nothing better";
        session_expiration_seconds: Integer(900), above(0.0).or_default(), Live, "how long a login lasts while nothing is done; never longer than 12 hours";
    }
}
