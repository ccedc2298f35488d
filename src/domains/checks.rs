//! One look at a claim, and everything that follows from it: state, order, event and audit line in one transaction. A look
//! that changes nothing is written beside the feed.

use serde_json::json;
use tracing::info;

use super::life::{self, Facts, Holder, Progress, Step};
use super::{Diagnosis, Domains, judge, looks};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::dns::RecordKind;
use crate::model::{CertificateSource, Domain, DomainState};
use crate::store::{AuditEntry, Event, StoreError, Write};
use crate::tenancy::{CUSTOM_DOMAIN, wanted};

/// What the store remembers of a claim; whatever does not read is as if nothing had been seen.
pub(super) fn remembered(json: &str) -> Progress {
    serde_json::from_str(json).unwrap_or_default()
}

/// The other way round.
pub(super) fn kept(progress: &Progress) -> Result<String, StoreError> {
    serde_json::to_string(progress).map_err(|error| StoreError::Corrupt(error.to_string()))
}

impl Domains {
    pub(super) async fn progress(&self, domain: &Domain) -> Result<Progress, StoreError> {
        let kept = self.store.domain_progress(&domain.name, domain.tenant).await?;
        Ok(kept.map(|(_, json)| remembered(&json)).unwrap_or_default())
    }

    pub(super) async fn next_check(&self, domain: &Domain) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.store.domain_progress(&domain.name, domain.tenant).await?.and_then(|(next, _)| next))
    }

    /// Looks, and does what follows. The claim may have changed while DNS was asked: then nothing but the look counts.
    pub(super) async fn check(&self, domain: Domain, progress: Progress, actor: &str) -> Result<Diagnosis, StoreError> {
        let config = self.config.load_full();
        let (diagnosis, _) = self.look_at(&domain, &config).await;
        let holder = self.store.held_domain(&domain.name).await?.filter(|held| held.tenant != domain.tenant);
        let facts = self.facts(&domain, &diagnosis, holder.as_ref(), &config).await?;
        let now = self.clock.now();
        let name = domain.name.to_string();
        let decided = life::next(domain.state, progress, &facts, &name, domain.created, &config.domains, now);
        self.count(&facts, decided.0);
        let look = Look { domain, holder, diagnosis, actor };
        self.carry_out(look, decided, &config).await
    }

    async fn facts(
        &self,
        domain: &Domain,
        diagnosis: &Diagnosis,
        holder: Option<&Domain>,
        config: &Config,
    ) -> Result<Facts, StoreError> {
        let rests = self.store.cooldown(&domain.name).await?.filter(|(last, _)| *last != domain.tenant);
        let holder = match holder {
            Some(holder) => Some(Holder { proven: self.proves(holder, config).await }),
            None => None,
        };
        let covered = self.coverage(domain).await?;
        let certificate = match self.store.certificate_in_use(&domain.name.to_string()).await? {
            Some(id) => self.store.certificate_row(&id).await?,
            None => None,
        };
        Ok(Facts {
            proven: diagnosis.proven,
            points_here: diagnosis.points_here,
            holder,
            rests_until: rests.map(|(_, until)| until),
            has_certificate: certificate.is_some(),
            brought: certificate.is_some_and(|row| row.source == CertificateSource::Uploaded),
            covered,
        })
    }

    /// Whether the tenant's plan covers domains of its own. Where that is news, the tenant's grace begins, or ends.
    async fn coverage(&self, domain: &Domain) -> Result<bool, StoreError> {
        // A tenant that cannot be read is not one that has lost something.
        let Ok(state) = self.tenancy.show(&domain.tenant.to_string()).await else { return Ok(true) };
        let covered = state.effective.features.contains(CUSTOM_DOMAIN);
        if domain.state.is_held() && covered == state.tenant.life.domains_until.is_some() {
            self.tenancy.domains_looked_at(domain.tenant).await?;
        }
        Ok(covered)
    }

    /// Whether a holder's own proof is there; `None`: nobody could be asked.
    async fn proves(&self, holder: &Domain, config: &Config) -> Option<bool> {
        let (name, value) = wanted(holder, config).proof;
        let look = match self.dns.look_at_zone(&name, RecordKind::Txt).await {
            Some(look) => look,
            None => self.dns.look(&name, RecordKind::Txt).await,
        };
        look.is_answer().then(|| judge::proves(&look, &value))
    }

    async fn carry_out(
        &self,
        mut look: Look<'_>,
        (step, mut progress, next): (Step, Progress, Option<Timestamp>),
        config: &Config,
    ) -> Result<Diagnosis, StoreError> {
        let before = look.domain.state;
        look.becomes(after(before, step), next, &progress);
        let (name, tenant) = (look.domain.name.clone(), look.domain.tenant);
        if step == Step::Stay {
            let mut aside = self.store.aside().await?;
            // It may have been given up while DNS was asked.
            if let Some((_, now)) = aside.lock_domain_progress(&name, tenant).await? {
                progress.asked = remembered(&now).asked;
                aside.set_domain_progress(&name, tenant, next, &kept(&progress)?).await?;
                aside.commit().await?;
            }
            return Ok(look.diagnosis);
        }
        let mut write = self.store.write().await?;
        let current = write.claims(&name).await?.into_iter().find(|claim| claim.tenant == tenant);
        // A token of its own tells a claim from one that was made afresh under the same name.
        let same = |current: &Domain| current.state == before && current.token == look.domain.token;
        let now = write.lock_domain_progress(&name, tenant).await?.map(|(_, now)| remembered(&now)).unwrap_or_default();
        let told = match step {
            Step::Contest => now.contested.is_some(),
            Step::Uncover => now.uncovered.is_some(),
            _ => false,
        };
        if told || !current.as_ref().is_some_and(same) {
            // Somebody has done something with it meanwhile; the next look sees what.
            let state = current.map_or(before, |current| current.state);
            drop(write);
            return self.undone(look, state).await;
        }
        match self.write(&mut write, &look, (before, step), config).await {
            // Another claim was quicker: this one stays as it is, and is looked at again.
            Err(StoreError::Conflict(_)) => {
                drop(write);
                return self.undone(look, before).await;
            }
            other => other?,
        }
        // Others may have asked for a look meanwhile: that counts.
        progress.asked = now.asked;
        write.set_domain_progress(&name, tenant, next, &kept(&progress)?).await?;
        write.commit().await?;
        info!(domain.name = %look.domain.name, from = %before, to = %look.domain.state, ?step, "domain.changed");
        Ok(look.diagnosis)
    }

    /// What was seen, when nothing has followed from it.
    async fn undone(&self, mut look: Look<'_>, state: DomainState) -> Result<Diagnosis, StoreError> {
        let held = self.store.held_domain(&look.domain.name).await?;
        look.holder = held.filter(|held| held.tenant != look.domain.tenant);
        let (progress, next) = (self.progress(&look.domain).await?, self.next_check(&look.domain).await?);
        look.becomes(state, next, &progress);
        Ok(look.diagnosis)
    }

    async fn write(
        &self,
        write: &mut Write,
        look: &Look<'_>,
        (before, step): (DomainState, Step),
        config: &Config,
    ) -> Result<(), StoreError> {
        let Domain { name, tenant, state, .. } = &look.domain;
        let order = [name.to_string()];
        match step {
            Step::Verify => {
                write.set_domain_state(name, *tenant, *state).await?;
                let now = write.now();
                write.want_order(&order, Some(*tenant), now).await?;
            }
            Step::Transfer => {
                if let Some(holder) = &look.holder {
                    write.set_domain_state(name, holder.tenant, DomainState::Released).await?;
                    write.set_domain_progress(name, holder.tenant, None, "{}").await?;
                    write.set_domain_token(name, holder.tenant, &fresh_token()).await?;
                    write.forget_primary_domain(name, holder.tenant).await?;
                    let event = Event { tenant: Some(holder.tenant), ..look.event("domain.released", step) };
                    write.event(&event).await?;
                    // In the ledger of whoever loses it, too.
                    let entry = AuditEntry { tenant: Some(holder.tenant), ..look.entry("domain.released") };
                    write.audit(&changed(entry, holder.state, DomainState::Released)).await?;
                    write.drop_order(&order[0]).await?;
                }
                write.set_domain_state(name, *tenant, *state).await?;
                let now = write.now();
                write.want_order(&order, Some(*tenant), now).await?;
            }
            Step::Release => {
                write.set_domain_state(name, *tenant, *state).await?;
                write.drop_order(&order[0]).await?;
                let until = write.now() + config.domains.cooldown;
                write.set_cooldown(name, *tenant, until).await?;
                write.set_domain_token(name, *tenant, &fresh_token()).await?;
                write.forget_primary_domain(name, *tenant).await?;
            }
            Step::Set(_) | Step::Fail | Step::Move | Step::Live | Step::Return(_) => {
                write.set_domain_state(name, *tenant, *state).await?;
            }
            Step::Stay | Step::Contest | Step::Uncover => {}
        }
        if let Some(kind) = kind(step) {
            let mut event = look.event(kind, step);
            if let (Step::Contest, Some(holder)) = (step, &look.holder) {
                // It is the holder who is to be warned.
                event.tenant = Some(holder.tenant);
            }
            write.event(&event).await?;
            write.audit(&changed(look.entry(kind), before, *state)).await?;
        }
        Ok(())
    }

    fn count(&self, facts: &Facts, step: Step) {
        let outcome = match (step, facts.proven, facts.points_here) {
            (Step::Move | Step::Release, ..) => "moved",
            (_, None, _) | (_, _, None) => "unknown",
            (_, Some(true), _) => "proven",
            (_, Some(false), _) => "not-yet",
        };
        self.metrics.domain_checks.with_label_values(&[outcome]).inc();
    }
}

/// One look, on its way to the store.
struct Look<'a> {
    domain: Domain,
    /// Another tenant's claim that holds the name.
    holder: Option<Domain>,
    diagnosis: Diagnosis,
    actor: &'a str,
}

impl Look<'_> {
    /// What the claim is after this look, and what that comes to in words.
    fn becomes(&mut self, state: DomainState, next: Option<Timestamp>, progress: &Progress) {
        self.domain.state = state;
        self.diagnosis.state = state;
        self.diagnosis.next_check = next;
        self.diagnosis.summary = looks::summary(&self.diagnosis, progress, self.holder.is_some());
    }

    fn event(&self, kind: &str, step: Step) -> Event {
        let wrong: Vec<_> = self.diagnosis.findings.iter().filter(|finding| !finding.advice.is_empty()).collect();
        let advice: Vec<_> = wrong.iter().map(|finding| finding.advice.clone()).collect();
        Event {
            kind: kind.into(),
            tenant: Some(self.domain.tenant),
            subject: self.domain.name.to_string(),
            detail: json!({ "state": self.domain.state, "step": format!("{step:?}"), "advice": advice }),
        }
    }

    fn entry(&self, kind: &str) -> AuditEntry {
        AuditEntry {
            actor: self.actor.into(),
            action: kind.into(),
            tenant: Some(self.domain.tenant),
            subject: self.domain.name.to_string(),
            detail: json!({}),
            ..AuditEntry::default()
        }
    }
}

/// With what the claim was before and after. A warning changes nothing.
fn changed(entry: AuditEntry, before: DomainState, after: DomainState) -> AuditEntry {
    match before == after {
        true => entry,
        false => entry.changed(json!({ "state": before }), json!({ "state": after })),
    }
}

/// What was given up has to be proven afresh: the record that proved it before does so no more.
fn fresh_token() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn after(before: DomainState, step: Step) -> DomainState {
    match step {
        Step::Stay | Step::Contest | Step::Uncover => before,
        Step::Set(state) | Step::Return(state) => state,
        Step::Live => DomainState::Live,
        Step::Verify | Step::Transfer => DomainState::Verified,
        Step::Fail => DomainState::Failed,
        Step::Move => DomainState::Moved,
        Step::Release => DomainState::Released,
    }
}

/// The event that tells of it.
fn kind(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Stay | Step::Set(_) => return None,
        Step::Verify => "domain.verified",
        Step::Fail => "domain.failed",
        Step::Move => "domain.moved",
        Step::Live => "domain.live",
        Step::Return(_) => "domain.returned",
        Step::Release => "domain.released",
        Step::Contest => "domain.contested",
        Step::Transfer => "domain.transferred",
        Step::Uncover => "domain.uncovered",
    })
}
