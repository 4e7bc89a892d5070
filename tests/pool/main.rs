//! The real program against a real Bitcoin Core: what an operator and a miner can observe.
//!
//! Every test starts its own `bitcoind` (found or built by `scripts/node.sh`) and its own pool,
//! each in a fresh directory and on free loopback ports, so tests may run side by side. The miner
//! in here shares no code with the pool: it was written from the protocol's description, and a
//! mistake would have to be made twice to go unseen.
//!
//! | module                                        | what it is                                |
//! |-----------------------------------------------|-------------------------------------------|
//! | `poll` `ports` `process` `http`               | tools                                     |
//! | `node` `wallet`                               | Bitcoin Core and what goes in its mempool |
//! | `settings` `pool`                             | the program under test                    |
//! | `work` `stratum` `miner`                      | a Stratum miner                           |
//! | `prometheus` `scrape`                         | a reader of `/metrics`, and Prometheus    |
//! | `blocks` `tip` `outage` `shards`              | what must hold for blocks and shares      |
//! | `abuse` `refusals` `status` `web`             | bad clients, bad starts, public figures   |
//! | `reload` `first_run` `admin` `admin_settings` | what an operator changes                  |
//! | `order` `resume` `shutdown`                   | what a miner may rely on                  |
//! | `freeze` `churn` `foreign`                    | what one client cannot do to the others   |
//! | `tls_client` `tls`                            | the same in cipher                        |
//! | `logs` `full_disk`                            | what is written down, and where           |
//! | `cookie` `peers` `supervise` `profile`        | the node's side and systemd's             |
//! | `state` `kills` `minutes`                     | what outlives the process                 |
//! | `clients`                                     | programs that others have written         |
//! | `stand_in` `uploads` `discord` `notices` `outside` `hour` | services around the pool       |

mod poll;
mod ports;
mod process;

mod http;
mod node;
mod wallet;

mod pool;
mod settings;
mod stand_in;

mod miner;
mod stratum;
mod work;

mod tls_client;

mod prometheus;

mod abuse;
mod admin;
mod admin_settings;
mod blocks;
mod churn;
mod clients;
mod cookie;
mod cores;
mod discord;
mod first_run;
mod foreign;
mod freeze;
mod full_disk;
mod hour;
mod kills;
mod logs;
mod minutes;
mod notices;
mod order;
mod outage;
mod outside;
mod peers;
mod profile;
mod refusals;
mod reload;
mod resume;
mod scrape;
mod shards;
mod shutdown;
mod state;
mod status;
mod supervise;
mod tip;
mod tls;
mod uploads;
mod web;
mod workers;
