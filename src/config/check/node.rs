//! Where the node is, and who we are to it.

use std::path::PathBuf;

use ureq::http::Uri;

use crate::cli::Flags;
use crate::config::RpcAuth;
use crate::config::files::Files;
use crate::config::keys::{File, Node, Setting};
use crate::config::problem::{ProblemKind, Problems};
use crate::node::zmq::{self, Endpoint};

pub fn rpc_url(setting: &Setting<String>, problems: &mut Problems) -> Option<String> {
    let url = setting.value.as_str();
    let is_url = url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    });
    if !is_url {
        problems.refuse(setting, "a URL of http or https, such as http://127.0.0.1:8332");
    }
    is_url.then(|| url.to_owned())
}

pub fn rpc_auth(files: &Files, flags: &Flags, problems: &mut Problems) -> Option<RpcAuth> {
    let cookie = files.node.rpc_cookie_path.value.as_str();
    if flags.allow_rpc_creds {
        return fixed(files, problems);
    }
    Some(match (cookie, flags.allow_public_rpc) {
        ("", true) => RpcAuth::None,
        ("", false) => RpcAuth::DetectedCookie,
        (path, _) => RpcAuth::Cookie(PathBuf::from(path)),
    })
}

fn fixed(files: &Files, problems: &mut Problems) -> Option<RpcAuth> {
    let (user, password) = (&files.secrets.rpc_user, &files.secrets.rpc_pass);
    if !user.value.is_empty() && !password.value.is_empty() {
        return Some(RpcAuth::Fixed(format!("{}:{}", user.value, password.value)));
    }
    if !problems.paths().of(File::Secrets).exists() {
        let example = problems.paths().example(File::Secrets);
        let words = format!(
            "is not there, and -allow-rpc-creds needs its rpc_user and rpc_pass: copy {} to it",
            example.display()
        );
        problems.note(ProblemKind::Error, File::Secrets, 0, words);
        return None;
    }
    for setting in [user, password].into_iter().filter(|setting| setting.value.is_empty()) {
        problems.refuse(setting, "bitcoind's, while -allow-rpc-creds is given");
    }
    None
}

pub fn zmq(node: &Node, problems: &mut Problems) -> Option<Vec<Endpoint>> {
    let mut is_good = true;
    for setting in [&node.zmq_hashblock_addr, &node.zmq_rawblock_addr] {
        if !setting.value.is_empty() && !is_endpoint(&setting.value) {
            problems.refuse(setting, "tcp://host:port, or ipc://path, as bitcoind publishes it");
            is_good = false;
        }
    }
    is_good.then(|| zmq::endpoints(&node.zmq_hashblock_addr.value, &node.zmq_rawblock_addr.value))
}

fn is_endpoint(text: &str) -> bool {
    match text.split_once("://") {
        Some(("tcp", address)) => address
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()),
        Some(("ipc", path)) => !path.is_empty(),
        _ => false,
    }
}
