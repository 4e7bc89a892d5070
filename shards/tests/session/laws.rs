//! What holds for any conversation, shown with many that are made up as they go: the miner reads
//! what it is told and answers with good shares, bad ones and nonsense. What must hold is in
//! [`Ear`](crate::ear::Ear), which hears every word.

use std::time::Duration;

use crate::chance::Chance;
use crate::transcript::WALLET;
use crate::world::{World, profile};

const OTHER_WALLET: &str = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";

/// A miner's next line. Ids are of any JSON type, and hard to echo.
fn line(world: &World, chance: &mut Chance) -> String {
    let ids = ["1", "null", "\"a\\u0020\\ud800\"", "1e999", "[1, {\"id\":2}]", "4.0", "true"];
    let id = ids[chance.below(ids.len())];
    let (method, params) = match chance.below(24) {
        0 => ("mining.subscribe", subscribe(world, chance)),
        1 | 2 => ("mining.authorize", authorize(chance)),
        3 => ("mining.configure", configure(chance)),
        4 => ("mining.extranonce.subscribe", String::new()),
        5 => ("mining.suggest_difficulty", number(chance).to_owned()),
        6 => ("mining.suggest_target", format!("\"{:064x}\"", 1_u128 << chance.below(128))),
        7 => ("mining.get_transactions", r#""1-1""#.to_owned()),
        8 => ("mining.ping", String::new()),
        9 => ("mining.unknown", "{}".to_owned()),
        _ => ("mining.submit", submit(world, chance)),
    };
    format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":[{params}]}}")
}

fn subscribe(world: &World, chance: &mut Chance) -> String {
    let own = world.ear.said.iter().rev().find_map(|line| {
        let (_, rest) = line.split_once("[\"mining.notify\",\"")?;
        rest.split('"').next()
    });
    match (chance.below(4), own) {
        (0, _) => r#""x/1","abc""#.to_owned(),
        (1, _) => String::new(),
        (_, Some(own)) => format!("\"x/1\",\"{own}\""),
        (_, None) => "\"x/1\"".to_owned(),
    }
}

fn authorize(chance: &mut Chance) -> String {
    let wallet = [WALLET, OTHER_WALLET][chance.below(2)];
    let worker = ["", ".rig", ".rig+d=0.5", ".rig#7"][chance.below(4)];
    let password = ["x", "d=0.002", "d=1e300", "d=0"][chance.below(4)];
    format!("\"{wallet}{worker}\",\"{password}\"")
}

fn configure(chance: &mut Chance) -> String {
    let mask = ["ffffffff", "00006000", "0000000f", "1fffe000"][chance.below(4)];
    let names = ["version-rolling", "minimum-difficulty", "subscribe-extranonce", "info"];
    let (one, two) = (names[chance.below(4)], names[chance.below(4)]);
    let floor = number(chance);
    format!(
        r#"["{one}","{two}"],{{"version-rolling.mask":"{mask}","minimum-difficulty.value":{floor}}}"#
    )
}

fn number(chance: &mut Chance) -> &'static str {
    ["1e-300", "1e300", "0.002", "123456.789", "\"0x7f\"", "0", "-1", "null"][chance.below(8)]
}

/// Mostly a share of a job that the miner has been told of, and often one that it has sent before.
fn submit(world: &World, chance: &mut Chance) -> String {
    let told = world.ear.told();
    let back = chance.below(3) * chance.below(8);
    let job = told.len().checked_sub(1 + back).map(|at| &told[at]);
    let (id, ntime) = job.map_or(("zz-1", 0x6623_07b7), |job| (&*job.id, job.ntime));
    let ntime = match chance.below(16) {
        0 => ntime - 1,
        1 => ntime + 7001,
        _ => ntime + chance.below(2) as u32,
    };
    let nonce = chance.below(40);
    let extranonce2 = ["00000000", "0000002a", "0000002A", "000000", "0x000000"];
    let extranonce2 = extranonce2[chance.below(16).saturating_sub(11)];
    let worker = [WALLET, "w", ""][chance.below(12).saturating_sub(9)];
    let version = match chance.below(10) {
        0 => r#","00002000""#,
        1 => r#","20002000""#,
        2 => r#","00000010""#,
        3 => r#","0""#,
        4 => r#","20010000""#,
        _ => "",
    };
    format!(r#""{worker}","{id}","{extranonce2}","{ntime:x}","{nonce:x}"{version}"#)
}

/// One conversation, with its bytes cut at random. What the miner says depends on what it has read
/// by then.
fn converse(mut world: World, seed: u64) -> World {
    let mut chance = Chance::new(seed);
    let mut unsent = Vec::new();
    for _ in 0..120 {
        match chance.below(40) {
            0 => world.bring_job(),
            1 => world.bring_tip(),
            2 => world.pass(Duration::from_millis(250)),
            3 => world.pass(Duration::from_secs(1 + chance.below(70) as u64)),
            4 => {
                unsent.clear();
                world.reconnect();
            }
            _ => {}
        }
        if world.closed.is_some() {
            unsent.clear();
            world.reconnect();
        }
        for _ in 0..chance.below(6) {
            unsent.extend(line(&world, &mut chance).bytes());
            if chance.below(300) == 0 {
                let at = chance.below(unsent.len());
                unsent[at] = chance.below(256) as u8;
            }
            unsent.extend(b"\r\n");
        }
        let end = if chance.below(3) == 0 { chance.below(unsent.len() + 1) } else { unsent.len() };
        let read: Vec<u8> = unsent.drain(..end).collect();
        if !read.is_empty() {
            world.read(&read);
        }
    }
    world.reconnect();
    world
}

#[test]
fn whatever_is_said_in_a_conversation_may_be_said() {
    let mut accepted = 0;
    for number in 0..4 {
        for seed in 0..300 {
            accepted += converse(World::new(profile(number)), seed).ear.accepted;
        }
    }
    assert!(accepted > 1000, "{accepted} accepted shares prove something");
}

#[test]
fn shares_judged_together_are_answered_as_if_each_came_alone() {
    for number in 0..4 {
        for seed in 1000..1100 {
            let together = converse(World::new(profile(number)), seed);
            let alone = converse(World::new(profile(number)).judging_at_once(), seed);
            assert!(together.ear.said == alone.ear.said, "installation {number}, seed {seed}");
        }
    }
}

/// What a handshake is made of, and what is known of each line.
const LINES: [(&str, Kind); 7] = [
    (r#"{"id":1,"method":"mining.subscribe","params":["x/1"]}"#, Kind::Subscribe),
    (
        r#"{"id":2,"method":"mining.authorize","params":["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4","x"]}"#,
        Kind::Authorize,
    ),
    (r#"{"id":3,"method":"mining.configure","params":[["version-rolling"],{}]}"#, Kind::Negotiate),
    (r#"{"id":4,"method":"mining.suggest_difficulty","params":[5]}"#, Kind::Suggest),
    (r#"{"id":5,"method":"mining.extranonce.subscribe"}"#, Kind::Other),
    (r#"{"id":6,"method":"mining.ping"}"#, Kind::Other),
    (r#"{"id":7,"method":"mining.get_transactions"}"#, Kind::Other),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Subscribe,
    Authorize,
    Negotiate,
    Suggest,
    Other,
}

/// How many answers come before the first work, by the rules of `miners.md` ("what follows", 1):
/// `ends` are the lines after which a read ended. `None`: only after the pause.
fn answers_before_work(order: &[Kind], ends: &[usize]) -> Option<usize> {
    let (mut subscribed_at, mut authorized) = (None, false);
    let (mut negotiated, mut is_due) = (false, false);
    let mut read_began_at = 0;
    for (at, kind) in order.iter().enumerate() {
        match kind {
            Kind::Subscribe => subscribed_at = Some(at),
            Kind::Authorize => authorized = true,
            Kind::Negotiate | Kind::Suggest => negotiated = true,
            Kind::Other => {}
        }
        let is_ready = authorized && subscribed_at.is_some();
        let completes = matches!(kind, Kind::Subscribe | Kind::Authorize);
        is_due |= is_ready
            && (negotiated || (completes && subscribed_at.is_some_and(|at| at >= read_began_at)));
        if is_due && *kind == Kind::Suggest {
            return Some(at + 1);
        }
        if ends.contains(&at) {
            if is_due {
                return Some(at + 1);
            }
            read_began_at = at + 1;
        }
    }
    None
}

#[test]
fn only_the_first_work_depends_on_how_a_handshake_is_cut() {
    let mut chance = Chance::new(5);
    for round in 0..3000 {
        let mut order: Vec<usize> = (0..LINES.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, chance.below(at + 1));
        }
        order.retain(|line| *line < 2 || chance.below(3) > 0);
        let kinds: Vec<Kind> = order.iter().map(|line| LINES[*line].1).collect();
        let bytes: String = order.iter().map(|line| format!("{}\n", LINES[*line].0)).collect();
        let mut world = World::new(profile(3));
        let (mut ends, mut sent) = (Vec::new(), 0);
        let longest = [1, 60, 400, 4000][chance.below(4)];
        while sent < bytes.len() {
            let end = bytes.len().min(sent + 1 + chance.below(longest));
            world.read(&bytes.as_bytes()[sent..end]);
            sent = end;
            // A read that ends inside a line ends after the lines before it.
            let complete = bytes[..end].matches('\n').count();
            ends.extend(complete.checked_sub(1));
        }
        let answers = |said: &[String]| {
            let answers = said.iter().filter(|line| line.contains("\"result\":"));
            answers.cloned().collect::<Vec<_>>()
        };
        let work_at = |said: &[String]| {
            let at = said.iter().position(|line| line.contains("mining.notify\",\"params"));
            at.map(|at| answers(&said[..at]).len())
        };
        let expected = answers_before_work(&kinds, &ends);
        assert_eq!(work_at(&world.ear.said), expected, "round {round}: {bytes} cut after {ends:?}");
        world.pass(Duration::from_millis(249));
        assert_eq!(work_at(&world.ear.said), expected);
        world.pass(Duration::from_millis(1));
        assert_eq!(work_at(&world.ear.said), expected.or(Some(order.len())));

        let mut whole = World::new(profile(3));
        whole.read(bytes.as_bytes());
        assert_eq!(answers(&world.ear.said), answers(&whole.ear.said), "{bytes}");
    }
}
