//! `tenantry completions …`: what a shell needs to complete this command line, made from the commands themselves. It talks
//! to nobody.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::output;

/// Print what a shell needs to complete `tenantry` commands
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  tenantry completions bash > ~/.local/share/bash-completion/completions/tenantry
  tenantry completions zsh > ~/.zfunc/_tenantry     # with fpath+=~/.zfunc before compinit in ~/.zshrc
  tenantry completions fish > ~/.config/fish/completions/tenantry.fish
  tenantry completions elvish >> ~/.config/elvish/rc.elv
  tenantry completions powershell >> $PROFILE";

impl Completions {
    /// Prints the script for `commands`.
    pub fn run(&self, mut commands: Command) -> ExitCode {
        let mut script = Vec::new();
        generate(self.shell, &mut commands, "tenantry", &mut script);
        output::answer(&String::from_utf8_lossy(&script));
        ExitCode::SUCCESS
    }
}
