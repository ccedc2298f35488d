//! Header values that are made for each request: written on the stack and copied once, as long as they are. A text that
//! grows on the way, and is cut to its length in the end, asks for memory each time.

use std::fmt::{self, Write};

use http::HeaderValue;
use pingora_error::{ErrorType, OrErr, Result};

/// More than any name, address and number of ours together.
const ROOM: usize = 384;

struct Text {
    room: [u8; ROOM],
    length: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.room.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// `value(format_args!("…"))`
pub fn value(said: fmt::Arguments<'_>) -> Result<HeaderValue> {
    let mut text = Text { room: [0; ROOM], length: 0 };
    let value = match text.write_fmt(said) {
        Ok(()) => HeaderValue::from_bytes(&text.room[..text.length]),
        Err(fmt::Error) => HeaderValue::try_from(said.to_string()),
    };
    value.or_err(ErrorType::InvalidHTTPHeader, "a header's value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_was_said_however_long() {
        for length in [0, 1, ROOM - 1, ROOM, ROOM + 1, 3 * ROOM] {
            let said = "x".repeat(length);
            assert_eq!(value(format_args!("{said}")).unwrap(), said.as_str());
        }
        assert!(value(format_args!("a\nb")).is_err());
    }
}
