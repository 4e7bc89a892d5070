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

/// Refuses what does not come from our own pages: in local mode there is not even a cookie that
/// somebody else's page would lack.
pub fn refuse_foreign(request: &Request, public_url: Option<&str>) -> Result<(), Response> {
    let ours = Origin::canonical(public_url, request, request.is_https);
    match ours {
        Some(ours) if is_ours(request, &ours) => Ok(()),
        _ => Err(Response::plain(Status::Forbidden)),
    }
}
