//! Signing in with Clerk (`state-and-services.md` §14).

use crate::privacy::Secret;

/// `services.toml [auth]` and its keys of `secrets.toml`, when all that Clerk needs is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClerkSettings {
    pub issuer_url: String,
    pub jwks_url: String,
    pub signin_url: String,
    /// Begins with `/`.
    pub callback_path: String,
    pub frontend_api_url: String,
    pub api_url: String,
    pub cookie_name: String,
    pub audience: Option<String>,
    pub secret_key: Secret,
    /// Public: every page where people sign in has it.
    pub publishable_key: String,
}
