//! The session cookie of the main site among a request's cookies; off unless `tenancy.session_cookie` names it. What it says
//! is [`crate::keyring::SiteCookie`].

use http::{HeaderMap, header};

/// The value of the cookie of this name. A second cookie of the same name makes it nobody's: which one counts is a
/// guess that an attacker on a sibling host could win.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut found = None;
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    for pair in pairs.flat_map(|value| value.split(';')) {
        if let Some((key, value)) = pair.trim().split_once('=')
            && key == name
            && found.replace(value).is_some()
        {
            return None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cookies_of_one_name_are_none() {
        let headers = |value: &str| HeaderMap::from_iter([(header::COOKIE, value.parse().unwrap())]);
        assert_eq!(cookie(&headers("a=1; t=x; b=2"), "t"), Some("x"));
        assert_eq!(cookie(&headers("t=x; t=y"), "t"), None);
        assert_eq!(cookie(&headers("tt=x"), "t"), None);
    }
}
