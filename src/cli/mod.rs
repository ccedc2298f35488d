//! The command line: arguments in, an exit code out. 0 is success, 1 a failure that stderr explains, 2 a command line
//! that makes no sense. What is printed to stdout is the answer and nothing else.

mod audit;
mod audit_offline;
mod audit_verify;
mod backup;
mod certificate;
mod check;
mod client;
mod completions;
mod config;
mod domain;
mod event;
mod import;
mod invitation;
mod member;
mod operator;
mod output;
mod person;
mod plan;
mod plan_look;
mod pool;
mod role;
mod route;
mod serve;
mod store;
mod tenant;
mod tenant_life;
mod tenant_look;
mod token;
mod upgrade;
mod version;

use std::future::Future;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use client::Failure;

use crate::dev::DevArgs;

/// An edge reverse proxy and tenant router that knows its tenants.
#[derive(Parser)]
#[command(name = "tenantry", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a complete edge on loopback, with demo tenants and a demo backend
    Dev(DevArgs),
    Serve(serve::Serve),
    /// Say everything that is wrong with a configuration
    Check(check::Check),
    Reload(config::Reload),
    Upgrade(upgrade::Upgrade),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Config(config::Config),
    Route(route::Route),
    Pool(pool::Pool),
    /// Create, list, show and change tenants
    Tenant(tenant::Tenant),
    /// See plans, change a tenant's plan, and say beforehand what that would do
    Plan(plan::Plan),
    /// See the features that plans give
    Feature(plan::Feature),
    /// Bring in tables of tenants and domains
    Import(import::Import),
    /// Add, verify, diagnose, list, show and remove custom domains
    Domain(domain::Domain),
    /// List, show, bring, issue, renew and revoke certificates
    Cert(certificate::Certificate),
    /// List what happened to domains and certificates
    Event(event::Event),
    /// List, export and check the audit ledger
    Audit(audit::Audit),
    /// Make operators who sign in, on the machine itself
    Operator(operator::Operator),
    /// List, make and disable those who can sign in
    Person(person::Person),
    /// See and end people's sessions
    Session(person::Session),
    /// Add, list, show, change, remove, restore, purge and export the members of a tenant
    Member(member::Member),
    /// Make, list, change and delete roles of a tenant's own
    Role(role::Role),
    /// Make, list, move and delete the business units of a tenant
    Unit(role::Unit),
    /// Invite people to a tenant, and accept
    Invitation(invitation::Invitation),
    /// Make, list and revoke tokens, of operators and of tenants
    Token(token::Token),
    /// Look after the store itself: copy it, change the key that seals its secrets
    Store(store::Store),
    Completions(completions::Completions),
    Version(version::Version),
}

const EXAMPLES: &str = "\
Examples:
  tenantry dev
  tenantry serve -c config/
  tenantry check -c config/
  tenantry tenant create acme --name 'Acme Ltd' --plan growth --status active
  tenantry tenant suspend acme --reason 'invoice overdue'
  tenantry domain add acme community.acme.example
  tenantry cert list --name community.acme.example";

/// Reads the command line of this process and does what it says; `allocator` is its allocator's name.
pub fn run(allocator: &str) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout, mistakes to stderr; nobody is left to tell if that fails.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        Command::Dev(args) => serve::dev(&args),
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Reload(reload) => call(reload.json(), reload.run()),
        Command::Backup(backup) => call(backup.json, backup.run()),
        Command::Restore(restore) => call(restore.json, restore.run()),
        Command::Upgrade(upgrade) => call(upgrade.json(), upgrade.run()),
        Command::Config(config) => call(config.json(), config.run()),
        Command::Route(route) => call(route.json(), route.run()),
        Command::Pool(pool) => call(pool.json(), pool.run()),
        Command::Tenant(tenant) => call(tenant.json(), tenant.run()),
        Command::Plan(plan) => call(plan.json(), plan.run()),
        Command::Feature(feature) => call(feature.json(), feature.run()),
        Command::Import(import) => call(import.json(), import.run()),
        Command::Domain(domain) => call(domain.json(), domain.run()),
        Command::Cert(certificate) => call(certificate.json(), certificate.run()),
        Command::Event(event) => call(event.json(), event.run()),
        Command::Operator(operator) => call(operator.json(), operator.run()),
        Command::Person(person) => call(person.json(), person.run()),
        Command::Session(session) => call(session.json(), session.run()),
        Command::Audit(audit) => call(audit.json(), audit.run()),
        Command::Member(member) => call(member.json(), member.run()),
        Command::Role(role) => call(role.json(), role.run()),
        Command::Unit(unit) => call(unit.json(), unit.run()),
        Command::Invitation(invitation) => call(invitation.json(), invitation.run()),
        Command::Token(token) => call(token.json(), token.run()),
        Command::Store(store) => call(store.json(), store.run()),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::Version(version) => version.run(allocator),
    }
}

/// Runs a conversation with the admin API to its end.
fn call(json: bool, conversation: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("tenantry: cannot start: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(conversation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure.explain(json));
            ExitCode::from(failure.code())
        }
    }
}
