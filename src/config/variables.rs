//! `${NAME}` and `${NAME:-default}` in texts. The caller says where variables come from; nothing here reads the
//! environment, and no value is ever part of an error.

/// Where variables come from: the value of a name, if it is set.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum VariableError {
    #[error("the variable {0} is not set; set it, or give a default as in ${{{0}:-value}}")]
    Unset(String),
    #[error("a `${{` without its `}}`; write `$${{` for a literal `${{`")]
    Unclosed,
    #[error("{0:?} is not the name of a variable: letters, digits and underscores, no digit first")]
    Name(String),
}

/// Puts the variables in. A `$` that no `{` follows stays as it is; `$${` becomes a literal `${`.
pub(super) fn expand(text: &str, lookup: &Lookup<'_>) -> Result<String, VariableError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = after;
            continue;
        }
        let (inside, behind) = after.split_once('}').ok_or(VariableError::Unclosed)?;
        out.push_str(before);
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(VariableError::Name(name.to_owned()));
        }
        match (lookup(name), default) {
            // As in a shell, `:-` also stands in for an empty value.
            (Some(value), Some(default)) if value.is_empty() => out.push_str(default),
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(VariableError::Unset(name.to_owned())),
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

pub(super) fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && name.bytes().all(good) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, VariableError> {
        expand(text, &|name| (name == "PORT").then(|| "8443".to_owned()))
    }

    #[test]
    fn variables_are_put_in_once() {
        for (text, expanded) in [
            ("plain", "plain"),
            ("127.0.0.1:${PORT}", "127.0.0.1:8443"),
            ("${PORT}${PORT}", "84438443"),
            ("${HOST:-localhost}:${PORT:-1}", "localhost:8443"),
            ("${NONE:-}", ""),
            ("cost: $5, $", "cost: $5, $"),
            ("$${PORT}", "${PORT}"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(expanded), "{text}");
        }
        assert_eq!(expand("${A:-b}${A}", &|_| Some(String::new())).as_deref(), Ok("b"));
        assert_eq!(expand("${A}", &|_| Some("${A}".into())).as_deref(), Ok("${A}"), "a value is not expanded again");
    }

    #[test]
    fn what_cannot_be_put_in_is_an_error() {
        assert_eq!(with("${HOST}"), Err(VariableError::Unset("HOST".into())));
        assert_eq!(with("${PORT"), Err(VariableError::Unclosed));
        for name in ["", "1A", "A B", "A-B"] {
            assert_eq!(with(&format!("${{{name}}}")), Err(VariableError::Name(name.into())));
        }
    }
}
