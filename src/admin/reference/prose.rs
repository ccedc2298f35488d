//! What people wrote about the API, as paragraphs of text and code. Nothing in it is ever taken for markup.

/// A run of text, or of code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    pub code: bool,
    pub text: String,
}

/// What stands between two empty lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paragraph {
    pub spans: Vec<Span>,
}

/// Splits a description: an empty line ends a paragraph, backticks are around code.
pub fn prose(text: &str) -> Vec<Paragraph> {
    let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    paragraphs.map(|paragraph| Paragraph { spans: spans(paragraph) }).collect()
}

fn spans(paragraph: &str) -> Vec<Span> {
    let pieces = paragraph.split('`').enumerate().filter(|(_, piece)| !piece.is_empty());
    pieces.map(|(at, piece)| Span { code: at % 2 == 1, text: piece.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_are_code_and_empty_lines_part() {
        let paragraphs = prose("Its `code` is\nstable.\n\n<b>Not</b> markup. ");
        let spans = |at: usize| paragraphs[at].spans.iter().map(|s| (s.code, s.text.as_str())).collect::<Vec<_>>();
        assert_eq!(spans(0), [(false, "Its "), (true, "code"), (false, " is\nstable.")]);
        assert_eq!(spans(1), [(false, "<b>Not</b> markup.")]);
        assert!(prose("").is_empty());
    }
}
