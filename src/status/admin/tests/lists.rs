//! Miners and bans: what is listed, and what is wanted of control.

use std::time::Duration;

use gopool_shards::admission::ban::Ban;
use gopool_shards::link::{Gauges, Report};
use gopool_shards::session::Stranger;
use gopool_shards::tally::{Look, Tally};

use super::super::{bans, miners, strangers};
use super::*;
use crate::clock::unix_now;
use crate::command::BanLength;
use crate::ledger::{Ledger, roster};

const CONFIRM: &str = "password=correct+horse+battery";

pub(super) fn look(worker: &str, client: &str, remote: &str) -> Look {
    let now = unix_now();
    Look {
        client_id: client.into(),
        remote: remote.parse().unwrap(),
        connected_at: now - 600_000,
        // It does not fade before the page is made.
        at: now + 60,
        // So long that seconds until the page is made are not seen in what it has for a minute.
        window_started_at: now - 600_000,
        window_accepted: 90_000,
        window_submissions: 100_000,
        ..roster::tests::look(worker, 1e12, now)
    }
}

impl Bench {
    /// Connections from number 1 on.
    pub(super) fn connect(&self, looks: impl IntoIterator<Item = Look>) {
        let roster = self.admin().plan.roster.clone();
        let mut ledger = Ledger::new(&[0], Vec::new(), roster, Duration::from_secs(450));
        let mut tally = Tally::default();
        for (sequence, look) in (1..).zip(looks) {
            tally.looked(sequence, look);
        }
        let report = Report { shard: 0, sums: tally.take(), gauges: Gauges::default() };
        ledger.add(report, Duration::ZERO);
    }

    fn three(&self) {
        self.connect([
            look("bc1qone.rig<1>", "cgminer/4.12.1", "10.0.0.7:4000"),
            look("bc1qtwo.rig2", "bosminer", "10.0.0.8:4000"),
            look("bc1qone.rig<1>", "cgminer/4.12.1", "[2001:db8::1]:4000"),
        ]);
    }

    /// Numbers of the connections that a page lists.
    fn listed(&self, query: &str) -> Vec<u64> {
        let response = self.get(&format!("{}?{query}", miners::PATH));
        let html = body(&response);
        let values = html.match_indices("name=\"connection_seq\" value=\"");
        values
            .map(|(at, it)| html[at + it.len()..].split('"').next().unwrap().parse().unwrap())
            .collect()
    }
}

#[test]
fn miners_are_listed_in_their_order_and_found_by_what_is_shown_of_them() {
    let bench = Bench::signed_in();
    assert!(body(&bench.get(miners::PATH)).contains("Nobody is connected."));
    bench.three();
    assert_eq!(bench.listed(""), [1, 2, 3]);
    for (search, found) in [
        ("RIG2", &[2][..]),
        ("cgminer", &[1, 3]),
        ("10.0.0.8", &[2]),
        ("2001:db8", &[3]),
        ("%3C1%3E", &[1, 3]),
        ("nobody", &[]),
    ] {
        assert_eq!(bench.listed(&format!("q={search}")), found, "{search}");
    }
    assert_eq!(bench.listed("per_page=2&page=2"), [3]);
    let response = bench.get(miners::PATH);
    let html = body(&response);
    for text in ["rig&lt;1&gt;", "1.00 TH/s", ">9.00<", ">10.00<", "active", "10.0.0.7:4000"] {
        assert!(html.contains(text), "{text}: {html}");
    }
    assert!(!html.contains("rig<1>"));
    bench.admin().plan.bans.insert(Ban::new("bc1qtwo.rig2", 0, "bad \"words\"", None));
    assert!(body(&bench.get(miners::PATH)).contains("for good: bad &quot;words&quot;"));
}

#[test]
fn chosen_miners_are_disconnected_and_one_is_back_where_one_was() {
    let bench = Bench::signed_in();
    bench.three();
    bench.get(miners::PATH);
    let form = format!(
        "{CONFIRM}&connection_seq=3&connection_seq=1&connection_seq=1&connection_seq=0\
                        &connection_seq=x&connection_seq=99&page=2&per_page=10&q=a+b"
    );
    let response = bench.post("/admin/miners/disconnect", &form);
    assert_eq!(
        location(&response),
        "/admin/miners?page=2&per_page=10&q=a%20b&notice=miner_disconnected"
    );
    let Ok(Command::Disconnect { sequences, words }) = bench.commands.try_recv() else { panic!() };
    assert_eq!((sequences, words), (vec![1, 3], "Disconnected by the pool's operator."));
    let (action, targets, result) = bench.last();
    assert_eq!((action, &*result), ("disconnect", "done"));
    assert_eq!(targets, "1 (bc1qone.rig<1>), 3 (bc1qone.rig<1>)");
}

#[test]
fn chosen_miners_are_banned_by_their_names_each_once() {
    let bench = Bench::signed_in();
    bench.three();
    bench.get(miners::PATH);
    let form = format!("{CONFIRM}&connection_seq=1&connection_seq=3");
    let response = bench.post("/admin/miners/ban", &form);
    assert_eq!(location(&response), "/admin/miners?page=1&per_page=25&notice=miner_banned");
    let Ok(Command::Ban { workers, length, reason }) = bench.commands.try_recv() else { panic!() };
    assert_eq!((workers, length), (vec!["bc1qone.rig<1>".to_owned()], BanLength::Usual));
    assert_eq!(reason, "banned by the operator");
    for (path, form, status) in [
        ("/admin/miners/ban", "connection_seq=1&password=x", Status::Unauthorized),
        ("/admin/miners/ban", "connection_seq=1", Status::Unauthorized),
        ("/admin/miners/disconnect", "connection_seq=1&password=x", Status::Unauthorized),
        ("/admin/miners/disconnect", CONFIRM, Status::BadRequest),
        ("/admin/miners/ban", &format!("{CONFIRM}&connection_seq=7"), Status::BadRequest),
    ] {
        let response = bench.post(path, form);
        assert_eq!(response.status, status, "{path} {form}");
        assert!(body(&response).contains("id=\"problem-miners\""), "beside the form");
        assert!(body(&response).contains("bc1qtwo.rig2"), "and the list is there");
    }
    assert!(bench.commands.is_empty());
}

#[test]
fn connections_without_a_worker_are_listed_and_ended_by_their_other_ends() {
    let bench = Bench::signed_in();
    let commands = bench.commands.clone();
    let shards = std::thread::spawn(move || {
        let mut ended = Vec::new();
        for command in commands {
            match command {
                Command::Strangers { answer } => {
                    for (remote, connected_at) in [("[2001:db8::1]:4", 200), ("10.0.0.7:9", 100)] {
                        let told = answer.send(Stranger {
                            remote: remote.parse().unwrap(),
                            is_tls: false,
                            client_id: format!("cgminer<{connected_at}>").into(),
                            has_subscribed: connected_at == 100,
                            connected_at,
                        });
                        told.unwrap();
                    }
                }
                Command::DisconnectStrangers { remotes, .. } => ended.extend(remotes),
                Command::Stop => break,
                other => panic!("{other:?}"),
            }
        }
        ended
    });
    let response = bench.get(strangers::PATH);
    let html = body(&response);
    let first = html.find("value=\"10.0.0.7:9\"").unwrap();
    assert!(first < html.find("value=\"[2001:db8::1]:4\"").unwrap(), "the oldest first");
    for text in ["cgminer&lt;100&gt;", ">subscribed<", ">connected<"] {
        assert!(html.contains(text), "{text}: {html}");
    }
    assert!(!body(&bench.get(&format!("{}?q=db8", strangers::PATH))).contains("10.0.0.7"));
    let path = "/admin/strangers/disconnect";
    for (form, status) in [
        (CONFIRM, Status::BadRequest),
        ("remote=x&password=correct+horse+battery", Status::BadRequest),
        ("remote=10.0.0.7:9", Status::Unauthorized),
    ] {
        let response = bench.post(path, form);
        assert_eq!(response.status, status, "{form}");
        assert!(body(&response).contains("id=\"problem-strangers\""));
    }
    let response = bench.post(path, &format!("{CONFIRM}&remote=10.0.0.7:9&remote=x"));
    let expected = "/admin/strangers?page=1&per_page=25&notice=stranger_disconnected";
    assert_eq!(location(&response), expected);
    assert_eq!(bench.last(), ("disconnect", "10.0.0.7:9".to_owned(), "done".to_owned()));
    bench.admin().command(Command::Stop);
    assert_eq!(shards.join().unwrap(), ["10.0.0.7:9".parse().unwrap()]);
}

#[test]
fn bans_in_force_are_listed_what_ends_first_before_what_does_not() {
    let bench = Bench::signed_in();
    assert!(body(&bench.get(bans::PATH)).contains("Nobody is banned."));
    let now = unix_now();
    let list = &bench.admin().plan.bans;
    for (worker, until, source) in [
        ("for.good", 0, None),
        ("is.over", now - 1, None),
        ("b.later", now + 600, Some("10.0.0.7".parse().unwrap())),
        ("a.later", now + 600, None),
        ("sooner", now + 60, None),
    ] {
        list.insert(Ban::new(worker, until, "why", source));
    }
    let order = |query: &str| {
        let response = bench.get(&format!("{}?{query}", bans::PATH));
        let html = body(&response).to_owned();
        let names = html.match_indices("name=\"worker_name\" value=\"");
        let names =
            names.map(|(at, it)| html[at + it.len()..].split('"').next().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(order(""), ["sooner", "a.later", "b.later", "for.good"]);
    assert_eq!(order("q=10.0.0.7"), ["b.later"]);
    assert_eq!(order("q=LATER&per_page=1&page=2"), ["b.later"]);
}

#[test]
fn bans_are_lifted_by_their_exact_names() {
    let bench = Bench::signed_in();
    for name in ["w.1", "W.1", "w.2"] {
        bench.admin().plan.bans.insert(Ban::new(name, 0, "", None));
    }
    bench.get(bans::PATH);
    let form = format!("{CONFIRM}&worker_name=w.1&worker_name=w.1&worker_name=gone&page=3");
    let response = bench.post("/admin/bans/remove", &form);
    assert_eq!(location(&response), "/admin/bans?page=3&per_page=25&notice=bans_removed");
    let Ok(Command::LiftBan { worker }) = bench.commands.try_recv() else { panic!() };
    assert_eq!(worker, "w.1");
    assert_eq!(bench.last(), ("lift-bans", "w.1".to_owned(), "done".to_owned()));
    for form in [CONFIRM, "worker_name=gone&password=correct+horse+battery", "worker_name=w.1"] {
        let response = bench.post("/admin/bans/remove", form);
        assert!(matches!(response.status, Status::BadRequest | Status::Unauthorized), "{form}");
        assert!(body(&response).contains("id=\"problem-lift\""));
    }
    assert!(bench.commands.is_empty());
}

#[test]
fn anybody_can_be_banned_by_hand_for_a_time_or_for_good() {
    let bench = Bench::signed_in();
    bench.get(bans::PATH);
    let add = |form: &str| bench.post("/admin/bans/add", &format!("{CONFIRM}&{form}"));
    for (form, expected, words) in [
        ("worker=w.1&amount=2&unit=days&reason=rude", BanLength::Seconds(172_800), "rude"),
        ("worker=w.1&unit=endless", BanLength::Endless, "banned by the operator"),
        ("worker=w.1&unit=usual&amount=7", BanLength::Usual, "banned by the operator"),
    ] {
        assert_eq!(location(&add(form)), "/admin/bans?notice=worker_banned");
        let Ok(Command::Ban { workers, length, reason }) = bench.commands.try_recv() else {
            panic!()
        };
        assert_eq!((workers, length), (vec!["w.1".to_owned()], expected));
        assert_eq!(reason, words);
    }
    assert_eq!(bench.last().1, "w.1, as long as usual: banned by the operator");
    for form in [
        "worker=&unit=endless",
        &format!("worker={}&unit=endless", "w".repeat(257)),
        "worker=w.1&unit=days",
        "worker=w.1&unit=days&amount=0",
        "worker=w.1&unit=years&amount=1",
    ] {
        let response = add(form);
        assert_eq!(response.status, Status::BadRequest, "{form}");
        assert!(body(&response).contains("id=\"problem-add\""));
    }
    let response = bench.post("/admin/bans/add", "worker=%22w.9&unit=days&amount=3&password=x");
    assert_eq!(response.status, Status::Unauthorized);
    let html = body(&response);
    assert!(html.contains("value=\"&quot;w.9\"") && html.contains("value=\"days\" selected"));
    assert!(bench.commands.is_empty());
}
