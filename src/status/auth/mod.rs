//! Who asks, and whether they may: identities, sessions, and the checks that a request which changes
//! something must pass (`web.md` §1.13, §3.8, §6.2, §6.3).

mod backoff;
mod origin;
mod sessions;

pub use backoff::Backoff;
pub use origin::{Origin, is_ours};
pub use sessions::{Cookie, Seen, Sessions, Signed, cookie};

use super::http::{Request, Response, Status};

/// The user that everybody is in local mode, as the database has it too.
pub const LOCAL_USER: &str = "local-noauth";

/// Tells who sent a request. Signing in by others than the pool is one more of these.
pub trait Identify {
    /// The user's id; none for somebody who is not signed in.
    fn user_of(&self, request: &Request) -> Option<String>;
}

/// `-saved-workers-local-noauth`: whoever reaches the pages shares one list.
pub struct LocalMode;

impl Identify for LocalMode {
    fn user_of(&self, _: &Request) -> Option<String> {
        Some(LOCAL_USER.to_owned())
    }
}

/// Nobody can sign in.
pub struct Nobody;

impl Identify for Nobody {
    fn user_of(&self, _: &Request) -> Option<String> {
        None
    }
}

/// Refuses what does not come from our own pages: in local mode there is not even a cookie that
/// somebody else's page would lack.
pub fn refuse_foreign(request: &Request, public_url: Option<&str>) -> Result<(), Response> {
    let ours = Origin::canonical(public_url, request, request.is_https);
    match ours {
        Some(ours) if is_ours(request, &ours) => Ok(()),
        _ => Err(Response::plain(Status::Forbidden)),
    }
}
