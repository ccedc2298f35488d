//! Whether a webhook comes from whom it says: Standard Webhooks, the symmetric scheme `v1`
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>). Pure: the time is passed in,
//! and nothing of a body is believed, or even parsed, here.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::clock::Timestamp;
use crate::config::Secret;

/// How far the sender's clock may be from this one's, in either direction.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// The three headers of a webhook, each there once.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`: the same for each attempt to deliver the same message.
    pub id: &'a str,
    /// `webhook-timestamp`: when this attempt was made, in seconds since the epoch.
    pub timestamp: &'a str,
    /// `webhook-signature`: `v1,<base64>`, several separated by spaces.
    pub signatures: &'a str,
}

/// Why a webhook is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureError {
    #[error("webhook-id has 1 to {ID_MAX} visible ASCII characters")]
    Id,
    #[error("webhook-timestamp is a number of seconds since 1970-01-01T00:00:00Z, such as 1767225600")]
    Timestamp,
    #[error("webhook-signature is one or more of \"v1,<base64 of 32 bytes>\", separated by spaces, {MOST} at the most")]
    Malformed,
    #[error("no signature is one of webhook-id, webhook-timestamp and the body with a secret that counts here")]
    Mismatch,
    #[error("webhook-timestamp is more than {} minutes from the time here; sign each attempt afresh", TOLERANCE.as_secs() / 60)]
    Stale,
}

const ID_MAX: usize = 255;
/// Signatures that are looked at: a sender that rotates has two.
const MOST: usize = 8;
const LENGTH: usize = 32;

/// Whether `body` was signed with one of `secrets` within the tolerance. That it is fresh is looked at last: whoever sends an
/// old webhook again is told so only if it was one.
pub fn verify(secrets: &[Secret], signed: Signed<'_>, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
    let Signed { id, timestamp, signatures } = signed;
    if !(1..=ID_MAX).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(SignatureError::Id);
    }
    let at = seconds(timestamp).ok_or(SignatureError::Timestamp)?;
    let tags = tags(signatures)?;
    // The body is a JSON object and the timestamp digits alone, so the parts cannot be divided in another way.
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let fits = |secret: &Secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        tags.iter().any(|tag| hmac::verify(&key, &content, tag).is_ok())
    };
    if !secrets.iter().any(fits) {
        return Err(SignatureError::Mismatch);
    }
    let (early, late) = (now + TOLERANCE, now - TOLERANCE);
    if at > early || at < late { Err(SignatureError::Stale) } else { Ok(()) }
}

/// Digits alone: no sign, no blank, and few enough for any time that matters.
fn seconds(text: &str) -> Option<Timestamp> {
    let good = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let seconds: i64 = text.parse().ok().filter(|_| good)?;
    Some(Timestamp(seconds * 1_000))
}

/// Every signature of this scheme; those of others are not ours to judge.
fn tags(signatures: &str) -> Result<Vec<Vec<u8>>, SignatureError> {
    let all: Vec<_> = signatures.split(' ').filter(|text| !text.is_empty()).collect();
    if all.len() > MOST {
        return Err(SignatureError::Malformed);
    }
    let tag = |text: &&str| STANDARD.decode(text.strip_prefix("v1,")?).ok().filter(|tag| tag.len() == LENGTH);
    let tags: Vec<_> = all.iter().filter_map(tag).collect();
    if tags.is_empty() { Err(SignatureError::Malformed) } else { Ok(tags) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: &str = "1614265330";
    const NOW: Timestamp = Timestamp(1_614_265_330_000);

    fn secret(text: &str) -> Secret {
        Secret::from(STANDARD.decode(text).unwrap())
    }

    /// The example that the libraries of Standard Webhooks are tested with.
    const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn signed<'a>(id: &'a str, timestamp: &'a str, signatures: &'a str) -> Signed<'a> {
        Signed { id, timestamp, signatures }
    }

    #[test]
    fn the_published_example_is_right() {
        assert_eq!(verify(&[secret(SECRET)], signed(ID, AT, SIGNATURE), BODY, NOW), Ok(()));
    }

    #[test]
    fn one_right_signature_with_one_right_secret_is_enough() {
        let other = secret("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz");
        let wrong = format!("v1,{}", STANDARD.encode([0; 32]));
        let all = format!(
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== \
                           {wrong} v1,% {SIGNATURE}"
        );
        assert_eq!(verify(&[other.clone(), secret(SECRET)], signed(ID, AT, &all), BODY, NOW), Ok(()));
        assert_eq!(verify(&[other], signed(ID, AT, &all), BODY, NOW), Err(SignatureError::Mismatch));
        assert_eq!(verify(&[], signed(ID, AT, &all), BODY, NOW), Err(SignatureError::Mismatch));
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        use SignatureError::{Id, Malformed, Mismatch, Timestamp as Time};
        let long = "a".repeat(ID_MAX + 1);
        let many = [SIGNATURE; MOST + 1].join(" ");
        for (id, at, signatures, body, why) in [
            ("msg_p5jXN8AQM9LWM0D4loKWxJel", AT, SIGNATURE, BODY, Mismatch),
            (ID, "1614265331", SIGNATURE, BODY, Mismatch),
            (ID, AT, SIGNATURE, br#"{"test": 2432232315}"#.as_slice(), Mismatch),
            (ID, AT, SIGNATURE, b"".as_slice(), Mismatch),
            ("", AT, SIGNATURE, BODY, Id),
            ("a b", AT, SIGNATURE, BODY, Id),
            (long.as_str(), AT, SIGNATURE, BODY, Id),
            (ID, "", SIGNATURE, BODY, Time),
            (ID, "+1614265330", SIGNATURE, BODY, Time),
            (ID, "1614265330.0", SIGNATURE, BODY, Time),
            (ID, "9999999999999", SIGNATURE, BODY, Time),
            (ID, AT, "", BODY, Malformed),
            (ID, AT, "v1", BODY, Malformed),
            (ID, AT, "v1,not base64", BODY, Malformed),
            (ID, AT, "v1,g0hM9SsE", BODY, Malformed),
            (ID, AT, &SIGNATURE.replace("v1,", "v2,"), BODY, Malformed),
            (ID, AT, many.as_str(), BODY, Malformed),
        ] {
            assert_eq!(
                verify(&[secret(SECRET)], signed(id, at, signatures), body, NOW),
                Err(why),
                "{id} {at} {signatures}"
            );
        }
    }

    #[test]
    fn five_minutes_each_way_and_no_longer() {
        let at = |now: Timestamp| verify(&[secret(SECRET)], signed(ID, AT, SIGNATURE), BODY, now);
        let bit = Duration::from_millis(1);
        assert_eq!((at(NOW + TOLERANCE), at(NOW - TOLERANCE)), (Ok(()), Ok(())));
        for now in [NOW + TOLERANCE + bit, NOW - TOLERANCE - bit] {
            assert_eq!(at(now), Err(SignatureError::Stale));
        }
    }
}
