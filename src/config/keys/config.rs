//! `config.toml` (`config.md` §3.2).

use super::{ANY, BLANK, between, from_to_below, section};

section! {
    /// Who listens where.
    pub struct Server in Config "server" {
        pool_listen: Text(":3333"), ANY, Restart,
            "Stratum; \":3333\" is that port on all interfaces";
        status_listen: Text(":80"), BLANK, Restart,
            "status pages, JSON and metrics over HTTP; \"\" switches them off";
        status_tls_listen: Text(":443"), BLANK, Restart,
            "the same over HTTPS, and HTTP then only leads there; \"\" switches it off";
        status_public_url: Text(""), ANY, Live,
            "what people type to get there, such as \"https://pool.example\"; \"\" works it out per request";
        trusted_proxies: Texts([]), ANY, Restart,
            "addresses and networks of your reverse proxies, such as [\"127.0.0.1\", \"10.0.0.0/8\"]: their X-Forwarded-For and -Proto count";
        proxy_protocol: Bool(false), ANY, Restart,
            "those proxies speak the PROXY protocol, version 1 or 2, before HTTP and HTTPS; others must not";
    }
}

section! {
    /// What the pool is called.
    pub struct Branding in Config "branding" {
        status_brand_name: Text(""), ANY, Live, "the pool's name on its pages; \"\" shows \"Solo Pool\"";
        status_brand_domain: Text(""), ANY, Live, "public host name, for connect lines and links";
        status_tagline: Text("Solo Mining Pool"), ANY, Live, "one line about the pool";
        status_connect_miner_title_extra: Text(""), ANY, Live, "added to the heading of the connect panel";
        status_connect_miner_title_extra_url: Text(""), ANY, Live, "where that addition leads to";
        fiat_currency: Text("usd"), ANY, Live, "currency that bitcoin's price is shown in";
        pool_donation_address: Text(""), ANY, Live, "shown at the foot of the pages; no payout uses it";
        server_location: Text(""), ANY, Live, "where the server stands, in your words";
        operator_name: Text(""), ANY, Live, "who runs the pool, on the pages about terms and privacy";
        operator_contact: Text(""), ANY, Live, "how people reach you, there";
    }
}

section! {
    /// What miners connect to.
    pub struct Stratum in Config "stratum" {
        stratum_tls_listen: Text(":4333"), BLANK, Restart,
            "Stratum over TLS; a bare port will do, \"\" switches it off";
        stratum_password_enabled: Bool(false), ANY, Live, "miners must know the password below";
        stratum_password: Text(""), ANY, Live, secret, "the password that all miners share";
        stratum_password_public: Bool(false), ANY, Live, "show it to visitors, beside how to connect";
        safe_mode: Bool(false), ANY, Live,
            "no automatic bans, no connection limits, and no check that an odd miner might fail";
    }
}

section! {
    /// The node, and who is paid.
    pub struct Node in Config "node" {
        rpc_url: Text("http://127.0.0.1:8332"), ANY, Restart,
            "bitcoind's JSON-RPC; -network brings the port of its chain";
        payout_address: Text(""), ANY, Job, "the pool's own address: its fee goes there. Required";
        zmq_hashblock_addr: Text("tcp://127.0.0.1:28334"), BLANK, Restart,
            "bitcoind's -zmqpubhashblock; \"\" does not listen";
        zmq_rawblock_addr: Text("tcp://127.0.0.1:28332"), BLANK, Restart,
            "bitcoind's -zmqpubrawblock; \"\" does not listen";
        rpc_cookie_path: Text(""), ANY, Restart,
            "bitcoind's cookie, or the folder that holds it; \"\" looks where it usually is, and remembers";
    }
}

section! {
    /// How a block's reward is split, and signed.
    pub struct Mining in Config "mining" {
        pool_fee_percent: Float(2.0), from_to_below(0.0, 100.0), Job, "the pool's part of a reward";
        operator_donation_percent: Float(0.0), between(0.0, 100.0), Job,
            "the part of the pool's fee that goes to the address below";
        operator_donation_address: Text(""), ANY, Job, "needed while the part is above 0";
        operator_donation_name: Text(""), ANY, Live, "who that is, on the pages";
        operator_donation_url: Text(""), ANY, Live, "where that name leads to";
        pool_entropy: Text(""), BLANK, Restart, commented,
            "4 letters or digits that are this pool's own in its coinbases; without it they are drawn at each start, \"\" draws and stores them";
        pooltag_prefix: Text(""), ANY, Job, "letters and digits for \"/<prefix>-goPool/\" in coinbases";
    }
}

section! {
    /// How much is written down.
    pub struct Logging in Config "logging" {
        debug: Bool(false), ANY, Live, "log at the debug level too, to debug.log";
        net_debug: Bool(false), ANY, Live, "write all that goes over the wire to net-debug.log; only while debug is on";
    }
}
