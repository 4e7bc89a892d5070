//! What pages with Clerk's script on them may load (`web.md` §1.5): from Clerk's own host, and from
//! nobody else's. All other pages may load nothing but our own files.

use super::super::auth::Origin;

/// Of the URL in the configuration, which has been checked. Clerk's forms are styled by its script,
/// which is why styles may stand in the page here.
pub fn of(frontend_api_url: &str) -> String {
    let clerk = Origin::of_url(frontend_api_url).map(|it| it.to_string()).unwrap_or_default();
    format!(
        "default-src 'self'; script-src 'self' {clerk}; connect-src 'self' {clerk}; img-src 'self' \
         {clerk} data:; frame-src {clerk}; style-src 'self' 'unsafe-inline'; worker-src 'self' \
         blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' \
         {clerk}"
    )
}
