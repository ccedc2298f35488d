//! `tenantry version`: which program this is, and how it was built. It talks to nobody.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::output;
use crate::app;

/// Say which version this is, and how it was built
#[derive(Args)]
#[command(after_help = "Examples:\n  tenantry version\n  tenantry version --verbose --json")]
pub struct Version {
    /// Say how it was built, too
    #[arg(short, long)]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Version {
    pub fn run(&self, allocator: &str) -> ExitCode {
        let mut facts = vec![("version", json!(env!("CARGO_PKG_VERSION")))];
        if self.verbose {
            facts.extend([
                ("revision", json!(option_env!("TENANTRY_REVISION"))),
                ("compiler", json!(env!("TENANTRY_BUILT_COMPILER"))),
                ("target", json!(env!("TENANTRY_BUILT_TARGET"))),
                ("profile", json!(env!("TENANTRY_BUILT_PROFILE"))),
                ("lto", json!(env!("TENANTRY_BUILT_LTO"))),
                ("pgo", json!(env!("TENANTRY_BUILT_PGO") == "true")),
                ("bolt", json!(is_bolted().ok())),
                ("allocator", json!(allocator)),
                ("tls", json!(app::TLS_PROVIDER)),
            ]);
        }
        match (self.json, self.verbose) {
            (true, _) => output::json(&facts.into_iter().collect()),
            (false, true) => {
                let lines: Vec<_> = facts.iter().map(|(name, fact)| (*name, in_words(fact))).collect();
                output::answer(&output::lines(&lines));
            }
            (false, false) => output::answer(concat!("tenantry ", env!("CARGO_PKG_VERSION"), "\n")),
        }
        ExitCode::SUCCESS
    }
}

fn in_words(fact: &Value) -> String {
    match fact {
        Value::Null => "unknown".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        fact => output::cell(fact, ""),
    }
}

/// Whether BOLT has rewritten this program: it comes after the compiler, and leaves a section that says so.
fn is_bolted() -> io::Result<bool> {
    let program = File::open("/proc/self/exe")?;
    let names = section_names(|buffer, at| program.read_exact_at(buffer, at))?;
    Ok(names.split(|byte| *byte == 0).any(|name| name == b".note.bolt_info"))
}

/// The names of an ELF file's sections, each ended by a zero: what the header and the table of sections lead to.
fn section_names(read: impl Fn(&mut [u8], u64) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut header = [0; 64];
    read(&mut header, 0)?;
    // 64 bits, little-endian.
    if header[..6] != *b"\x7fELF\x02\x01" {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let [table, size, index] = [(0x28, 8), (0x3a, 2), (0x3e, 2)].map(|(at, length)| number(&header[at..at + length]));
    let mut section = [0; 64];
    read(&mut section, table.saturating_add(size * index))?;
    let mut names = vec![0; usize::try_from(number(&section[0x20..0x28]).min(MOST_NAMES)).unwrap_or_default()];
    read(&mut names, number(&section[0x18..0x20]))?;
    Ok(names)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Bytes; those of a program take some hundred.
const MOST_NAMES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(file: &[u8]) -> io::Result<Vec<u8>> {
        section_names(|buffer, at| {
            let from = usize::try_from(at).unwrap_or(usize::MAX);
            let there = file.get(from..).and_then(|rest| rest.get(..buffer.len()));
            buffer.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    #[test]
    fn the_names_of_sections_are_found_where_the_header_leads() {
        let names = b"\0.text\0.note.bolt_info\0";
        let mut file = vec![0; 64 + 2 * 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        // The table begins behind the header; its second section has the names.
        (file[0x28], file[0x3a], file[0x3e]) = (64, 64, 1);
        (file[128 + 0x18], file[128 + 0x20]) = (192, names.len() as u8);
        file.extend_from_slice(names);
        assert_eq!(read_from(&file).unwrap(), names);
        assert!(read_from(&file[..200]).is_err());
        file[4] = 1;
        assert_eq!(read_from(&file).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn this_very_program_can_be_read() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        let names = read_from(&program).unwrap();
        assert!(names.split(|byte| *byte == 0).any(|name| name == b".text"));
        assert!(!is_bolted().unwrap());
    }
}
