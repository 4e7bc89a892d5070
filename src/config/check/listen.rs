//! Who listens where.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use ureq::http::Uri;

use crate::config::files::Files;
use crate::config::keys::Setting;
use crate::config::problem::Problems;
use crate::status::{Networks, PublicUrl};

const ALLOWED: &str = "host:port, or :port for all interfaces";

pub struct Listeners {
    pub stratum: SocketAddr,
    pub stratum_tls: Option<SocketAddr>,
    pub status: Option<SocketAddr>,
    pub status_tls: Option<SocketAddr>,
}

pub fn listeners(files: &Files, problems: &mut Problems) -> Option<Listeners> {
    let stratum = address(&files.server.pool_listen, problems);
    let mut tls = files.stratum.stratum_tls_listen.clone();
    // A bare port will do here.
    if !tls.value.is_empty() && !tls.value.contains(':') {
        tls.value.insert(0, ':');
    }
    let stratum_tls = optional(&tls, problems);
    let status = optional(&files.server.status_listen, problems);
    let status_tls = optional(&files.server.status_tls_listen, problems);
    let all = [stratum.map(Some), stratum_tls, status, status_tls];
    let settings = [
        &files.server.pool_listen,
        &tls,
        &files.server.status_listen,
        &files.server.status_tls_listen,
    ];
    for (index, address) in all.iter().enumerate() {
        let Some(Some(address)) = address.filter(|address| address.is_some()) else { continue };
        let same = |other: &Option<Option<SocketAddr>>| *other == Some(Some(address));
        // Port 0 is another port each time.
        if address.port() != 0
            && let Some(first) = all[..index].iter().position(same)
        {
            let path = settings[first].key.path();
            problems.refuse(settings[index], format!("another port: {path} has this one"));
        }
    }
    Some(Listeners {
        stratum: stratum?,
        stratum_tls: stratum_tls?,
        status: status?,
        status_tls: status_tls?,
    })
}

/// None inside when it is switched off.
fn optional(setting: &Setting<String>, problems: &mut Problems) -> Option<Option<SocketAddr>> {
    match setting.value.is_empty() {
        true => Some(None),
        false => address(setting, problems).map(Some),
    }
}

/// `host:port`; `:port` means all interfaces, of both IPs where the system has both.
fn address(setting: &Setting<String>, problems: &mut Problems) -> Option<SocketAddr> {
    let text = setting.value.as_str();
    let address = match text.strip_prefix(':') {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(all_interfaces(), port)),
        None => text.to_socket_addrs().ok().and_then(|mut found| found.next()),
    };
    if address.is_none() {
        problems.refuse(setting, ALLOWED);
    }
    address
}

fn all_interfaces() -> IpAddr {
    let has_ipv6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    if has_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { [0, 0, 0, 0].into() }
}

/// One that is no URL is as good as none (`config.md` §3.2).
pub fn public_url(setting: &Setting<String>, problems: &mut Problems) -> Option<PublicUrl> {
    let text = setting.value.as_str();
    let url = text.parse::<Uri>().ok().and_then(|uri| {
        let scheme = uri.scheme_str()?;
        Some(PublicUrl {
            is_https: scheme.eq_ignore_ascii_case("https"),
            host: uri.host().filter(|host| !host.is_empty())?.to_owned(),
            port: uri.port_u16(),
        })
    });
    if !text.is_empty() && url.is_none() {
        problems.replace(setting, "a URL such as https://pool.example", "it is left out");
    }
    url
}

pub fn networks(setting: &Setting<Vec<String>>, problems: &mut Problems) -> Option<Networks> {
    let proxies = Networks::parse(&setting.value);
    if proxies.is_none() {
        problems.refuse(setting, "addresses, or networks such as 10.0.0.0/8");
    }
    proxies
}
