//! From the loose form to the checked one. All three files are read to their ends whatever is wrong with them, so that
//! one run shows every fault.

use std::cell::RefCell;
use std::sync::Arc;

use super::routes::Facts;
use super::schema::File;
use super::section::{Check, Section};
use super::shapes::{Recorded, Recorder};
use super::source::{Document, Sources};
use super::variables::Lookup;
use super::{
    Acme, Admin, Audit, Billing, Compression, Config, Directory, Dns, Domains, Fault, Faults, Headers, Limits,
    Listener, Log, Metrics, Outbound, Process, Reload, Store, Tenancy, Tls, Traces,
};
use super::{brand, plans, routes};
use crate::model::Brand;

/// The loose form: three parsed files in which every key knows its line and nothing has a meaning yet.
pub(super) struct FileConfig<'s> {
    tenantry: Document<'s>,
    routing: Document<'s>,
    plans: Document<'s>,
    faults: Vec<Fault>,
}

/// `tenantry.toml`, checked. `None` where something required is missing or wrong; the fault is noted then.
struct Installation {
    brand: Option<Brand>,
    listeners: Vec<Listener>,
    admin: Admin,
    store: Option<Store>,
    tls: Tls,
    limits: Limits,
    tenancy: Tenancy,
    audit: Audit,
    billing: Option<Billing>,
    headers: Headers,
    compression: Compression,
    directory: Directory,
    dns: Dns,
    outbound: Outbound,
    domains: Domains,
    acme: Acme,
    log: Log,
    traces: Option<Traces>,
    metrics: Metrics,
    reload: Reload,
    process: Process,
}

impl<'s> FileConfig<'s> {
    pub fn parse(sources: &'s Sources) -> Self {
        let mut faults = Vec::new();
        let tenantry = sources.tenantry.parse(&mut faults);
        let routing = sources.routing.parse(&mut faults);
        let plans = sources.plans.parse(&mut faults);
        Self { tenantry, routing, plans, faults }
    }

    /// The strict form, or every fault.
    pub fn check(mut self, lookup: &Lookup<'_>) -> Result<Config, Faults> {
        let check = Check { lookup, faults: RefCell::new(std::mem::take(&mut self.faults)), recorder: None };
        let installation = Section::root(&check, &self.tenantry, Installation::read);
        let plans = Section::root(&check, &self.plans, plans::read);
        let facts = Facts {
            features: plans.as_ref().map(|plans| &plans.features),
            session_cookie: installation.as_ref().is_none_or(|i| i.tenancy.session_cookie.is_some()),
        };
        let routing = Section::root(&check, &self.routing, |root| routes::read(root, &facts));

        let faults = self.in_order(check.faults.into_inner());
        let catalogue = plans.and_then(|plans| plans.catalogue.map(|catalogue| (catalogue, plans.settings)));
        match (installation, routing, catalogue) {
            (Some(installation), Some(routing), Some((catalogue, settings))) if faults.is_empty() => {
                let (Some(brand), Some(store)) = (installation.brand, installation.store) else {
                    return Err(Faults::new(faults));
                };
                Ok(Config {
                    brand,
                    listeners: installation.listeners,
                    admin: installation.admin,
                    store,
                    tls: installation.tls,
                    limits: installation.limits,
                    tenancy: installation.tenancy,
                    audit: installation.audit,
                    billing: installation.billing,
                    headers: installation.headers,
                    compression: installation.compression,
                    directory: installation.directory,
                    dns: installation.dns,
                    outbound: installation.outbound,
                    domains: installation.domains,
                    acme: installation.acme,
                    log: installation.log,
                    traces: installation.traces,
                    metrics: installation.metrics,
                    reload: installation.reload,
                    process: installation.process,
                    routing,
                    catalogue: Arc::new(catalogue),
                    settings: Arc::new(settings),
                })
            }
            _ => Err(Faults::new(faults)),
        }
    }

    /// By file as they are named in the manual, then by line.
    fn in_order(&self, mut faults: Vec<Fault>) -> Vec<Fault> {
        let files = [self.tenantry.name, self.routing.name, self.plans.name];
        let rank = |fault: &Fault| files.iter().position(|file| *file == fault.file);
        faults.sort_by_key(|fault| (rank(fault), fault.line, fault.column));
        faults
    }
}

/// Everything that the readers of a file ask for.
pub(super) fn record(empty: &Sources, file: File) -> Recorded {
    let files = FileConfig::parse(empty);
    let check = Check { lookup: &|_| None, faults: RefCell::default(), recorder: Some(Recorder::default()) };
    match file {
        File::Tenantry => drop(Section::root(&check, &files.tenantry, Installation::read)),
        File::Routing => {
            let facts = Facts { features: None, session_cookie: true };
            drop(Section::root(&check, &files.routing, |root| routes::read(root, &facts)));
        }
        File::Plans => drop(Section::root(&check, &files.plans, plans::read)),
    }
    check.recorder.map(Recorder::into_recorded).unwrap_or_default()
}

impl Installation {
    fn read(root: &mut Section<'_>) -> Self {
        let brand = root.section("brand", brand::read);
        let admin = root.section("admin", Admin::read);
        Self {
            listeners: Listener::read_all(root, admin.address),
            admin,
            store: root.section("store", Store::read),
            tls: root.section("tls", Tls::read),
            limits: root.section("limits", Limits::read),
            tenancy: root.section("tenancy", Tenancy::read),
            audit: root.section("audit", Audit::read),
            billing: root.optional_section("billing", Billing::read),
            headers: root.section("headers", |section| Headers::read(section, brand.as_ref())),
            compression: root.section("compression", Compression::read),
            directory: root.section("directory", Directory::read),
            dns: root.section("dns", Dns::read),
            outbound: root.section("outbound", Outbound::read),
            domains: root.section("domains", Domains::read),
            acme: root.section("acme", Acme::read),
            log: root.section("log", Log::read),
            traces: root.section("traces", Traces::read),
            metrics: root.section("metrics", Metrics::read),
            reload: root.section("reload", Reload::read),
            process: root.section("process", Process::read),
            brand,
        }
    }
}
