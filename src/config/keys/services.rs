//! `secrets.toml` and `services.toml` (`config.md` §3.3, §3.4).

use super::{ANY, above, section};

section! {
    /// What must not be in any other file. Never written by the pool, and never shown.
    pub struct Secrets in Secrets "" {
        rpc_user: Text(""), ANY, Restart, secret, "bitcoind's rpcuser; only with -allow-rpc-creds";
        rpc_pass: Text(""), ANY, Restart, secret, "bitcoind's rpcpassword; only with -allow-rpc-creds";
        discord_token: Text(""), ANY, Restart, secret, "the Discord bot's token";
        clerk_secret_key: Text(""), ANY, Restart, secret, "Clerk's back-end key";
        clerk_publishable_key: Text(""), ANY, Restart, secret, "Clerk's front-end key";
        backblaze_account_id: Text(""), ANY, Restart, secret, "B2 key ID";
        backblaze_application_key: Text(""), ANY, Restart, secret, "B2 application key";
    }
}

section! {
    /// Signing in with Clerk.
    pub struct Auth in Services "auth" {
        clerk_issuer_url: Text("https://clerk.clerk.dev"), ANY, Restart, "who issues the tokens";
        clerk_jwks_url: Text("https://clerk.clerk.dev/.well-known/jwks.json"), ANY, Restart, "the keys they are signed with";
        clerk_signin_url: Text("https://auth.clerk.dev/sign-in"), ANY, Restart, "where people sign in";
        clerk_callback_path: Text("/clerk/callback"), ANY, Restart, "where they come back to";
        clerk_frontend_api_url: Text(""), ANY, Restart, "required for Clerk, with its two keys in secrets.toml";
        clerk_session_cookie_name: Text("__session"), ANY, Restart, "the session's cookie";
        clerk_session_audience: Text(""), ANY, Restart, "audience that tokens must have; \"\" asks for none";
    }
}

section! {
    /// Copies of the database.
    pub struct BackblazeBackup in Services "backblaze_backup" {
        enabled: Bool(false), ANY, Restart, "upload them to Backblaze B2";
        bucket: Text(""), ANY, Restart, "the bucket";
        prefix: Text(""), ANY, Restart, "folder inside the bucket";
        interval_seconds: Integer(43_200), above(0.0).or_default(), Restart, "from one copy to the next";
        keep_local_copy: Bool(true), ANY, Restart, "keep one on this machine, without B2 too";
        force_every_interval: Bool(false), ANY, Restart, "make one even when nothing has changed";
        snapshot_path: Text(""), ANY, Restart, "where the local one is; \"\" is state/workers.db.bak in the data folder";
    }
}

section! {
    /// The Discord server.
    pub struct Discord in Services "discord" {
        discord_url: Text(""), ANY, Live, "invitation shown on the pages";
        discord_server_id: Text(""), ANY, Restart, "the server's ID";
        discord_notify_channel_id: Text(""), ANY, Restart, "the channel for notices";
        worker_notify_threshold_seconds: Integer(300), above(0.0).or_default(), Live,
            "how long a worker must be away, or back, before anybody is told";
    }
}

section! {
    /// Links to elsewhere.
    pub struct Status in Services "status" {
        mempool_address_url: Text("https://mempool.space/address/"), ANY, Live, "an address is put behind it";
        github_url: Text("https://github.com/gopool/gopool"), ANY, Live, "link in the head of the pages";
    }
}
