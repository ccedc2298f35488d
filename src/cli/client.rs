//! A small client of the admin API, and what can go wrong between it and the server. The token is read from a file or
//! the environment, never from the command line, where every user of the machine could see it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::output::printable;
use crate::outbound::{Connector, Trust, connector};

/// Where `tenantry dev` leaves its operator's token.
const DEV_TOKEN: &str = ".dev/operator-token";
const TOKEN_VARIABLE: &str = "TENANTRY_TOKEN";
/// Longer than the server takes at most.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for an import.
const LONG_PATIENCE: Duration = Duration::from_secs(16 * 60);

/// How to reach the admin API.
#[derive(Args)]
pub struct Connection {
    /// The admin listener
    #[arg(
        long,
        global = true,
        env = "TENANTRY_ADMIN",
        default_value = "http://127.0.0.1:9900",
        value_name = "URL",
        value_parser = parse_base
    )]
    admin: Uri,
    /// For an admin listener behind https: the PEM file with the only authorities that are believed [default: those that
    /// the system trusts]
    #[arg(long, global = true, env = "TENANTRY_ADMIN_CA", value_name = "FILE")]
    admin_ca: Option<PathBuf>,
    /// The file with the operator's token [default: $TENANTRY_TOKEN, else .dev/operator-token]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// An open line to the admin API.
pub struct Client {
    http: Http<Connector, Full<Bytes>>,
    base: Uri,
    authorization: HeaderValue,
}

/// A successful answer.
pub struct Answer {
    pub body: Value,
    pub etag: Option<HeaderValue>,
    /// False when the node that answered does not serve the change yet.
    pub applied: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(
        "no operator's token: set {TOKEN_VARIABLE}, name a file with --token-file, or run `tenantry dev` here, which \
         leaves one in {DEV_TOKEN}"
    )]
    NoToken,
    #[error("cannot read the operator's token from {}: {why}", .path.display())]
    TokenFile { path: PathBuf, why: String },
    #[error(
        "nothing answers at {address} ({why}); start it with `tenantry dev` or `tenantry serve -c config/`, or say where \
         it is with --admin or TENANTRY_ADMIN"
    )]
    Unreachable { address: Uri, why: String },
    #[error("{address} did not answer within {seconds} s")]
    TooSlow { address: Uri, seconds: u64 },
    /// The server said no, and why: its problem document.
    #[error("{}", .0["detail"].as_str().unwrap_or("the server refused"))]
    Refused(Value),
    /// A command that works on the store itself could not.
    #[error("{0}")]
    Local(String),
    /// What was to be checked was looked at, and is not in order.
    #[error("{0}")]
    NotInOrder(String),
    #[error("{address} does not answer like an admin API ({what}); is this its admin listener?")]
    Strange { address: Uri, what: String },
}

impl Connection {
    pub fn open(&self) -> Result<Client, Failure> {
        let token = self.token()?;
        let text = Zeroizing::new(format!("Bearer {}", token.trim()));
        let mut authorization = HeaderValue::try_from(text.as_str()).map_err(|_| Failure::NoToken)?;
        authorization.set_sensitive(true);
        let trust = match (&self.admin_ca, self.admin.scheme_str()) {
            (Some(path), Some("https")) => Trust::File(path),
            (None, Some("https")) => Trust::System,
            _ => Trust::Nobody,
        };
        let connector = connector(trust).map_err(|error| Failure::Local(error.to_string()))?;
        let http = Http::builder(TokioExecutor::new()).build(connector);
        Ok(Client { http, base: self.admin.clone(), authorization })
    }

    fn token(&self) -> Result<Zeroizing<String>, Failure> {
        let read = |path: &Path| {
            let fault = |why: String| Failure::TokenFile { path: path.to_owned(), why };
            let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|why| fault(why.to_string()))?;
            if text.trim().is_empty() { Err(fault("it is empty".to_owned())) } else { Ok(text) }
        };
        if let Some(path) = &self.token_file {
            return read(path);
        }
        if let Some(token) = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.trim().is_empty()) {
            return Ok(Zeroizing::new(token));
        }
        let dev = Path::new(DEV_TOKEN);
        if dev.exists() { read(dev) } else { Err(Failure::NoToken) }
    }
}

impl Client {
    pub async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.call(Method::GET, path, None, None).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> Result<Answer, Failure> {
        self.call(method, path, Some(body), None).await
    }

    /// Sends a change that is meant for exactly what `etag` stands for.
    pub async fn send_if(&self, method: Method, path: &str, body: Value, etag: HeaderValue) -> Result<Answer, Failure> {
        self.call(method, path, Some(body), Some(etag)).await
    }

    /// Puts something that is no JSON where `path` says.
    pub async fn upload(&self, path: &str, media_type: &'static str, bytes: Vec<u8>) -> Result<Answer, Failure> {
        let mut request = self.request(Method::PUT, path, None, None)?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        *request.body_mut() = Full::new(bytes.into());
        self.exchange(request, PATIENCE).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.call(Method::DELETE, path, None, None).await
    }

    /// Every item of a listing, page by page. `path` may have a query.
    pub async fn all(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let next = cursor.map(|cursor| format!("&cursor={}", segment(&cursor))).unwrap_or_default();
            let mut page = self.get(&format!("{path}{joint}limit=200{next}")).await?.body;
            match page["items"].take() {
                Value::Array(more) => items.extend(more),
                _ => return Err(self.strange("a listing without items")),
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        if_match: Option<HeaderValue>,
    ) -> Result<Answer, Failure> {
        let request = self.request(method, path, body, if_match)?;
        self.exchange(request, PATIENCE).await
    }

    /// Sends a table (CSV).
    pub async fn send_table(&self, path: &str, table: Vec<u8>) -> Result<Answer, Failure> {
        let mut request = self.request(Method::POST, path, None, None)?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
        *request.body_mut() = Full::new(Bytes::from(table));
        self.exchange(request, LONG_PATIENCE).await
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, patience: Duration) -> Result<Answer, Failure> {
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| self.unreachable(&error))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| self.unreachable(&error))?.to_bytes();
            Ok((head, body))
        };
        let (head, body) = tokio::time::timeout(patience, exchange)
            .await
            .map_err(|_| Failure::TooSlow { address: self.base.clone(), seconds: patience.as_secs() })??;
        let body = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body).map_err(|_| self.strange(&format!("status {}", head.status)))?,
        };
        if !head.status.is_success() {
            return Err(self.refused(&head, body));
        }
        let applied = head.headers.get("tenantry-applied").is_none_or(|applied| applied != "false");
        Ok(Answer { body, etag: head.headers.get(header::ETAG).cloned(), applied })
    }

    /// Hands an answer on piece by piece as it comes: it may be larger than memory. Returns how many bytes there were; an
    /// answer that breaks off is an error.
    pub async fn download(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<u64, Failure> {
        let too_slow = |_| Failure::TooSlow { address: self.base.clone(), seconds: PATIENCE.as_secs() };
        let request = self.request(Method::GET, path, None, None)?;
        let response = tokio::time::timeout(PATIENCE, self.http.request(request)).await.map_err(too_slow)?;
        let (head, mut body) = response.map_err(|error| self.unreachable(&error))?.into_parts();
        if !head.status.is_success() {
            let whole = tokio::time::timeout(PATIENCE, body.collect()).await.map_err(too_slow)?;
            let whole = whole.map_err(|error| self.unreachable(&error))?.to_bytes();
            return Err(self.refused(&head, serde_json::from_slice(&whole).unwrap_or_default()));
        }
        let mut bytes = 0;
        while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame()).await.map_err(too_slow)? {
            let frame = frame.map_err(|error| Failure::Local(format!("the answer broke off: {error}")))?;
            if let Some(piece) = frame.data_ref() {
                take(piece).map_err(|error| Failure::Local(format!("cannot write it down: {error}")))?;
                bytes += piece.len() as u64;
            }
        }
        Ok(bytes)
    }

    fn refused(&self, head: &http::response::Parts, mut problem: Value) -> Failure {
        if problem["code"].is_null() {
            return self.strange(&format!("status {}", head.status));
        }
        if let Some(id) = head.headers.get("x-request-id").and_then(|id| id.to_str().ok()) {
            problem["request_id"] = id.into();
        }
        Failure::Refused(problem)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        if_match: Option<HeaderValue>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let uri = format!("{}{path}", self.base.to_string().trim_end_matches('/'));
        let mut request =
            Request::builder().method(method).uri(uri).header(header::AUTHORIZATION, self.authorization.clone());
        if let Some(tag) = if_match {
            request = request.header(header::IF_MATCH, tag);
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(bytes)).map_err(|error| self.strange(&error.to_string()))
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> Failure {
        // The innermost error is the one that says what happened: "Connection refused".
        let mut innermost = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        Failure::Unreachable { address: self.base.clone(), why: innermost.to_string() }
    }

    fn strange(&self, what: &str) -> Failure {
        Failure::Strange { address: self.base.clone(), what: what.to_owned() }
    }
}

impl Failure {
    /// The status that the program ends with: 3 for what was checked and is not in order, 1 for all else.
    pub fn code(&self) -> u8 {
        if matches!(self, Self::NotInOrder(_)) { 3 } else { 1 }
    }

    /// The text for stderr: for people, or with `json` the problem document as it came, or one of this program's own.
    pub fn explain(&self, json: bool) -> String {
        let problem = match self {
            Self::Refused(problem) => problem,
            other if json => return format!("{:#}\n", json!({ "code": other.word(), "detail": other.to_string() })),
            other => return format!("tenantry: {other}\n"),
        };
        if json {
            return format!("{problem:#}\n");
        }
        let mut text = format!("tenantry: {}\n", printable(&self.to_string()));
        for error in problem["errors"].as_array().into_iter().flatten() {
            let place = error["pointer"].as_str().or(error["parameter"].as_str()).unwrap_or_default();
            let detail = error["detail"].as_str().unwrap_or_default();
            // A fault that is alone has been told above.
            match problem["detail"] == error["detail"] {
                true => text.push_str(&format!("  at {}\n", printable(place))),
                false => text.push_str(&format!("  {}: {}\n", printable(place), printable(detail))),
            }
        }
        let word = |key: &str| problem[key].as_str().map(printable).unwrap_or_default();
        text.push_str(&format!("  ({} {}, request {})\n", problem["status"], word("code"), word("request_id")));
        text
    }
}

impl Failure {
    /// What went wrong, in a word for programs.
    fn word(&self) -> &'static str {
        match self {
            Self::NoToken | Self::TokenFile { .. } => "no-token",
            Self::Unreachable { .. } => "unreachable",
            Self::TooSlow { .. } => "too-slow",
            Self::Refused(_) => "refused",
            Self::Local(_) => "failed",
            Self::NotInOrder(_) => "not-in-order",
            Self::Strange { .. } => "strange-answer",
        }
    }
}

/// One segment of a path, or one value of a query: everything but RFC 3986's unreserved characters escaped.
pub fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn parse_base(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}; an example is http://127.0.0.1:9900"))?;
    match (uri.scheme_str(), uri.authority(), uri.path()) {
        (Some("http" | "https"), Some(_), "/" | "") => Ok(uri),
        _ => Err("it is to be http:// or https://<address>:<port>, as in http://127.0.0.1:9900".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_be_broken_out_of() {
        assert_eq!(segment("acme"), "acme");
        assert_eq!(segment("../a b?é"), "..%2Fa%20b%3F%C3%A9");
    }

    #[test]
    fn the_admin_address_is_http_without_a_path() {
        for good in ["http://127.0.0.1:9900", "http://[::1]:9900/", "https://admin.example"] {
            assert!(parse_base(good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1:9900", "ftp://x", "http://x/v1", "https://x/v1", ""] {
            assert!(parse_base(bad).is_err(), "{bad}");
        }
    }
}
