//! What a visitor would like an answer coded as (RFC 9110 §12.5.3). Pure.

use http::{HeaderMap, header};

use crate::config::Coding;

/// The best liked of `ours`, the first of them where several are liked as much; `None` where the answer should stay as it
/// is: nothing is asked for, or what is asked for is not had, or the visitor likes it better plain.
pub fn choose(request: &HeaderMap, ours: &[Coding]) -> Option<Coding> {
    let mut wishes = Wishes::default();
    for value in request.get_all(header::ACCEPT_ENCODING) {
        for wish in value.to_str().ok()?.split(',') {
            wishes.note(wish);
        }
    }
    let mut best: Option<(Coding, u16)> = None;
    for coding in ours {
        let quality = wishes.of(*coding);
        if quality > best.map_or(0, |(_, quality)| quality) {
            best = Some((*coding, quality));
        }
    }
    best.filter(|(_, quality)| wishes.plain.is_none_or(|plain| plain <= *quality)).map(|(coding, _)| coding)
}

/// How much each coding is liked, in thousandths; `None`: it is not named.
#[derive(Default)]
struct Wishes {
    named: [Option<u16>; Coding::ALL.len()],
    any: Option<u16>,
    plain: Option<u16>,
}

impl Wishes {
    fn note(&mut self, wish: &str) {
        let mut parts = wish.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let quality = parts.find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()))
        });
        // A quality that cannot be read is none.
        let quality = Some(quality.unwrap_or(1000));
        if name == "*" {
            self.any = quality;
        } else if name.eq_ignore_ascii_case("identity") {
            self.plain = quality;
        } else {
            let ours = Coding::ALL.iter().position(|coding| is_named(*coding, name));
            if let Some(place) = ours.and_then(|index| self.named.get_mut(index)) {
                *place = quality;
            }
        }
    }

    fn of(&self, coding: Coding) -> u16 {
        let index = Coding::ALL.iter().position(|one| *one == coding);
        index.and_then(|index| self.named[index]).or(self.any).unwrap_or(0)
    }
}

/// `x-gzip` is another name of gzip (RFC 9110 §8.4.1.3).
fn is_named(coding: Coding, name: &str) -> bool {
    coding.as_str().eq_ignore_ascii_case(name) || coding == Coding::Gzip && name.eq_ignore_ascii_case("x-gzip")
}

/// A weight (RFC 9110 §12.4.2): 0 to 1 with at most three decimals. Anything else is 0.
fn thousandths(text: &str) -> u16 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    let fraction = format!("{decimals:0<3}").parse::<u16>().unwrap_or(0);
    match whole {
        "0" => fraction,
        "1" if fraction == 0 => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chosen(accept: &[&str]) -> &'static str {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT_ENCODING, value.parse().unwrap());
        }
        choose(&headers, &Coding::ALL).map_or("", Coding::as_str)
    }

    #[test]
    fn the_best_liked_is_taken_and_ours_decide_between_equals() {
        for (accept, coding) in [
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, deflate, br", "gzip"),
            ("gzip", "gzip"),
            ("X-GZip", "gzip"),
            ("br;q=0.5, gzip;q=0.9", "gzip"),
            ("br;q=0.5, gzip; Q=0.501", "gzip"),
            ("zstd;q=0, br;q=0.0, gzip;q=0.001", "gzip"),
            ("*", "zstd"),
            ("zstd;q=0, *", "gzip"),
            ("*;q=0.1, gzip;q=0.2", "gzip"),
            ("identity;q=0.5, gzip", "gzip"),
            ("identity, gzip", "gzip"),
            ("identity, gzip;q=0.5", ""),
            ("identity;q=0, gzip;q=0.5", "gzip"),
            ("deflate, compress", ""),
            ("", ""),
            ("gzip;q=0", ""),
            ("*;q=0", ""),
            ("gzip;q=2", ""),
            ("gzip;q=0.0001", ""),
            ("gzip;q=x", ""),
            ("gzip;level=9", "gzip"),
            (",,;;,gzip,", "gzip"),
        ] {
            assert_eq!(chosen(&[accept]), coding, "{accept}");
        }
        assert_eq!(chosen(&[]), "", "who asks for nothing gets it plain");
        assert_eq!(chosen(&["gzip;q=0.5", "br"]), "br");
        let only = |ours: &[Coding]| {
            let accept = (header::ACCEPT_ENCODING, http::HeaderValue::from_static("gzip, br, zstd"));
            choose(&HeaderMap::from_iter([accept]), ours)
        };
        assert_eq!(only(&[Coding::Gzip, Coding::Zstd]), Some(Coding::Gzip));
        assert_eq!(only(&[]), None);
    }

    proptest! {
        #[test]
        fn what_is_refused_is_never_chosen(text in "[a-z*=;., 0-9]{0,40}") {
            let refused = format!("{text}, gzip;q=0, br;q=0, zstd;q=0");
            prop_assert_eq!(chosen(&[&refused]), "");
        }
    }
}
