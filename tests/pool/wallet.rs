//! Keys the tests hold, and transactions made with them (the node has no wallet).

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::node::{Node, sats, text};
use crate::work::{hex, sha256d, unhex};

/// Blocks after which the first coinbase of a chain may be spent, and a few more to spend.
const MATURE_BLOCKS: usize = 105;
/// Fee of the transaction that makes the coins: above the relay minimum for its size.
const SPLIT_FEE_SATS: u64 = 100_000;
/// Fee of the first transaction of a wallet; each later one pays a satoshi more, so that the sum
/// of a block is no round number.
const FEE_SATS: u64 = 1_001;
/// Every so many transactions one spends the one before it: a block with them in any other order
/// than the template's is invalid.
const CHILD_EVERY: usize = 5;

/// A private key that is a small number: the same in every run.
#[derive(Clone, Copy)]
pub struct Key(pub u8);

/// The kinds of address a miner may have.
#[derive(Clone, Copy, Debug)]
pub enum AddressKind {
    P2pkh,
    P2sh,
    P2wpkh,
    P2wsh,
    P2tr,
}

impl AddressKind {
    pub const ALL: [Self; 5] = [Self::P2pkh, Self::P2sh, Self::P2wpkh, Self::P2wsh, Self::P2tr];
}

impl Key {
    /// The key as Core takes it, for any of the test networks.
    fn wif(self) -> String {
        let mut payload = vec![0xef];
        payload.extend([0; 31]);
        payload.push(self.0);
        // The public key is meant in its compressed form.
        payload.push(0x01);
        base58check(&payload)
    }

    /// An address of this key, derived by Core.
    pub fn address(self, node: &Node, kind: AddressKind) -> String {
        let wif = self.wif();
        let descriptor = match kind {
            AddressKind::P2pkh => format!("pkh({wif})"),
            AddressKind::P2sh => format!("sh(wpkh({wif}))"),
            AddressKind::P2wpkh => format!("wpkh({wif})"),
            AddressKind::P2wsh => format!("wsh(pk({wif}))"),
            AddressKind::P2tr => format!("tr({wif})"),
        };
        let info = node.rpc("getdescriptorinfo", &json!([descriptor]));
        let described = format!("{descriptor}#{}", text(&info["checksum"]));
        text(&node.rpc("deriveaddresses", &json!([described]))[0])
    }
}

/// A spendable output.
#[derive(Clone)]
struct Coin {
    txid: String,
    index: u32,
    sats: u64,
}

/// Coins of one key on a regtest chain, half of them segwit.
pub struct Wallet<'a> {
    node: &'a Node,
    key: Key,
    address: String,
    script: String,
    coins: VecDeque<Coin>,
    sent_count: u64,
}

impl<'a> Wallet<'a> {
    /// Mines to the key and splits one coinbase into `coin_count` coins.
    pub fn new(node: &'a Node, key: Key, coin_count: u32) -> Self {
        let address = key.address(node, AddressKind::P2wpkh);
        let scripts =
            [script_of(node, &address), script_of(node, &key.address(node, AddressKind::P2pkh))];
        node.mine_to(&address, MATURE_BLOCKS);
        let first = text(&node.rpc("getblockhash", &json!([1])));
        let coinbase = node.block(&first)["tx"][0].clone();
        let value = sats(&coinbase["vout"][0]["value"]);

        let each = (value - SPLIT_FEE_SATS) / u64::from(coin_count);
        let outputs: Vec<_> =
            scripts.iter().cycle().take(coin_count as usize).map(|s| (s.as_str(), each)).collect();
        let input = Coin { txid: text(&coinbase["txid"]), index: 0, sats: value };
        let script = scripts[0].clone();
        let mut wallet = Self { node, key, address, script, coins: VecDeque::new(), sent_count: 0 };
        let txid = wallet.sign_and_send(&unsigned_transaction(&input, &outputs));
        node.mine_to(&wallet.address, 1);
        for index in 0..coin_count {
            wallet.coins.push_back(Coin { txid: txid.clone(), index, sats: each });
        }
        wallet
    }

    /// Puts `count` transactions into the mempool, segwit and legacy in turn.
    pub fn send(&mut self, count: usize) {
        let mut previous: Option<Coin> = None;
        for nth in 1..=count {
            let parent = previous.take().filter(|_| nth % CHILD_EVERY == 0);
            let coin = parent
                .unwrap_or_else(|| self.coins.pop_front().expect("the wallet has coins left"));
            let fee = FEE_SATS + self.sent_count;
            let change = coin.sats - fee;
            let txid =
                self.sign_and_send(&unsigned_transaction(&coin, &[(self.script.as_str(), change)]));
            self.sent_count += 1;
            previous = Some(Coin { txid, index: 0, sats: change });
        }
    }

    /// Puts `count` transactions into the mempool and a block without them on the chain, so that
    /// the pool is told at once and its next template has them. Returns the hash of that block.
    ///
    /// Core tells a waiting pool of new transactions after a minute; of a new block, immediately.
    pub fn offer(&mut self, count: usize) -> String {
        self.send(count);
        self.node.mine_empty(&self.address)
    }

    fn sign_and_send(&self, unsigned: &[u8]) -> String {
        let key = self.key.wif();
        let signed = self.node.rpc("signrawtransactionwithkey", &json!([hex(unsigned), [key]]));
        assert_eq!(signed["complete"], Value::Bool(true), "signing: {signed}");
        text(&self.node.rpc("sendrawtransaction", &json!([signed["hex"], 0])))
    }
}

/// One input and some outputs, before anything is signed.
fn unsigned_transaction(coin: &Coin, outputs: &[(&str, u64)]) -> Vec<u8> {
    let mut out = 2u32.to_le_bytes().to_vec();
    out.push(1);
    let mut txid = unhex(&coin.txid);
    txid.reverse();
    out.extend(txid);
    out.extend(coin.index.to_le_bytes());
    out.push(0);
    out.extend(0xffff_ffff_u32.to_le_bytes());
    push_compact_size(&mut out, outputs.len());
    for (script, sats) in outputs {
        let script = unhex(script);
        out.extend(sats.to_le_bytes());
        push_compact_size(&mut out, script.len());
        out.extend(script);
    }
    out.extend(0u32.to_le_bytes());
    out
}

fn push_compact_size(out: &mut Vec<u8>, size: usize) {
    match u8::try_from(size) {
        Ok(size @ ..0xfd) => out.push(size),
        _ => {
            out.push(0xfd);
            out.extend(u16::try_from(size).expect("no test needs more").to_le_bytes());
        }
    }
}

fn script_of(node: &Node, address: &str) -> String {
    text(&node.rpc("validateaddress", &json!([address]))["scriptPubKey"])
}

fn base58check(payload: &[u8]) -> String {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = payload.to_vec();
    bytes.extend(&sha256d(payload)[..4]);
    // Digits of the number in base 58, least significant first.
    let mut digits: Vec<u8> = Vec::new();
    for byte in &bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = u8::try_from(carry % 58).expect("below 58");
            carry /= 58;
        }
        while carry > 0 {
            digits.push(u8::try_from(carry % 58).expect("below 58"));
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let leading = std::iter::repeat_n('1', zeros);
    leading.chain(digits.iter().rev().map(|d| char::from(ALPHABET[usize::from(*d)]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Chain;
    use crate::settings;

    #[test]
    fn key_one_is_the_generator_point() {
        assert_eq!(Key(1).wif(), "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA");
    }

    #[test]
    fn the_pools_address_belongs_to_key_one() {
        let regtest = Node::new(Chain::Regtest);
        let signet = Node::new(Chain::Signet);
        for node in [&regtest, &signet] {
            let expected = settings::pool_address(node.chain());
            assert_eq!(Key(1).address(node, AddressKind::P2wpkh), expected);
        }
    }

    #[test]
    fn two_hundred_transactions_wait_in_the_mempool_half_of_them_segwit() {
        let node = Node::new(Chain::Regtest);
        let mut wallet = Wallet::new(&node, Key(4), 200);
        wallet.offer(200);
        let template = node.rpc("getblocktemplate", &json!([{"rules": ["segwit"]}]));
        let transactions = template["transactions"].as_array().expect("transactions");
        assert_eq!(transactions.len(), 200);
        let segwit = transactions.iter().filter(|tx| tx["txid"] != tx["hash"]).count();
        assert!((80..=160).contains(&segwit), "{segwit} of 200 are segwit");
    }
}
