//! One question to one server: UDP, and TCP where the answer is too long for that.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_net::NetError;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::{DnsExchange, DnsHandle, FirstAnswer};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

/// What a server has said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub code: Code,
    /// It is its own zone.
    pub authoritative: bool,
    /// Whatever the answer section holds: owner, and what the record says.
    pub records: Vec<(String, Value)>,
    /// For how long all of them may be believed; `None` without any.
    pub ttl: Option<Duration>,
}

/// The response codes that mean something here (RFC 1035 §4.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Code {
    NoError,
    NoName,
    ServerFailure,
    /// It will not answer, for whatever reason.
    Other(u16),
}

/// A record as text, by the type that it is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Value {
    pub kind: RecordType,
    pub text: String,
}

/// How a question is asked.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    /// The server is to ask others.
    pub recurse: bool,
    /// Answer even where DNSSEC says that the answer is wrong (RFC 4035 §3.2.2).
    pub unchecked: bool,
}

/// Asks; an error says why there is no answer at all.
pub(super) async fn ask(
    server: SocketAddr,
    name: &str,
    kind: RecordType,
    flags: Flags,
    within: Duration,
) -> Result<Answer, String> {
    let name = Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).map_err(|error| error.to_string())?;
    let provider = TokioRuntimeProvider::default();
    let asking = async {
        let udp = UdpClientStream::builder(server, provider.clone()).with_timeout(Some(within)).exchange();
        let response = once(&udp, &name, kind, flags).await?;
        if !response.truncation {
            return Ok(response);
        }
        let tcp = TcpClientStream::exchange(server, None, within, None, provider).await?;
        once(&tcp, &name, kind, flags).await
    };
    match tokio::time::timeout(within, asking).await {
        Ok(Ok(response)) => Ok(answer(&response)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {within:?}")),
    }
}

async fn once(
    exchange: &DnsExchange<TokioRuntimeProvider>,
    name: &Name,
    kind: RecordType,
    flags: Flags,
) -> Result<DnsResponse, NetError> {
    let mut options = DnsRequestOptions::default();
    options.recursion_desired = flags.recurse;
    let mut request = DnsRequest::from_query(Query::query(name.clone(), kind), options);
    request.metadata.checking_disabled = flags.unchecked;
    exchange.send(request).first_answer().await
}

fn answer(response: &DnsResponse) -> Answer {
    let code = match response.response_code {
        ResponseCode::NoError => Code::NoError,
        ResponseCode::NXDomain => Code::NoName,
        ResponseCode::ServFail => Code::ServerFailure,
        other => Code::Other(other.into()),
    };
    let record = |record: &hickory_proto::rr::Record| {
        let owner = plain(&record.name);
        let text = match &record.data {
            RData::CNAME(name) => plain(&name.0),
            RData::NS(name) => plain(&name.0),
            RData::TXT(txt) => {
                // A long text comes in pieces of 255 bytes, which belong together (RFC 7208 §3.3).
                txt.txt_data.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect::<String>()
            }
            other => other.to_string(),
        };
        (owner, Value { kind: record.record_type(), text })
    };
    let records = response.answers.iter().take(MOST_RECORDS).map(record).collect();
    let ttl = response.answers.iter().map(|record| record.ttl).min();
    let ttl = ttl.map(|seconds| Duration::from_secs(seconds.into()));
    Answer { code, authoritative: response.authoritative, records, ttl }
}

/// Without the root's dot, in lower case.
fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

/// What a single answer is read of.
const MOST_RECORDS: usize = 100;
