//! The cookie that holds a session's token (`state-and-services.md` §14.6): for this host alone, and
//! not for scripts.

use std::time::{Duration, UNIX_EPOCH};

use super::super::format;

/// The value of `Set-Cookie`; it goes when the token does.
pub fn holding(name: &str, token: &str, expires_at: u64, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    let expires = format::http_date(UNIX_EPOCH + Duration::from_secs(expires_at));
    format!("{name}={token}; Path=/; Expires={expires}; HttpOnly; SameSite=Lax{secure}")
}

/// One that takes it away.
pub fn gone(name: &str, is_https: bool) -> String {
    holding(name, "", 0, is_https)
}
