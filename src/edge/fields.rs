//! The fields of a head, edited as they are. pingora's own methods read each name anew and keep its spelling beside it: for the
//! dozen and a half of fields that a backend is told, that took more than everything else that is done to a request. A name
//! means the same however it is spelt (RFC 9110 §5.1), and over HTTP/2 it has one spelling anyway (RFC 9113 §8.2.1).

use http::{HeaderMap, Request, Response, request, response};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

/// From now on this request's names are spelt as pingora spells them (in lower case, but for a dozen), and its target is
/// what its URI says: origin-form.
pub fn forget_spelling(request: &mut RequestHeader) {
    if request.has_case() {
        edit_request(request, |_| ());
    }
}

/// Edits the fields of a request, of which [`forget_spelling`] is true from then on.
pub fn edit_request<T>(request: &mut RequestHeader, edit: impl FnOnce(&mut HeaderMap) -> T) -> T {
    let send_end_stream = request.send_end_stream();
    let empty = RequestHeader::from(Request::new(()).into_parts().0);
    let mut parts = request::Parts::from(std::mem::replace(request, empty));
    let result = edit(&mut parts.headers);
    *request = RequestHeader::from(parts);
    request.set_send_end_stream(send_end_stream.unwrap_or(true));
    result
}

/// Edits the fields of an answer, whose names are spelt as pingora spells them from then on; its reason phrase stays as it is.
pub fn edit_answer<T>(response: &mut ResponseHeader, edit: impl FnOnce(&mut HeaderMap) -> T) -> Result<T> {
    let usual = response.status.canonical_reason();
    let phrase = response.get_reason_phrase().filter(|phrase| Some(*phrase) != usual).map(str::to_owned);
    let empty = ResponseHeader::from(Response::new(()).into_parts().0);
    let mut parts = response::Parts::from(std::mem::replace(response, empty));
    let result = edit(&mut parts.headers);
    *response = ResponseHeader::from(parts);
    if let Some(phrase) = phrase {
        response.set_reason_phrase(Some(&phrase))?;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_stays_what_it_is_but_for_its_spelling() {
        for (target, origin_form) in [("/a?b", "/a?b"), ("*", "*"), ("http://acme.example/a?b", "/a?b")] {
            let mut request = RequestHeader::build("OPTIONS", target.as_bytes(), None).unwrap();
            request.append_header("X-One", "1").unwrap();
            request.append_header("x-one", "2").unwrap();
            forget_spelling(&mut request);
            assert_eq!((request.method.as_str(), request.raw_path()), ("OPTIONS", origin_form.as_bytes()));
            let mut wire = Vec::new();
            request.header_to_h1_wire(&mut wire);
            assert_eq!(wire, b"x-one: 1\r\nx-one: 2\r\n");
        }
    }

    #[test]
    fn an_answer_stays_what_it_is_but_for_its_spelling() {
        let mut response = ResponseHeader::build(404, None).unwrap();
        response.append_header("X-One", "1").unwrap();
        for phrase in [None, Some("Gone Fishing")] {
            response.set_reason_phrase(phrase).unwrap();
            edit_answer(&mut response, |_| ()).unwrap();
            assert_eq!((response.status.as_u16(), &response.headers["x-one"]), (404, &"1".parse().unwrap()));
            assert_eq!(response.get_reason_phrase(), phrase.or(Some("Not Found")));
            response = ResponseHeader::build(404, None).unwrap();
            response.append_header("X-One", "1").unwrap();
        }
    }
}
