//! Signed-in people over a real database, for tests.

use std::time::Duration;

use glommio::LocalExecutorBuilder;
use gopool_shards::link::{Gauges, Report};
use gopool_shards::tally::{Accuracy, Look, Tally};
use serde_json::Value;

use super::*;
use crate::history::HistoryKeeper;
use crate::ledger::{Ledger, roster};
use crate::status::PublicUrl;
use crate::status::http::{Answer, Method, Request, Response, Status};
use crate::status::json::description::faults;
use crate::store::tests::Folder;

/// What the signed-in routes and pages work with, in local mode.
pub struct Bench {
    pub people: People,
    _folder: Folder,
}

impl Bench {
    pub fn new() -> Self {
        let (folder, store, _) = Folder::new();
        let keeper = HistoryKeeper::open(&folder.path().join("state"), 1).unwrap();
        let sightings = Sightings::new(store.clone());
        let switch = Arc::<StatusSwitch>::default();
        let host = "pool".to_owned();
        switch.set_public_url(Some(PublicUrl { is_https: false, host, port: None }));
        let people = People {
            saved: SavedWorkers::new(Vec::new(), store.clone()),
            links: Links::new(Vec::new(), store),
            roster: RosterReader::default(),
            history: keeper.reader(),
            codes: Arc::new(Mutex::new(Codes::new("ABCD"))),
            sightings,
            clerk: None,
            local: Networks::parse(&["0.0.0.0/0"]),
            switch,
            has_discord: true,
            has_notices: true,
        };
        Self { people, _folder: folder }
    }

    /// Has these connections looked at.
    pub fn connect(&self, looks: &[(u64, Look)]) {
        let mut tally = Tally::default();
        for (sequence, look) in looks {
            tally.join(&look.worker);
            tally.looked(*sequence, look.clone());
        }
        let report = Report { shard: 0, sums: tally.take(), gauges: Gauges::default() };
        let tau = Duration::from_secs(450);
        let mut ledger = Ledger::new(&[0], Vec::new(), self.people.roster.clone(), tau);
        ledger.add(report, Duration::from_secs(1));
    }

    pub fn ask(&self, request: &Request) -> Response {
        let (path, _) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let response = match find(path).expect("a route").answer(&self.people, request) {
            Answer::Now(response) => response,
            Answer::Later(response) => {
                let executor = LocalExecutorBuilder::default().make().unwrap();
                executor.run(response)
            }
            Answer::Stream(..) => panic!("no events here"),
        };
        // Whatever a test asks for, the answer must be one that `web/openapi.json` has.
        if path.starts_with("/api/") {
            let faults = faults(request.method, &request.path, &response);
            assert!(faults.is_empty(), "{faults:#?}");
        }
        response
    }

    pub fn get(&self, target: &str) -> (Status, Value) {
        let response = self.ask(&Request::get(target, &[]));
        let text = response.body.as_bytes();
        (response.status, serde_json::from_slice(text).unwrap_or_default())
    }

    pub fn post(&self, path: &str, body: &str) -> Response {
        self.ask(&post(path, body))
    }

    pub fn location(&self, path: &str, body: &str) -> String {
        let response = self.post(path, body);
        assert_eq!(response.status, Status::SeeOther);
        response.field("Location").unwrap().to_owned()
    }
}

pub fn post(path: &str, body: &str) -> Request {
    let mut request = Request::get(path, &[("origin", "http://pool")]);
    request.method = Method::Post;
    request.body = body.as_bytes().to_vec();
    request
}

/// What is known of a connection, as much of it as there can be.
pub fn look(worker: &str, now: u64) -> Look {
    Look {
        connected_at: now - 100,
        accuracy: Accuracy::Settling,
        window_started_at: now - 50,
        ..roster::tests::look(worker, 1e12, now)
    }
}
