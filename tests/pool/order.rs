//! Answers come in the order of the requests, however the bytes are cut into packets.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::pool::Pool;
use crate::settings::MINER_ADDRESS;
use crate::stratum::{ANSWER_LIMIT, Client};

/// Between two pieces of one conversation: long enough that the pool reads them one by one. When it
/// does not, the conversation is only cut less often than was meant.
const PIECE_INTERVAL: Duration = Duration::from_micros(500);

fn line(id: &Value, method: &str, params: &Value) -> String {
    format!("{}\n", json!({"id": id, "method": method, "params": params}))
}

/// What stands in an answer, but for texts that people read.
fn essence(answer: &Value) -> (Value, Value, Value) {
    (answer["id"].clone(), answer["result"].clone(), answer["error"][0].clone())
}

#[test]
fn answers_of_one_write_come_in_its_order() {
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let job = miner.job();
    let (first, second) = (miner.find_share(&job), miner.find_share(&job));
    let (first, second) = (miner.submit_params(&first), miner.submit_params(&second));
    let mut unknown = second.clone();
    unknown[1] = json!("no such job");
    let requests = [
        line(&json!(10), "mining.submit", &first),
        line(&json!(11), "mining.submit", &unknown),
        line(&json!(12), "mining.submit", &second),
        line(&json!(13), "mining.ping", &json!([])),
        line(&json!(14), "mining.submit", &first),
    ];
    miner.client().send(requests.concat().as_bytes());
    let answers = requests.map(|_| essence(&miner.client().answer()));
    let expected = [
        (json!(10), json!(true), Value::Null),
        (json!(11), json!(false), json!(21)),
        (json!(12), json!(true), Value::Null),
        (json!(13), json!("pong"), Value::Null),
        (json!(14), json!(false), json!(22)),
    ];
    assert_eq!(answers, expected);
}

#[test]
fn a_thousand_shares_of_one_write_are_answered_in_order() {
    // More than are judged side by side, with requests of other kinds in between.
    const COUNT: u64 = 1000;
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let job = miner.job();
    let mut requests = String::new();
    for id in 0..COUNT {
        requests += &match id % 10 {
            0 => line(&json!(id), "mining.ping", &json!([])),
            _ => {
                let share = miner.find_share(&job);
                line(&json!(id), "mining.submit", &miner.submit_params(&share))
            }
        };
    }
    miner.client().send(requests.as_bytes());
    for id in 0..COUNT {
        let result = if id % 10 == 0 { json!("pong") } else { json!(true) };
        assert_eq!(essence(&miner.client().answer()), (json!(id), result, Value::Null));
    }
}

/// A whole conversation that waits for no answer: it returns to a place it had before, so that it
/// knows its extranonce and can hand in a share without having heard anything.
fn conversation(session_id: &str, share: &Value) -> [String; 9] {
    let mut unknown = share.clone();
    unknown[1] = json!("1");
    let options = json!({"version-rolling.mask": "ffffffff"});
    let configure = json!([["version-rolling"], options]);
    [
        line(&json!(1), "mining.configure", &configure),
        line(&json!(2), "mining.subscribe", &json!(["harness/1.0", session_id])),
        "\r\n".to_owned(),
        line(&json!(3), "mining.authorize", &json!([MINER_ADDRESS, "x"])).replace('\n', "\r\n"),
        line(&json!("four"), "mining.submit", share),
        line(&json!(5), "mining.submit", &unknown),
        line(&json!(4), "mining.submit", share),
        line(&json!(null), "mining.ping", &json!([])),
        line(&json!(7), "mining.no_such_method", &json!([])),
    ]
}

/// Says a [`conversation`] in pieces of `size` bytes, the last of at most `count` taking what is
/// left. Returns its answers and what the first notification was.
#[track_caller]
fn talk(pool: &Pool, size: usize, count: usize) -> (Vec<Value>, String) {
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let job = miner.job();
    let share = miner.find_share(&job);
    let share = miner.submit_params(&share);
    let (session_id, extranonce1) = (miner.session_id.clone(), miner.extranonce1.clone());
    miner.leave();

    let requests = conversation(&session_id, &share);
    let text = requests.concat();
    let mut client = Client::open(pool.stratum());
    let mut rest = text.as_bytes();
    for nth in 1.. {
        let last = nth == count || rest.len() <= size;
        let (piece, more) = rest.split_at(if last { rest.len() } else { size });
        client.send(piece);
        rest = more;
        if last {
            break;
        }
        sleep(PIECE_INTERVAL);
    }
    let asked = requests.iter().filter(|request| !request.trim().is_empty()).count();
    let mut answers: Vec<Value> = (0..asked).map(|_| client.answer()).collect();
    // The one answer that is another each time.
    let subscribed = answers[1]["result"].take();
    assert_eq!((&subscribed[0][0][1], &subscribed[1]), (&json!(session_id), &json!(extranonce1)));
    let told = client.notification(ANSWER_LIMIT).expect("it gets work");
    client.leave();
    (answers, told.method)
}

#[test]
fn a_conversation_cut_anywhere_gets_the_answers_of_the_whole() {
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let whole = talk(&pool, usize::MAX, 1);
    let codes: Vec<Value> = whole.0.iter().map(|answer| answer["error"][0].clone()).collect();
    let [null, stale, duplicate] = [Value::Null, json!(21), json!(22)];
    let expected = [&null, &null, &null, &null, &stale, &duplicate, &null, &json!(-32601)];
    assert!(codes.iter().eq(expected), "{:?}", whole.0);
    // One byte at a time, then ever larger pieces; and in two, at places all over the text.
    let pieces = [1, 2, 3, 7, 50, 100].map(|size| (size, usize::MAX));
    let halves = (1..30).map(|nth| (nth * 29, 2));
    for (size, count) in pieces.into_iter().chain(halves) {
        assert_eq!(talk(&pool, size, count), whole, "pieces of {size}, at most {count}");
    }
}
