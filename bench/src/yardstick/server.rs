//! One thread, one `epoll`, one receive and one send for each socket that is ready.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::echo::answer_lines;
use crate::net::epoll::{END, Epoll, READ, WRITE};
use crate::net::socket;

/// One buffer for all connections, as large as what many requests of one miner are.
const RECEIVE_BYTES: usize = 64 * 1024;
/// Sockets that are told of at a time.
const BATCH: usize = 1024;
/// A line that is longer is not waited for.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Largest message that is sent to all.
const BROADCAST_BYTES_MAX: usize = 64 * 1024;

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub listen: SocketAddrV4,
    /// Where a line `broadcast <bytes>` makes it send that much to all.
    pub control: SocketAddrV4,
}

/// A server of lines that knows nothing of them.
#[derive(Debug)]
pub struct Yardstick {
    epoll: Epoll,
    listener: OwnedFd,
    control: OwnedFd,
    /// By descriptor: four bytes are all that a connection costs here.
    connections: Vec<Option<OwnedFd>>,
    controllers: Vec<RawFd>,
    /// What could not be taken or sent at once, which hardly ever happens.
    unfinished: HashMap<RawFd, Unfinished>,
    input: Box<[u8]>,
    out: Vec<u8>,
    broadcasts: u64,
}

#[derive(Debug, Default)]
struct Unfinished {
    line: Vec<u8>,
    unsent: Vec<u8>,
}

impl Yardstick {
    pub fn new(plan: &Plan) -> io::Result<Self> {
        let yardstick = Self {
            epoll: Epoll::new(BATCH)?,
            listener: socket::listen(plan.listen)?,
            control: socket::listen(plan.control)?,
            connections: Vec::new(),
            controllers: Vec::new(),
            unfinished: HashMap::new(),
            input: vec![0; RECEIVE_BYTES].into(),
            out: Vec::with_capacity(RECEIVE_BYTES),
            broadcasts: 0,
        };
        for listener in [&yardstick.listener, &yardstick.control] {
            let socket = listener.as_raw_fd();
            yardstick.epoll.add(socket, READ, socket as u64)?;
        }
        Ok(yardstick)
    }

    /// Where it listens, and where it takes orders.
    pub fn addresses(&self) -> io::Result<(SocketAddrV4, SocketAddrV4)> {
        let address = |socket: &OwnedFd| socket::local_address(socket.as_raw_fd());
        Ok((address(&self.listener)?, address(&self.control)?))
    }

    /// Serves until the process is ended.
    pub fn run(&mut self) -> io::Result<()> {
        let (listener, control) = (self.listener.as_raw_fd(), self.control.as_raw_fd());
        loop {
            for index in 0..self.epoll.wait(None)? {
                let (token, state) = self.epoll.ready(index);
                let socket = token as RawFd;
                if socket == listener || socket == control {
                    self.accept(socket)?;
                } else {
                    self.serve(socket, state);
                }
            }
        }
    }

    fn accept(&mut self, listener: RawFd) -> io::Result<()> {
        while let Some(accepted) = socket::accept(listener)? {
            let socket = accepted.as_raw_fd();
            self.epoll.add(socket, READ, socket as u64)?;
            if listener == self.control.as_raw_fd() {
                self.controllers.push(socket);
            }
            let index = socket as usize;
            if self.connections.len() <= index {
                self.connections.resize_with(index + 1, || None);
            }
            self.connections[index] = Some(accepted);
        }
        Ok(())
    }

    #[inline]
    fn serve(&mut self, socket: RawFd, state: u32) {
        let served = if state & WRITE == 0 || self.send_rest(socket) {
            self.receive(socket, state)
        } else {
            // Who does not take its answers is not asked for more.
            true
        };
        if !served {
            self.connections[socket as usize] = None;
            self.unfinished.remove(&socket);
            self.controllers.retain(|controller| *controller != socket);
        }
    }

    /// Takes what has come and answers it; false when the connection is over.
    #[inline]
    fn receive(&mut self, socket: RawFd, state: u32) -> bool {
        loop {
            let count = match socket::receive(socket, &mut self.input) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            };
            self.out.clear();
            let rest = match self.unfinished.is_empty() {
                true => answer_lines(&self.input[..count], &mut self.out),
                false => self.answer_unfinished(socket, count),
            };
            if rest < count && !self.keep_line(socket, rest, count) {
                return false;
            }
            if self.controllers.contains(&socket) {
                self.obey(count);
                return true;
            }
            if !self.send(socket) {
                return false;
            }
            // The end is told of once, with what came before it.
            if count < self.input.len() && state & END == 0 {
                return true;
            }
        }
    }

    /// The same with the start of a line kept from before; everything is taken.
    #[cold]
    fn answer_unfinished(&mut self, socket: RawFd, count: usize) -> usize {
        let Some(unfinished) = self.unfinished.get_mut(&socket) else {
            return answer_lines(&self.input[..count], &mut self.out);
        };
        unfinished.line.extend_from_slice(&self.input[..count]);
        let taken = answer_lines(&unfinished.line, &mut self.out);
        unfinished.line.drain(..taken);
        self.forget_finished(socket);
        count
    }

    #[cold]
    fn keep_line(&mut self, socket: RawFd, from: usize, to: usize) -> bool {
        let line = &mut self.unfinished.entry(socket).or_default().line;
        line.extend_from_slice(&self.input[from..to]);
        line.len() <= LINE_BYTES_MAX
    }

    #[inline]
    fn send(&mut self, socket: RawFd) -> bool {
        if self.out.is_empty() {
            return true;
        }
        match socket::send(socket, &self.out) {
            Ok(count) if count == self.out.len() => true,
            Ok(count) => self.keep_unsent(socket, count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.keep_unsent(socket, 0),
            Err(_) => false,
        }
    }

    #[cold]
    fn keep_unsent(&mut self, socket: RawFd, from: usize) -> bool {
        self.unfinished.entry(socket).or_default().unsent.extend_from_slice(&self.out[from..]);
        self.epoll.change(socket, READ | WRITE, socket as u64).is_ok()
    }

    /// Sends what is left; false when there still is something.
    #[cold]
    fn send_rest(&mut self, socket: RawFd) -> bool {
        let Some(unfinished) = self.unfinished.get_mut(&socket) else { return true };
        if let Ok(count) = socket::send(socket, &unfinished.unsent) {
            unfinished.unsent.drain(..count);
        }
        if !unfinished.unsent.is_empty() {
            return false;
        }
        self.forget_finished(socket);
        self.epoll.change(socket, READ, socket as u64).is_ok()
    }

    fn forget_finished(&mut self, socket: RawFd) {
        let is_finished =
            |unfinished: &Unfinished| unfinished.line.is_empty() && unfinished.unsent.is_empty();
        if self.unfinished.get(&socket).is_some_and(is_finished) {
            self.unfinished.remove(&socket);
        }
    }

    /// The order `broadcast <bytes>`: a bare loop of sends.
    fn obey(&mut self, count: usize) {
        let order = String::from_utf8_lossy(&self.input[..count]);
        let bytes = order.trim().strip_prefix("broadcast ").and_then(|text| text.parse().ok());
        let Some(bytes) = bytes.filter(|bytes| *bytes <= BROADCAST_BYTES_MAX) else { return };
        self.broadcasts += 1;
        let message = message(self.broadcasts, bytes);
        for index in 0..self.connections.len() {
            let Some(connection) = &self.connections[index] else { continue };
            let socket = connection.as_raw_fd();
            if self.controllers.contains(&socket) {
                continue;
            }
            if matches!(socket::send(socket, &message), Ok(count) if count == message.len()) {
                continue;
            }
            // One that does not read misses it: the loop is what is measured.
            self.connections[index] = None;
        }
    }
}

/// A line of so many bytes that a client takes for new work.
fn message(sequence: u64, bytes: usize) -> Vec<u8> {
    let head =
        format!("{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{sequence}-1\",\"");
    let tail = "\",\"20000000\",\"17034219\",\"66230000\",true]}\n";
    let padding = bytes.saturating_sub(head.len() + tail.len());
    format!("{head}{}{tail}", "0".repeat(padding)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_size_that_was_asked_for() {
        for bytes in [200, 900, 4000] {
            let message = message(7, bytes);
            assert_eq!(message.len(), bytes);
            assert!(message.ends_with(b",true]}\n"));
        }
    }
}
