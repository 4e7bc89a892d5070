//! What the command line and safe mode change about the files (`config.md` §2.4, §5).

use std::net::IpAddr;

use gopool_shards::work::address::Network;

use super::files::Files;
use super::keys::{Origin, Setting};
use crate::cli::Flags;

/// Difficulty of `-flood`: any hash is a share.
const FLOOD_DIFFICULTY: f64 = 1e-7;
/// What `-network` fills in where both addresses are blank (`config.md` §4.1).
const NETWORK_ZMQ: &str = "tcp://127.0.0.1:28332";

/// Applies the flags, and safe mode last. Nothing of it ever reaches the disk.
pub fn apply(files: &mut Files, flags: &Flags) {
    if flags.flood {
        let origin = Origin::Flag("-flood");
        files.difficulty.min_difficulty.set(FLOOD_DIFFICULTY, origin);
        files.difficulty.max_difficulty.set(FLOOD_DIFFICULTY, origin);
    }
    apply_to_node(files, flags);
    apply_to_listeners(files, flags);
    files.rate_limits.max_conns.set_by_flag("-max-conns", flags.max_conns());
    files.shards.count.set_by_flag("-shards", flags.shards);
    files.answers.ckpool_emulate.set_by_flag("-ckpool-emulate", flags.ckpool_emulate);
    let sockets = &mut files.sockets;
    let (read, write) = (flags.stratum_tcp_read_buffer, flags.stratum_tcp_write_buffer);
    sockets.tcp_read_buffer_bytes.set_by_flag("-stratum-tcp-read-buffer", read);
    sockets.tcp_write_buffer_bytes.set_by_flag("-stratum-tcp-write-buffer", write);
    // These two can only add to what the files say.
    files.logging.debug.set_by_flag("-debug", flags.debug.then_some(true));
    files.logging.net_debug.set_by_flag("-net-debug", flags.net_debug.then_some(true));
    files.stratum.safe_mode.set_by_flag("-safe-mode", flags.safe_mode);
    if files.stratum.safe_mode.value {
        make_safe(files);
    }
}

fn apply_to_node(files: &mut Files, flags: &Flags) {
    let node = &mut files.node;
    let is_default_url = node.rpc_url.value.as_str() == default_rpc_url(Network::Mainnet);
    if flags.network.is_some() && is_default_url {
        node.rpc_url.set(default_rpc_url(flags.network()), Origin::Flag("-network"));
    }
    node.rpc_url.set_by_flag("-rpc-url", flags.rpc_url());
    node.rpc_cookie_path.set_by_flag("-rpc-cookie", flags.rpc_cookie());
    let is_blank = |setting: &Setting<String>| setting.value.is_empty();
    if flags.network.is_some()
        && is_blank(&node.zmq_hashblock_addr)
        && is_blank(&node.zmq_rawblock_addr)
    {
        node.zmq_hashblock_addr.set(NETWORK_ZMQ, Origin::Flag("-network"));
        node.zmq_rawblock_addr.set(NETWORK_ZMQ, Origin::Flag("-network"));
    }
}

fn default_rpc_url(network: Network) -> &'static str {
    match network {
        Network::Mainnet => "http://127.0.0.1:8332",
        Network::Testnet => "http://127.0.0.1:18332",
        Network::Signet => "http://127.0.0.1:38332",
        Network::Regtest => "http://127.0.0.1:18443",
    }
}

fn apply_to_listeners(files: &mut Files, flags: &Flags) {
    let listeners = [
        (&mut files.server.pool_listen, "-listen", flags.listen()),
        (&mut files.server.status_listen, "-status", flags.status()),
        (&mut files.server.status_tls_listen, "-status-tls", flags.status_tls()),
        (&mut files.stratum.stratum_tls_listen, "-stratum-tls", flags.stratum_tls()),
    ];
    for (listener, flag, address) in listeners {
        if let Some(ip) = flags.bind()
            && !listener.value.is_empty()
        {
            listener.set(with_host(ip, &listener.value), Origin::Flag("-bind"));
        }
        listener.set_by_flag(flag, address);
    }
}

/// The same port on another address; what has no colon is a port.
fn with_host(ip: IpAddr, address: &str) -> String {
    let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

/// No automatic bans, no connection limits, and no check that an odd miner might fail.
fn make_safe(files: &mut Files) {
    let origin = Origin::SafeMode;
    files.answers.ckpool_emulate.set(true, origin);
    files.sockets.tcp_read_buffer_bytes.set(0, origin);
    files.sockets.tcp_write_buffer_bytes.set(0, origin);
    let shares = &mut files.shares;
    shares.share_require_authorized_connection.set(true, origin);
    shares.share_check_param_format.set(true, origin);
    shares.share_check_duplicate.set(true, origin);
    shares.submit_process_inline.set(false, origin);
    shares.share_check_ntime_window.set(false, origin);
    shares.share_check_version_rolling.set(false, origin);
    shares.share_require_worker_match.set(false, origin);
    files.bans.ban_invalid_submissions_after.set(0, origin);
    files.bans.reconnect_ban_threshold.set(0, origin);
    files.rate_limits.disable_connect_rate_limits.set(true, origin);
}
