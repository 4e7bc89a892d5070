//! The service against a Discord that says what it is told to.

use std::io::Write;

use super::links::tests::Bench;
use super::*;
use crate::notices::{FoundBlock, WorkerName};
use crate::outgoing::tests::{Served, json, outgoing, until};
use crate::privacy::Secret;

fn words() -> NoticeWords {
    let (threshold, tag) = (Duration::from_secs(300), "pool".to_owned());
    NoticeWords { threshold, tag, link: String::new() }
}

fn spawn(served: &Served, bench: &Bench) -> Discord {
    Discord::spawn(DiscordPlan {
        settings: DiscordSettings {
            api_url: served.url(""),
            token: Secret::new("hunter2"),
            server_id: "2".to_owned(),
            channel_id: "3".to_owned(),
        },
        outgoing: outgoing(),
        links: bench.links.clone(),
        codes: Arc::new(Mutex::new(Codes::new("ABCD"))),
        words: Arc::new(ArcSwap::from_pointee(words())),
        store: WeakStoreHandle::default(),
    })
    .unwrap()
}

/// The next message that is sent, whatever else is asked for.
fn message(served: &Served) -> serde_json::Value {
    loop {
        let asked = served.asked();
        if asked.starts_with("POST /channels/3/messages") {
            return serde_json::from_str(asked.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        }
    }
}

fn found(savers: &[&str]) -> Event {
    Event::Block(FoundBlock {
        height: 7,
        hash_hex: "0".repeat(64),
        worker: "w".to_owned(),
        found_at: 1,
        savers: savers.iter().map(|user| (*user).to_owned()).collect(),
        notice_id: String::new(),
    })
}

const STOP: Duration = Duration::from_secs(10);

/// Returns when all of it has ended.
fn stop(discord: &Discord) {
    discord.close();
    until(|| discord.has_ended());
}

/// Without threads: nothing leaves.
fn silent(bench: &Bench) -> Discord {
    let shared = Shared {
        queue: Mutex::default(),
        words: Arc::new(ArcSwap::from_pointee(words())),
        gateway: Arc::new(GatewayState::new(Instant::now())),
        sending: Mutex::default(),
    };
    Discord {
        shared: Arc::new(shared),
        links: bench.links.clone(),
        running: Arc::default(),
        closing: Arc::default(),
    }
}

fn workers(user: &str) -> Event {
    let away = vec![WorkerName { hash: "h".to_owned(), name: "rig".to_owned() }];
    Event::Workers { user_id: user.to_owned(), away, back: Vec::new() }
}

fn next(discord: &Discord) -> Option<queue::Post> {
    let mut queue = discord.shared.queue();
    let now = Instant::now();
    let at = now + queue.wait(now)?;
    let post = queue.next("", at)?;
    queue.done(post.number, queue::Outcome::Sent, "", at);
    Some(post)
}

#[test]
fn who_is_linked_is_told_and_nobody_else() {
    let bench = Bench::new();
    for (user, who) in [("a", "11"), ("b", "12"), ("c", "13")] {
        bench.links.link(user, who, 1).unwrap();
    }
    bench.links.set_enabled("b", false, 2).unwrap();
    let discord = silent(&bench);
    discord.tell(&Event::Watching);
    for user in ["a", "b", "stranger"] {
        discord.tell(&workers(user));
    }
    let text = "[pool] Notices of saved workers are on: for who is away or back for 5m.\n\
                <@11> offline for 5m: rig";
    assert_eq!(next(&discord).unwrap().text, text);
    discord.tell(&found(&["a", "b", "c", "a"]));
    let post = next(&discord).unwrap();
    assert!(post.text.starts_with("@everyone [pool] Block 7 found by w <t:1:F>"), "{}", post.text);
    assert_eq!((post.users, post.is_everyone), (vec!["11".to_owned(), "13".to_owned()], true));
    assert_eq!(next(&discord), None);
}

#[test]
fn a_network_that_was_gone_makes_all_but_blocks_old() {
    let bench = Bench::new();
    bench.links.link("a", "11", 1).unwrap();
    let discord = silent(&bench);
    discord.tell(&workers("a"));
    discord.tell(&found(&[]));
    discord.tell(&Event::Network { is_up: false });
    discord.tell(&Event::Network { is_up: true });
    assert!(next(&discord).unwrap().text.contains("Block 7"));
    assert!(next(&discord).unwrap().text.contains("reaches the network again"));
    assert_eq!(next(&discord), None);
}

#[test]
fn too_many_people_at_once_are_said_in_one_notice() {
    let bench = Bench::new();
    let discord = silent(&bench);
    for user in 0..150 {
        let user = user.to_string();
        bench.links.link(&user, &format!("1{user}"), 1).unwrap();
        discord.tell(&workers(&user));
    }
    let post = next(&discord).unwrap();
    assert!(post.text.contains("101 people") && post.users.is_empty(), "{}", post.text);
    assert_eq!((next(&discord), discord.bursts()), (None, 1));
}

#[test]
fn a_message_whose_answer_was_lost_is_the_same_when_it_comes_again() {
    let bench = Bench::new();
    let served = Served::with(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
    });
    let discord = spawn(&served, &bench);
    discord.tell(&found(&[]));
    let first = message(&served);
    // Stopping tries once more, at once.
    stop(&discord);
    let second = message(&served);
    assert_eq!((&first["nonce"], &first["content"]), (&second["nonce"], &second["content"]));
    let figures = discord.figures();
    assert_eq!((figures.sent, figures.waiting, figures.linked), (0, 1, 0));
    assert!(figures.send_error.is_some());
}

#[test]
fn a_wrong_token_is_said_once_and_hangs_nobody() {
    let bench = Bench::new();
    let served = Served::text(&json(401, r#"{"message":"401: Unauthorized","code":0}"#));
    let began = Instant::now();
    let discord = spawn(&served, &bench);
    assert!(served.asked().starts_with("GET /gateway/bot HTTP/1.1"));
    while discord.figures().gateway_error.is_none() {
        assert!(began.elapsed() < STOP);
        thread::sleep(Duration::from_millis(10));
    }
    let error = discord.figures().gateway_error.unwrap();
    assert!(error.contains("401: Unauthorized") && !error.contains("hunter2"), "{error}");
    assert!(discord.disconnected_since().unwrap() >= began && discord.bursts() == 0);
    let stopping = Instant::now();
    stop(&discord);
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
    assert!(!served.was_asked(), "it is not tried again soon");
    // Afterwards it takes what it is told, and does nothing.
    discord.tell(&Event::Watching);
    stop(&discord);
}
