//! A resolver in this process that says what it is told to, counts who asks, and can keep an answer back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// UDP alone; it ends when it is dropped. A name of which it was told nothing does not exist.
pub struct Resolver {
    pub address: SocketAddr,
    table: Arc<Mutex<Table>>,
    held: watch::Sender<BTreeSet<String>>,
    arrivals: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Table {
    records: BTreeMap<(String, RecordType), Vec<String>>,
    /// Names that it fails to answer for.
    failing: BTreeSet<String>,
    /// Names whose signatures do not hold: answered only to those who want it unchecked.
    bogus: BTreeSet<String>,
    asked: Vec<(String, RecordType)>,
    waiting: usize,
    most_waiting: usize,
}

impl Resolver {
    pub async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = socket.local_addr().unwrap();
        let table = Arc::new(Mutex::new(Table::default()));
        let (held, hold) = watch::channel(BTreeSet::<String>::new());
        let (arrived, arrivals) = watch::channel(0);
        let answers = Arc::clone(&table);
        let task = tokio::spawn(async move {
            let mut packet = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                let Ok(query) = Message::from_vec(&packet[..length]) else { continue };
                let (socket, table, mut hold) = (Arc::clone(&socket), Arc::clone(&answers), hold.clone());
                let arrived = arrived.clone();
                tokio::spawn(async move {
                    let name = plain(&query.queries[0].name);
                    table.lock().unwrap().arrives(&name, query.queries[0].query_type);
                    arrived.send_modify(|count| *count += 1);
                    let _ = hold.wait_for(|held| !held.iter().any(|suffix| name.ends_with(suffix.as_str()))).await;
                    let answer = table.lock().unwrap().answer(&query);
                    let _ = socket.send_to(&answer.to_vec().unwrap(), peer).await;
                });
            }
        });
        Self { address, table, held, arrivals, task }
    }

    /// All records of this kind that the name has; none takes them away. A TXT longer than 255 bytes is cut in pieces.
    pub fn set(&self, name: &str, kind: &str, values: &[&str]) {
        let key = (name.to_owned(), kind.parse().unwrap());
        let mut table = self.table.lock().unwrap();
        match values {
            [] => table.records.remove(&key),
            values => table.records.insert(key, values.iter().map(|value| (*value).to_owned()).collect()),
        };
    }

    /// Fails to answer for this name, or no more.
    pub fn fail(&self, name: &str, fails: bool) {
        put(&mut self.table.lock().unwrap().failing, name, fails);
    }

    /// The signatures of this name do not hold, or do again.
    pub fn bogus(&self, name: &str, bogus: bool) {
        put(&mut self.table.lock().unwrap().bogus, name, bogus);
    }

    /// Keeps the answers for names that end so back, until [`Resolver::release`].
    pub fn hold(&self, suffix: &str) {
        self.held.send_modify(|held| put(held, suffix, true));
    }

    pub fn release(&self) {
        self.held.send_modify(BTreeSet::clear);
    }

    /// How often it was asked for names that end so.
    pub fn asked(&self, suffix: &str) -> usize {
        self.table.lock().unwrap().asked.iter().filter(|(name, _)| name.ends_with(suffix)).count()
    }

    /// Waits until it has been asked so often for names that end so.
    pub async fn is_asked(&self, suffix: &str, times: usize) {
        self.arrivals.clone().wait_for(|_| self.asked(suffix) >= times).await.unwrap();
    }

    /// How many questions were unanswered at the same time, at most.
    pub fn most_waiting(&self) -> usize {
        self.table.lock().unwrap().most_waiting
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Table {
    fn arrives(&mut self, name: &str, kind: RecordType) {
        self.asked.push((name.to_owned(), kind));
        self.waiting += 1;
        self.most_waiting = self.most_waiting.max(self.waiting);
    }

    fn answer(&mut self, query: &Message) -> Message {
        self.waiting -= 1;
        let question = &query.queries[0];
        let (name, kind) = (plain(&question.name), question.query_type);
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_query(question.clone());
        if self.failing.contains(&name) || self.bogus.contains(&name) && !query.metadata.checking_disabled {
            answer.metadata.response_code = ResponseCode::ServFail;
            return answer;
        }
        let mut owner = name;
        while let (true, Some(alias)) = (kind != RecordType::CNAME, self.of(&owner, RecordType::CNAME).first()) {
            answer.add_answer(record(&owner, RecordType::CNAME, alias));
            owner.clone_from(alias);
        }
        for value in self.of(&owner, kind) {
            answer.add_answer(record(&owner, kind, value));
        }
        if !self.records.keys().any(|(name, _)| *name == owner) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer
    }

    fn of(&self, name: &str, kind: RecordType) -> &[String] {
        self.records.get(&(name.to_owned(), kind)).map(Vec::as_slice).unwrap_or_default()
    }
}

fn put(set: &mut BTreeSet<String>, name: &str, is_in: bool) {
    match is_in {
        true => set.insert(name.to_owned()),
        false => set.remove(name),
    };
}

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

fn record(owner: &str, kind: RecordType, value: &str) -> Record {
    let name = |text: &str| Name::from_ascii(format!("{text}.")).unwrap();
    let data = match kind {
        RecordType::A => RData::A(A(value.parse().unwrap())),
        RecordType::AAAA => RData::AAAA(AAAA(value.parse().unwrap())),
        RecordType::CNAME => RData::CNAME(CNAME(name(value))),
        RecordType::NS => RData::NS(NS(name(value))),
        RecordType::TXT => {
            let pieces = value.as_bytes().chunks(255).map(|piece| String::from_utf8(piece.to_vec()).unwrap());
            RData::TXT(TXT::new(pieces.collect()))
        }
        other => panic!("no {other} here"),
    };
    Record::from_rdata(name(owner), 60, data)
}
