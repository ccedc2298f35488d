//! CORS (<https://fetch.spec.whatwg.org/#http-cors-protocol>) for tenants that have it set: preflights are answered here,
//! and every other answer, refusals included, says who may read it in our words alone. Without the setting nothing is
//! touched. No origin is allowed that is not a host of this very tenant or in its list, and none but as itself: `*` is
//! never said.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use pingora_http::RequestHeader;

use super::answer::Answer;
use super::pipeline::Edge;
use super::response::add_vary;
use crate::config::Config;
use crate::directory::{Resolution, View};
use crate::model::{Cors, Hostname};

/// What the answer to one request says about who may read it.
#[derive(Debug)]
pub struct Readers {
    /// The origin that may; `None` when there is none, or one that is not allowed.
    origin: Option<HeaderValue>,
    credentials: bool,
    expose: Option<HeaderValue>,
    /// The origin is that of the request itself: no cross-origin request.
    own: bool,
}

impl Readers {
    /// A script of another origin asks, and may.
    pub fn is_shared(&self) -> bool {
        self.origin.is_some() && !self.own
    }
}

impl Edge {
    /// Who may read the answer, where the tenant has CORS set. `client` pays for origins that nobody knows, as it does
    /// for hosts; trouble in finding out is a no.
    pub(super) async fn readers(
        &self,
        request: &RequestHeader,
        cors: &Cors,
        host: &Hostname,
        view: &View,
        config: &Config,
        client: IpAddr,
    ) -> Readers {
        let nobody = Readers { origin: None, credentials: false, expose: None, own: false };
        let mut origins = request.headers.get_all(header::ORIGIN).iter();
        let (Some(value), None) = (origins.next(), origins.next()) else { return nobody };
        let Ok(text) = value.to_str() else { return nobody };
        let ours = secure_host(text, config.https_port().unwrap_or(443));
        let own = ours.as_ref() == Some(host);
        let allowed = own
            || cors.origins.iter().any(|origin| origin == text)
            || match ours {
                Some(origin) => self.is_host_of(&origin, view, config, client).await,
                None => false,
            };
        if !allowed {
            return nobody;
        }
        Readers { origin: Some(value.clone()), credentials: cors.credentials, expose: list(&cors.expose), own }
    }

    async fn is_host_of(&self, host: &Hostname, view: &View, config: &Config, client: IpAddr) -> bool {
        let class = config.brand.classify(host);
        let found = self.resolve(host, &class, config, client).await;
        matches!(found, Ok(Resolution::Tenant(there, _)) if there.tenant.id == view.tenant.id)
    }
}

/// The answer to a preflight; `None` if the request is none. An origin that is not allowed gets the same 204 without a
/// word about what is: to the browser that is the no.
pub fn preflight(request: &RequestHeader, cors: &Cors, readers: &Readers) -> Option<Answer> {
    let headers = &request.headers;
    if request.method != Method::OPTIONS
        || !headers.contains_key(header::ORIGIN)
        || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return None;
    }
    let vary = HeaderValue::from_static("access-control-request-method, access-control-request-headers");
    let mut answer = Answer { status: StatusCode::NO_CONTENT, headers: vec![(header::VARY, vary)], body: "".into() };
    if readers.origin.is_some() {
        let mut say = |name: HeaderName, value: Option<HeaderValue>| {
            answer.headers.extend(value.map(|value| (name, value)));
        };
        say(header::ACCESS_CONTROL_ALLOW_METHODS, list(&cors.methods));
        let asked = || asked_headers(headers).cloned();
        say(header::ACCESS_CONTROL_ALLOW_HEADERS, list(&cors.headers).or_else(asked));
        say(header::ACCESS_CONTROL_MAX_AGE, Some(cors.max_age.into()));
    }
    Some(answer)
}

/// Puts our words in the place of whatever a backend says about the same.
pub fn replace(headers: &mut HeaderMap, readers: &Readers) {
    for name in &SAID_BY_BACKENDS {
        headers.remove(name);
    }
    apply(headers, readers);
}

/// Says who may read this answer of the edge's own.
pub fn apply(headers: &mut HeaderMap, readers: &Readers) {
    add_vary(headers, "origin");
    let Some(origin) = &readers.origin else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if readers.credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if let Some(expose) = &readers.expose {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
    }
}

/// The host of an origin that is one of ours by its form: `https`, at the port that visitors see, spelled as browsers do.
fn secure_host(origin: &str, port: u16) -> Option<Hostname> {
    let authority = origin.strip_prefix("https://")?;
    let (host, at) = match authority.split_once(':') {
        Some((host, at)) => (host, at.parse::<u16>().ok().filter(|number| *number != 443 && number.to_string() == at)?),
        None => (authority, 443),
    };
    Hostname::parse(host).ok().filter(|name| name.as_str() == host && at == port)
}

/// What a preflight asks to send, if it is a list of names and nothing else.
fn asked_headers(headers: &HeaderMap) -> Option<&HeaderValue> {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(&b);
    (asked.len() <= LONGEST_LIST && asked.as_bytes().iter().all(|b| plain(*b))).then_some(asked)
}

fn list(words: &[String]) -> Option<HeaderValue> {
    if words.is_empty() {
        return None;
    }
    HeaderValue::from_str(&words.join(", ")).ok()
}

/// The longest list of header names that a preflight's answer repeats, in bytes.
const LONGEST_LIST: usize = 4096;

static SAID_BY_BACKENDS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_https_origin_at_the_visitors_port_can_be_a_host_of_ours() {
        let host = |origin: &str, port: u16| secure_host(origin, port).map(|host| host.to_string());
        assert_eq!(host("https://a.example", 443).as_deref(), Some("a.example"));
        assert_eq!(host("https://a.example:8443", 8443).as_deref(), Some("a.example"));
        for (origin, port) in [
            ("http://a.example", 443),
            ("https://a.example", 8443),
            ("https://a.example:8443", 443),
            ("https://a.example:443", 443),
            ("https://a.example:08443", 8443),
            ("https://a.example/", 443),
            ("https://A.example", 443),
            ("https://a.example.", 443),
            ("https://a@a.example", 443),
            ("https://192.0.2.1", 443),
            ("null", 443),
            ("", 443),
        ] {
            assert_eq!(host(origin, port), None, "{origin} {port}");
        }
    }

    #[test]
    fn what_a_preflight_asks_for_is_repeated_when_it_is_a_list_of_names() {
        let asked = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static(value))]);
            asked_headers(&headers).is_some()
        };
        assert!(asked("authorization, content-type,x-one"));
        for bad in ["x: y", "\"x\"", "x;y", "x\ty"] {
            assert!(!asked(bad), "{bad}");
        }
    }

    #[test]
    fn a_backends_word_is_replaced_and_ours_names_one_origin() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("access-control-allow-origin", "*"), ("access-control-max-age", "9"), ("vary", "Cookie")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        let origin = HeaderValue::from_static("https://a.example");
        let mut readers = Readers { origin: Some(origin), credentials: true, expose: None, own: false };
        replace(&mut headers, &readers);
        let said = |headers: &HeaderMap, name: &str| {
            headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(said(&headers, "access-control-allow-origin"), "https://a.example");
        assert_eq!(said(&headers, "access-control-allow-credentials"), "true");
        assert_eq!(said(&headers, "access-control-max-age"), "");
        assert_eq!(said(&headers, "vary"), "Cookie, origin");
        readers.origin = None;
        replace(&mut headers, &readers);
        assert_eq!(said(&headers, "access-control-allow-origin"), "");
        assert_eq!(said(&headers, "access-control-allow-credentials"), "");
        assert_eq!(said(&headers, "vary"), "Cookie, origin", "said once");
    }
}
