//! The head of an HTTP/1 request, judged on the bytes that the client sent and before anything else reads them
//! (RFC 9112). Pure: nothing here reads a socket or a clock, and nothing is repaired; a head is taken whole or refused.

use std::mem::MaybeUninit;

/// Why a request's head was refused. The answer is the pipeline's: 400, 431 or 408.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadFault {
    /// 400: what is wrong with it.
    #[error("malformed request head: {0}")]
    Malformed(&'static str),
    /// 431: more bytes than `limits.header_bytes`.
    #[error("the request head is larger than this server takes")]
    TooLarge,
    /// 431: more lines than `limits.header_count`.
    #[error("the request head has more fields than this server takes")]
    TooManyHeaders,
    /// 408: not whole within `limits.head_timeout`.
    #[error("the request head did not arrive in time")]
    Timeout,
}

/// How a request's body is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// A whole head that passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// Where it starts in the buffer: an empty line before it is skipped (RFC 9112 §2.2).
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    pub framing: Framing,
    /// It asks for `Upgrade: websocket`.
    pub websocket: bool,
}

/// Where the search for the end of a head stands, so that no byte is looked at twice however the head is cut up.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Scan {
    start: usize,
    at: usize,
    line: usize,
    lines: usize,
}

/// The most fields of one head; pingora takes no more either.
const MAX_FIELDS: usize = 256;

impl Scan {
    /// Looks at `bytes`, which begin where the last call's began. `Ok(None)`: no fault so far, and not whole yet.
    pub fn feed(&mut self, bytes: &[u8], max_bytes: usize, max_fields: usize) -> Result<Option<Head>, HeadFault> {
        let max_fields = max_fields.min(MAX_FIELDS);
        while let Some(offset) = next_control(&bytes[self.at..]) {
            let at = self.at + offset;
            if at - self.start >= max_bytes {
                return Err(HeadFault::TooLarge);
            }
            match (bytes[at], bytes.get(at + 1)) {
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => {
                    self.at = at;
                    return self.unfinished(bytes, max_bytes);
                }
                (b'\r', Some(_)) => return Err(HeadFault::Malformed("a carriage return without a line feed")),
                (b'\n', _) => return Err(HeadFault::Malformed("a line feed without a carriage return")),
                _ => return Err(HeadFault::Malformed("a control character")),
            }
            let (empty, next) = (at == self.line, at + 2);
            (self.at, self.line) = (next, next);
            if !empty {
                self.lines += 1;
                if self.lines > max_fields + 1 {
                    return Err(HeadFault::TooManyHeaders);
                }
            } else if self.lines > 0 {
                return match next - self.start > max_bytes {
                    true => Err(HeadFault::TooLarge),
                    false => parse(&bytes[self.start..next], self.start).map(Some),
                };
            } else if self.start > 0 {
                return Err(HeadFault::Malformed("more than one empty line before the request"));
            } else {
                self.start = next;
            }
        }
        self.at = bytes.len();
        self.unfinished(bytes, max_bytes)
    }

    /// Whether a byte of a request has arrived: an empty line left over from the last one is none.
    pub fn begun(&self, bytes: &[u8]) -> bool {
        bytes.len() > self.start
    }

    fn unfinished(&self, bytes: &[u8], max_bytes: usize) -> Result<Option<Head>, HeadFault> {
        if bytes.len() - self.start > max_bytes { Err(HeadFault::TooLarge) } else { Ok(None) }
    }
}

/// Sixteen bytes at a time, which a compiler makes one comparison of, as long as there is nothing among them.
fn next_control(bytes: &[u8]) -> Option<usize> {
    let has_any = |block: &[u8]| block.iter().fold(false, |any, byte| any | is_control(*byte));
    let plain = bytes.chunks_exact(16).take_while(|block| !has_any(block)).count() * 16;
    bytes[plain..].iter().position(|byte| is_control(*byte)).map(|offset| plain + offset)
}

fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// What the fields that decide about framing and host have said so far.
#[derive(Default)]
struct Fields<'h> {
    host: Option<&'h [u8]>,
    length: Option<u64>,
    chunked: bool,
    websocket: bool,
}

fn parse(head: &[u8], start: usize) -> Result<Head, HeadFault> {
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut slots) {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Ok(_) => return Err(HeadFault::Malformed("an empty line inside the head")),
        Err(error) => return Err(explain(error)),
    }
    let mut fields = Fields::default();
    for field in request.headers.iter() {
        fields.read(field.name, field.value)?;
    }
    let host = fields.host.ok_or(HeadFault::Malformed("no Host"))?;
    let old = request.version == Some(0);
    check_target(request.method.unwrap_or_default(), request.path.unwrap_or_default().as_bytes(), host)?;
    let framing = match (fields.chunked, fields.length) {
        (true, Some(_)) => return Err(HeadFault::Malformed("both Content-Length and Transfer-Encoding")),
        (true, None) if old => return Err(HeadFault::Malformed("Transfer-Encoding in HTTP/1.0")),
        (true, None) => Framing::Chunked,
        (false, Some(length)) if length > 0 => Framing::Length(length),
        (false, _) => Framing::None,
    };
    Ok(Head { start, end: start + head.len(), framing, websocket: fields.websocket && !old })
}

impl<'h> Fields<'h> {
    fn read(&mut self, name: &str, value: &'h [u8]) -> Result<(), HeadFault> {
        // The length first: it settles nearly every field without a comparison.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                // Beyond ASCII may be an IDN spelled out; `Hostname` is the judge of that.
                let odd = |byte: &u8| byte.is_ascii() && (!byte.is_ascii_graphic() || b"@,/\\".contains(byte));
                if value.is_empty() || value.iter().any(odd) {
                    return Err(HeadFault::Malformed("Host is not a host with an optional port"));
                }
                if self.host.replace(value).is_some() {
                    return Err(HeadFault::Malformed("more than one Host"));
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = content_length(value).ok_or(HeadFault::Malformed("Content-Length is not a number"))?;
                if self.length.replace(length).is_some() {
                    return Err(HeadFault::Malformed("more than one Content-Length"));
                }
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                let again = std::mem::replace(&mut self.chunked, true);
                if again || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadFault::Malformed("Transfer-Encoding is not exactly `chunked`"));
                }
            }
            7 if name.eq_ignore_ascii_case("upgrade") => self.websocket |= value.eq_ignore_ascii_case(b"websocket"),
            _ => {}
        }
        Ok(())
    }
}

/// Digits alone (RFC 9110 §8.6): no sign, no list, no space, and no more than a `u64` holds.
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Origin-form, absolute-form for the same authority as `Host`, or `*` for OPTIONS (RFC 9112 §3.2).
fn check_target(method: &str, target: &[u8], host: &[u8]) -> Result<(), HeadFault> {
    if method == "CONNECT" {
        return Err(HeadFault::Malformed("CONNECT is not served here"));
    }
    // Beyond ASCII or with these, pingora would rewrite the target or answer in its own words.
    if target.iter().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'"' | b'<' | b'>' | b'`')) {
        return Err(HeadFault::Malformed("the request target has a character that belongs percent-encoded"));
    }
    match target {
        [b'/', ..] => Ok(()),
        [b'*'] if method == "OPTIONS" => Ok(()),
        _ => match authority(target) {
            Some(authority) if authority == host => Ok(()),
            Some(_) => Err(HeadFault::Malformed("Host is not the request target's authority")),
            None => Err(HeadFault::Malformed("the request target is neither a path nor an http URL")),
        },
    }
}

fn authority(target: &[u8]) -> Option<&[u8]> {
    let rest = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map(|scheme| &target[scheme.len()..])?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|authority| !authority.is_empty() && !authority.contains(&b'\\'))
}

fn explain(error: httparse::Error) -> HeadFault {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => HeadFault::TooManyHeaders,
        Error::Version => HeadFault::Malformed("the version is neither HTTP/1.1 nor HTTP/1.0"),
        Error::Token => HeadFault::Malformed("the request line is not `method target version`"),
        Error::HeaderName => {
            HeadFault::Malformed("a field has no name, a space before its colon, or is folded over lines")
        }
        _ => HeadFault::Malformed("a field's value has a character that it must not have"),
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
