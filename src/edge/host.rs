//! The host step: the one place where the client's authority becomes a [`Hostname`].

use http::{HeaderMap, Uri, header};

use super::rejection::Rejection;
use crate::model::{Hostname, HostnameError};

/// The host that a request names, by `:authority` or `Host`. Both may be present only when they agree; two `Host`
/// fields are ambiguous (RFC 9112 §3.2) and refused. `usual` is the host that the connection was made for: what is spelt
/// like it is not read anew.
pub fn of_request(uri: &Uri, headers: &HeaderMap, usual: Option<&Hostname>) -> Result<Hostname, Rejection> {
    let parse = |authority: &[u8]| match usual {
        Some(usual) if usual.as_str().as_bytes() == authority => Ok(usual.clone()),
        _ => parse(authority),
    };
    let mut fields = headers.get_all(header::HOST).iter();
    let field = fields.next().map(|value| value.as_bytes());
    if fields.next().is_some() {
        return Err(Rejection::BadRequest("it has more than one Host"));
    }
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = parse(authority.or(field).ok_or(Rejection::BadRequest("it names no host"))?)?;
    if let (Some(_), Some(field)) = (authority, field)
        && parse(field)? != host
    {
        return Err(Rejection::BadRequest("its target and its Host disagree"));
    }
    Ok(host)
}

fn parse(authority: &[u8]) -> Result<Hostname, Rejection> {
    Hostname::parse_authority(authority).map_err(|error| match error {
        // An address is a host that nobody configured, not a mistake of form: health checks and scanners ask for it.
        HostnameError::IpAddress => Rejection::DomainNotConfigured,
        HostnameError::Empty => Rejection::BadRequest("it names no host"),
        HostnameError::Port => Rejection::BadRequest("the port of its host is no port"),
        HostnameError::TooLong | HostnameError::Label => Rejection::BadRequest("its host is not a host name"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: &str, hosts: &[&str]) -> Result<String, Rejection> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        let usual = Hostname::parse("acme.example").ok();
        let host = of_request(&target.parse().unwrap(), &headers, usual.as_ref());
        assert_eq!(of_request(&target.parse().unwrap(), &headers, None), host, "whatever is usual");
        host.map(|host| host.to_string())
    }

    #[test]
    fn host_and_authority_must_agree() {
        assert_eq!(of("/", &["ACME.example:8443"]).as_deref(), Ok("acme.example"));
        assert_eq!(of("https://acme.example/x", &[]).as_deref(), Ok("acme.example"));
        assert_eq!(of("https://acme.example/x", &["acme.example."]).as_deref(), Ok("acme.example"));
        assert!(matches!(of("https://acme.example/x", &["other.example"]), Err(Rejection::BadRequest(_))));
        assert!(matches!(of("/", &["a.example", "a.example"]), Err(Rejection::BadRequest(_))));
        assert!(matches!(of("/", &[]), Err(Rejection::BadRequest(_))));
        assert!(matches!(of("/", &["a@b.example"]), Err(Rejection::BadRequest(_))));
        assert_eq!(of("/", &["192.0.2.1"]), Err(Rejection::DomainNotConfigured));
    }
}
