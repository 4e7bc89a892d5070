//! `secrets.toml` and `services.toml` (`config.md` §3.3, §3.4).

use super::{ANY, above, between, section};

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
        webhook_secret: Text(""), ANY, Restart, secret, "notices to webhook.url are signed with it";
        ntfy_token: Text(""), ANY, Restart, secret, "access token of ntfy.url; \"\" sends none";
        telegram_token: Text(""), ANY, Restart, secret, "the Telegram bot's token";
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
        clerk_api_url: Text("https://api.clerk.com"), ANY, Restart, "Clerk's back end";
        local_noauth_from: Texts([]), ANY, Restart, "addresses and networks, such as 192.168.0.0/16, that -saved-workers-local-noauth is for beside this machine";
        reconnect: Text("same-network"), ANY, Restart,
            "which connections of a saved worker its users may end: \"same-network\" those that come from where they are themselves, \"saved\" all, \"off\" none";
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
        keep_versions: Integer(0), between(0.0, 1000.0), Restart,
            "versions kept in the bucket, older ones are deleted after an upload; 0 leaves them to the bucket's lifecycle rules";
        api_url: Text("https://api.backblazeb2.com"), ANY, Restart, "where B2 is asked";
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
        api_url: Text("https://discord.com/api/v10"), ANY, Restart, "where Discord is asked";
    }
}

section! {
    /// Bitcoin's price.
    pub struct Price in Services "price" {
        enabled: Bool(false), ANY, Restart, "show amounts in branding.fiat_currency too; the price is asked for every half hour";
        url: Text("https://api.coingecko.com/api/v3/simple/price"), ANY, Restart, "where it is asked for, in CoinGecko's words";
    }
}

section! {
    /// Notices to a program of one's own.
    pub struct Webhook in Services "webhook" {
        url: Text(""), ANY, Restart, secret, "notices are sent there as JSON; \"\" sends none";
    }
}

section! {
    /// Notices to phones.
    pub struct Ntfy in Services "ntfy" {
        url: Text(""), ANY, Restart, secret, "the topic, as https://ntfy.sh/my-topic; \"\" sends none";
    }
}

section! {
    /// Notices to a Telegram chat, with telegram_token of secrets.toml.
    pub struct Telegram in Services "telegram" {
        chat_id: Text(""), ANY, Restart, "the chat, as a number or @channel; \"\" sends none";
        api_url: Text("https://api.telegram.org"), ANY, Restart, "where Telegram is asked";
    }
}

section! {
    /// How the services above are reached. bitcoind is not meant.
    pub struct Outgoing in Services "outgoing" {
        proxy: Text(""), ANY, Restart, secret, "http:// or socks5:// of a proxy; \"\" goes straight";
        probe: Texts([]), ANY, Restart,
            "host:port of those who are asked for a connection, to see whether the pool is cut off and notices of workers must wait; [] asks where the notices go";
    }
}

section! {
    /// Links to elsewhere.
    pub struct Status in Services "status" {
        mempool_address_url: Text("https://mempool.space/address/"), ANY, Live, "an address is put behind it";
        github_url: Text("https://github.com/gopool/gopool"), ANY, Live, "link in the head of the pages";
    }
}
