//! Many connections on one thread: they are opened, greeted, heard and fed; what they are for is
//! decided by whoever plays.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use memchr::memchr;
use rustls::ClientConfig;

use super::miner::{Miner, SHARES_PER_JOB_MAX, Stage};
use super::reply::{Line, accepted};
use super::target::{Target, source};
use super::transport::{Transport, client_config};
use super::wallet::worker;
use super::wire::{AUTHORIZE_ID, Dialect, SUBSCRIBE_ID};
use crate::net::epoll::{END, Epoll, READ, WRITE};
use crate::net::machine::nanoseconds;
use crate::net::socket;

const RECEIVE_BYTES: usize = 64 * 1024;
const BATCH: usize = 1024;
/// What a yardstick is told instead of a job; as long as a real one.
const YARDSTICK_JOB: &str = "b-1";
const YARDSTICK_NTIME: &str = "66230000";
const YARDSTICK_EXTRANONCE2_BYTES: usize = 4;

/// What listens at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    Pool,
    /// It answers everything alike: there is no work to wait for, and none that ends.
    Yardstick,
}

/// What a fleet is made of.
#[derive(Clone, Copy, Debug)]
pub struct FleetPlan {
    pub target: Target,
    pub against: Against,
    pub is_tls: bool,
    pub dialect: Dialect,
    /// The number of its first miner: fleets of one run have different ones.
    pub first: usize,
    pub miners: usize,
    /// Miners that come from one address.
    pub per_address: usize,
    /// Shares of one miner that wait for an answer at a time.
    pub in_flight: usize,
    /// Whether a miner keeps the notify it works on, to check or to mine it.
    pub keeps_work: bool,
}

/// Who decides what miners do, and notes what becomes of it. `now` is the clock of
/// [`nanoseconds`], read once for all that one socket had to say.
pub trait Player {
    /// It has its first work.
    fn on_ready(&mut self, _miner: &mut Miner, _now: u64) {}
    /// A share was accepted after so many nanoseconds.
    fn on_accepted(&mut self, _waited: u64, _now: u64) {}
    fn on_refused(&mut self, _miner: &Miner, _reason: &str, _waited: u64) {}
    /// New work, after the first.
    fn on_work(&mut self, _miner: &mut Miner, _line: &[u8], _is_clean: bool, _now: u64) {}
    /// How many shares may now wait for an answer.
    fn in_flight(&mut self, _miner: &Miner) -> usize {
        0
    }
    /// It is over, and why.
    fn on_end(&mut self, _miner: &mut Miner, _reason: &str) {}
}

/// Connections and their thread's memory.
pub struct Fleet {
    plan: FleetPlan,
    pub miners: Vec<Miner>,
    epoll: Epoll,
    tls: Option<Arc<ClientConfig>>,
    input: Box<[u8]>,
    text: Vec<u8>,
    out: Vec<u8>,
    per_job: u32,
    /// Connections that have been begun and have no work yet.
    pub greeting: usize,
    pub ready: usize,
}

impl Fleet {
    pub fn new(plan: FleetPlan) -> io::Result<Self> {
        let miners = (0..plan.miners)
            .map(|index| Miner::new(index, worker(plan.first + index), plan.in_flight))
            .collect();
        Ok(Self {
            plan,
            miners,
            epoll: Epoll::new(BATCH)?,
            tls: plan.is_tls.then(client_config),
            input: vec![0; RECEIVE_BYTES].into(),
            text: Vec::new(),
            out: Vec::with_capacity(RECEIVE_BYTES),
            per_job: match plan.against {
                Against::Pool => SHARES_PER_JOB_MAX,
                Against::Yardstick => u32::MAX,
            },
            greeting: 0,
            ready: 0,
        })
    }

    pub fn plan(&self) -> &FleetPlan {
        &self.plan
    }

    /// Begins to connect a miner.
    pub fn connect(&mut self, index: usize) -> io::Result<()> {
        let from = source(self.plan.first + index, self.plan.per_address);
        let socket = socket::connect(from, self.plan.target.address())?;
        self.epoll.add(socket.as_raw_fd(), READ | WRITE, index as u64)?;
        let transport = Transport::new(socket, self.tls.as_ref())?;
        self.miners[index].begin(transport);
        self.greeting += 1;
        Ok(())
    }

    /// Ends a miner's connection from this side.
    pub fn close(&mut self, index: usize) {
        let miner = &mut self.miners[index];
        match miner.stage {
            Stage::Connecting | Stage::Greeting => self.greeting -= 1,
            Stage::Ready => self.ready -= 1,
            Stage::Ended => return,
        }
        miner.stage = Stage::Ended;
        if let Some(transport) = miner.transport.take() {
            socket::reset_when_closed(transport.socket.as_raw_fd());
        }
    }

    /// Waits for something to happen, at most for `patience`, and deals with all of it.
    #[inline]
    pub fn turn(&mut self, player: &mut impl Player, patience: Duration) -> io::Result<()> {
        for event in 0..self.epoll.wait(Some(patience))? {
            let (token, state) = self.epoll.ready(event);
            let index = token as usize;
            if let Err(error) = self.serve(index, state, player) {
                let was_open = self.miners[index].stage != Stage::Ended;
                self.close(index);
                if was_open {
                    player.on_end(&mut self.miners[index], &error.to_string());
                }
            }
        }
        Ok(())
    }

    /// Lets a miner send as many shares as may wait for an answer.
    #[inline]
    pub fn feed(&mut self, index: usize, in_flight: usize, now: u64) -> io::Result<usize> {
        let miner = &mut self.miners[index];
        if miner.stage != Stage::Ready {
            return Ok(0);
        }
        let room = miner.room(in_flight, self.per_job);
        if room == 0 {
            return Ok(0);
        }
        self.out.clear();
        for _ in 0..room {
            miner.write_share(&mut self.out, now);
        }
        self.send(index)?;
        Ok(room)
    }

    /// Sends what is in `out`.
    #[inline]
    fn send(&mut self, index: usize) -> io::Result<()> {
        let Some(transport) = &mut self.miners[index].transport else { return Ok(()) };
        transport.send(&self.out)?;
        if transport.is_blocked() {
            self.watch_for_room(index)?;
        }
        Ok(())
    }

    #[cold]
    fn watch_for_room(&self, index: usize) -> io::Result<()> {
        let Some(transport) = &self.miners[index].transport else { return Ok(()) };
        self.epoll.change(transport.socket.as_raw_fd(), READ | WRITE, index as u64)
    }

    /// Sends a share that was written elsewhere, with [`Miner::next_id`].
    pub fn say_share(&mut self, index: usize, line: &[u8], now: u64) -> io::Result<()> {
        self.out.clear();
        // Numbered as it would have been here.
        self.miners[index].write_share(&mut self.out, now);
        self.out.clear();
        self.out.extend_from_slice(line);
        self.send(index)
    }

    #[inline]
    fn serve(&mut self, index: usize, state: u32, player: &mut impl Player) -> io::Result<()> {
        if state & WRITE != 0 {
            self.on_room(index)?;
        }
        if state & (READ | END) != 0 {
            self.receive(index, state, player)?;
        }
        Ok(())
    }

    #[cold]
    fn on_room(&mut self, index: usize) -> io::Result<()> {
        let miner = &mut self.miners[index];
        let Some(transport) = &mut miner.transport else { return Ok(()) };
        if miner.stage == Stage::Connecting {
            if let Some(error) = socket::take_error(transport.socket.as_raw_fd()) {
                return Err(error);
            }
            miner.stage = Stage::Greeting;
            // From here on there is room until there is none.
            self.epoll.change(transport.socket.as_raw_fd(), READ, index as u64)?;
            self.out.clear();
            let handshake = self.plan.dialect.handshake(&miner.worker);
            self.out.extend_from_slice(handshake.as_bytes());
            return self.send(index);
        }
        transport.flush()?;
        if !transport.is_blocked() {
            self.epoll.change(transport.socket.as_raw_fd(), READ, index as u64)?;
        }
        Ok(())
    }

    #[inline]
    fn receive(&mut self, index: usize, state: u32, player: &mut impl Player) -> io::Result<()> {
        loop {
            let Some(transport) = &mut self.miners[index].transport else { return Ok(()) };
            let count = match socket::receive(transport.socket.as_raw_fd(), &mut self.input) {
                Ok(0) => return Err(io::Error::other("closed by the server")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let now = nanoseconds();
            let is_tls = transport.tls.is_some();
            if is_tls {
                self.text.clear();
                transport.open(&self.input[..count], &mut self.text)?;
                let is_blocked = transport.is_blocked();
                let text = std::mem::take(&mut self.text);
                self.hear(index, &text, player, now)?;
                self.text = text;
                if is_blocked {
                    self.watch_for_room(index)?;
                }
            } else {
                let input = std::mem::take(&mut self.input);
                let heard = self.hear(index, &input[..count], player, now);
                self.input = input;
                heard?;
            }
            let wanted = player.in_flight(&self.miners[index]);
            self.feed(index, wanted, now)?;
            // The end is told of once, with what came before it.
            if count < self.input.len() && state & END == 0 {
                return Ok(());
            }
        }
    }

    /// Takes the lines that have come; the start of one is kept.
    #[inline]
    fn hear(
        &mut self,
        index: usize,
        bytes: &[u8],
        player: &mut impl Player,
        now: u64,
    ) -> io::Result<()> {
        if !self.miners[index].partial.is_empty() {
            let mut joined = std::mem::take(&mut self.miners[index].partial);
            joined.extend_from_slice(bytes);
            return self.hear_whole(index, &joined, player, now);
        }
        self.hear_whole(index, bytes, player, now)
    }

    #[inline]
    fn hear_whole(
        &mut self,
        index: usize,
        bytes: &[u8],
        player: &mut impl Player,
        now: u64,
    ) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some((id, length)) = accepted(rest) {
                rest = &rest[length..];
                let miner = &mut self.miners[index];
                match miner.settle(id) {
                    Some(sent_at) => player.on_accepted(now.saturating_sub(sent_at), now),
                    None => self.on_greeted(index, id, player, now)?,
                }
                continue;
            }
            let Some(length) = memchr(b'\n', rest) else {
                self.miners[index].partial.extend_from_slice(rest);
                return Ok(());
            };
            self.on_line(index, &rest[..length], player, now)?;
            rest = &rest[length + 1..];
        }
        Ok(())
    }

    /// An answer to the handshake.
    #[cold]
    fn on_greeted(
        &mut self,
        index: usize,
        id: u64,
        player: &mut impl Player,
        now: u64,
    ) -> io::Result<()> {
        let miner = &mut self.miners[index];
        match (id, self.plan.against) {
            (AUTHORIZE_ID, Against::Pool) => {
                miner.is_authorized = true;
                self.settle_ready(index, player, now);
                Ok(())
            }
            (SUBSCRIBE_ID, Against::Yardstick) => {
                miner.extranonce2_bytes = YARDSTICK_EXTRANONCE2_BYTES;
                Ok(())
            }
            (AUTHORIZE_ID, Against::Yardstick) => {
                miner.is_authorized = true;
                miner.work_on(YARDSTICK_JOB, YARDSTICK_NTIME, self.plan.dialect);
                self.settle_ready(index, player, now);
                Ok(())
            }
            _ => Err(io::Error::other(format!("an answer nobody asked for, id {id}"))),
        }
    }

    /// Whether the greeting is over, and what follows.
    fn settle_ready(&mut self, index: usize, player: &mut impl Player, now: u64) {
        let miner = &mut self.miners[index];
        if miner.stage == Stage::Greeting && miner.is_authorized && !miner.job.is_empty() {
            miner.stage = Stage::Ready;
            self.greeting -= 1;
            self.ready += 1;
            player.on_ready(&mut self.miners[index], now);
        }
    }

    fn on_line(
        &mut self,
        index: usize,
        line: &[u8],
        player: &mut impl Player,
        now: u64,
    ) -> io::Result<()> {
        let miner = &mut self.miners[index];
        match Line::read(line) {
            Line::Work(work) => {
                miner.work_on(work.job, work.ntime, self.plan.dialect);
                if self.plan.keeps_work {
                    miner.notify.clear();
                    miner.notify.extend_from_slice(line);
                }
                if miner.stage == Stage::Ready {
                    player.on_work(miner, line, work.is_clean, now);
                } else {
                    self.settle_ready(index, player, now);
                }
            }
            Line::Subscribed { id: SUBSCRIBE_ID, extranonce1, extranonce2_bytes } => {
                miner.extranonce1 = extranonce1;
                miner.extranonce2_bytes = extranonce2_bytes;
            }
            Line::Refused { id, reason } => {
                if let Some(sent_at) = id.and_then(|id| miner.settle(id)) {
                    player.on_refused(miner, &reason, now.saturating_sub(sent_at));
                } else if miner.stage == Stage::Greeting {
                    return Err(io::Error::other(format!("the handshake was refused: {reason}")));
                } else {
                    player.on_refused(miner, &reason, 0);
                }
            }
            Line::Told { .. } => {}
            Line::Subscribed { .. } | Line::Answered { .. } | Line::Strange => {
                let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
                return Err(io::Error::other(format!("an answer that makes no sense: {shown}")));
            }
        }
        Ok(())
    }
}
