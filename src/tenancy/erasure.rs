//! The end of a membership: what was removed is forgotten after a time, and what is to be purged is erased with what is
//! personal in it, unless that is called off. And before that, all that a tenant keeps of a member, to take along.

use std::time::Duration;

use serde_json::{Value, json};
use tracing::{info, warn};

use super::error::{Fault, Kind, TenancyError};
use super::members::{RESTORABLE, entry, keep_an_owner, not_active, put};
use super::{Actor, Done, Expect, Tenancy, shown};
use crate::model::{MemberState, Person, PersonId, TenantId};
use crate::store::{AuditFilter, AuditLine, AuditOrder, Found, MemberRow, Page, StoreError, Taken, Write};

/// How long an erasure can be called off.
pub const CANCELLABLE: Duration = Duration::from_secs(30 * 86_400);
/// How long an invitation that has expired is still shown.
const INVITATIONS_SHOWN: Duration = Duration::from_secs(30 * 86_400);

const LEASE: &str = "members";
const LEASED: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_secs(10);
const BATCH: u32 = 100;
/// The most lines of the ledger that one export has.
const MOST_LINES: usize = 10_000;

/// All that a tenant keeps of one of its members.
#[derive(Clone, Debug)]
pub struct MemberExport {
    pub member: MemberRow,
    /// The ledger's lines of what they did, of what was done to them, and with their address; in the order they were written.
    pub lines: Vec<AuditLine>,
    /// There are more lines than an export has.
    pub truncated: bool,
}

/// Lines of a tenant's chain.
enum Lines {
    Of(AuditFilter),
    /// In which something stands under that key.
    Naming(TenantId, String),
}

impl Tenancy {
    /// Ends a membership, if it has not ended yet, and has it erased in 30 days. The address is typed back.
    pub async fn purge_member(
        &self,
        actor: &Actor,
        tenant: &str,
        who: &str,
        expect: &Expect,
        email: &str,
    ) -> Result<Done<MemberRow>, TenancyError> {
        let (mut write, _, mut row) = self.open_member(actor, tenant, who, expect).await?;
        if row.state == MemberState::Purging {
            return Err(not_active(&row));
        }
        if email.trim().to_lowercase() != row.email.as_str() {
            let detail = "to have this member erased for ever, type their e-mail address";
            return Err(TenancyError::Invalid(vec![Fault::new("/email", "email-mismatch", detail)]));
        }
        keep_an_owner(&mut write, &row).await?;
        let before = shown::member(&row);
        let now = write.now();
        (row.state, row.ended, row.due) = (MemberState::Purging, row.ended.or(Some(now)), Some(now + CANCELLABLE));
        let row = self.end(&mut write, row).await?;
        let entry = entry(actor, "member.purge", &row, json!({ "erased_at": row.due }));
        self.finish_member(write, entry, before, row).await
    }

    /// Calls an erasure off: they are removed, and can be brought back for 30 days.
    pub async fn cancel_purge(
        &self,
        actor: &Actor,
        tenant: &str,
        who: &str,
        expect: &Expect,
    ) -> Result<Done<MemberRow>, TenancyError> {
        let (mut write, _, mut row) = self.open_member(actor, tenant, who, expect).await?;
        if row.state != MemberState::Purging {
            return Err(TenancyError::conflict("", "not-purging", "nobody has asked to have them erased"));
        }
        let before = shown::member(&row);
        (row.state, row.due) = (MemberState::Removed, Some(write.now() + RESTORABLE));
        let row = put(&mut write, row).await?;
        let entry = entry(actor, "member.purge-cancel", &row, json!({ "restorable_until": row.due }));
        self.finish_member(write, entry, before, row).await
    }

    /// What the tenant keeps of a member. The ledger says that it was taken.
    pub async fn export_member(
        &self,
        actor: &Actor,
        tenant: &str,
        who: &str,
    ) -> Result<Done<MemberExport>, TenancyError> {
        let (write, _, member) = self.open_member(actor, tenant, who, &Expect::Anything).await?;
        let entry = entry(actor, "member.export", &member, json!({}));
        let done = self.finish(write, entry, ()).await?;
        let (tenant, person) = (member.tenant, member.person.to_string());
        let filter = AuditFilter { tenant: Some(tenant), ..AuditFilter::default() };
        let which = [
            Lines::Of(AuditFilter { actor: Some(format!("person:{person}")), ..filter.clone() }),
            Lines::Of(AuditFilter { subject: Some(person.clone()), ..filter }),
            // And those in which no more than their address stands, such as that they were invited.
            Lines::Naming(tenant, person),
            Lines::Naming(tenant, member.email.to_string()),
        ];
        let mut lines = Vec::new();
        for which in &which {
            lines.extend(self.first_lines(which).await?);
        }
        lines.sort_by_key(|line| line.id);
        lines.dedup_by_key(|line| line.id);
        let truncated = lines.len() > MOST_LINES;
        lines.truncate(MOST_LINES);
        let value = MemberExport { member, lines, truncated };
        Ok(Done { value, revision: done.revision, applied: done.applied })
    }

    /// The first of them; more than an export has, if there are.
    async fn first_lines(&self, which: &Lines) -> Result<Vec<AuditLine>, StoreError> {
        let (mut lines, mut after): (Vec<AuditLine>, Option<String>) = (Vec::new(), None);
        loop {
            let page = Page { limit: Page::MOST, after };
            let Found { rows, next } = match which {
                Lines::Of(filter) => self.store.audit_lines(filter, AuditOrder::OldestFirst, &page).await?,
                Lines::Naming(tenant, key) => self.store.audit_lines_naming(*tenant, key, &page).await?,
            };
            lines.extend(rows);
            if next.is_none() || lines.len() > MOST_LINES {
                return Ok(lines);
            }
            after = next;
        }
    }

    /// Forgets and erases whatever is due, until the task is dropped. `owner`: this process, as leases name it.
    pub async fn keep_members(self, owner: String) {
        loop {
            if let Err(error) = self.forget_members(&owner).await {
                warn!(%error, "members.not_forgotten: trying again");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Forgets and erases what is due now; how many members that were. None while another node has the lease.
    pub async fn forget_members(&self, owner: &str) -> Result<usize, TenancyError> {
        let now = self.clock.now();
        let mut aside = self.store.aside().await?;
        if !aside.take_lease(LEASE, owner, now + LEASED).await? {
            return Ok(0);
        }
        aside.forget_invitations(now - INVITATIONS_SHOWN).await?;
        aside.commit().await?;
        // What cannot be done to one keeps nobody else from being forgotten.
        let (mut seen_to, mut failed) = (0, None);
        for (tenant, person) in self.store.due_members(now, BATCH).await? {
            match self.forget_member(tenant, person).await {
                Ok(()) => seen_to += 1,
                Err(error) => {
                    warn!(%error, tenant.id = %tenant, person.id = %person, "member.not_forgotten");
                    failed = Some(error);
                }
            }
        }
        for (person, chain) in self.store.erasures(BATCH).await? {
            if let Err(error) = self.go_on_erasing(person, chain).await {
                warn!(%error, person.id = %person, "person.not_erased");
                failed = Some(error);
            }
        }
        failed.map_or(Ok(seen_to), Err)
    }

    /// One membership whose time has come. What the tenant keeps of somebody who was to be purged is erased; and who is
    /// nobody's member any more, and was to be erased, is no person any more either. For as long as another tenant has them,
    /// what is theirs there stays, and that they are to be erased is kept.
    async fn forget_member(&self, tenant: TenantId, person: PersonId) -> Result<(), TenancyError> {
        let mut write = self.store.write().await?;
        let Some(row) = write.member(tenant, person).await? else { return Ok(()) };
        if row.is_active() || row.due.is_none_or(|due| due > write.now()) {
            return Ok(());
        }
        write.delete_member(tenant, person).await?;
        let purged = row.state == MemberState::Purging;
        if purged {
            write.set_to_be_erased(person).await?;
            self.erase_rows(&mut write, &row).await?;
        }
        let mut erased = settle(&mut write, person).await?;
        if purged && erased == Erased::default() {
            erased.taken = erase_in(&mut write, person, tenant).await?;
        }
        info!(tenant.id = %tenant, person.id = %person, purged, "member.forgotten");
        let action = if purged { "member.erase" } else { "member.forget" };
        let detail = json!({ "person_erased": erased.person, "values_erased": erased.taken.values });
        let entry = entry(&Actor::new("system"), action, &row, detail).gone(shown::member(&row));
        self.finish(write, entry, ()).await.map(drop)
    }

    /// What a tenant's own rows say of somebody by their address: that they are invited, and that they are whom to turn to.
    async fn erase_rows(&self, write: &mut Write, row: &MemberRow) -> Result<(), TenancyError> {
        if let Some(invitation) = write.invitation_to(row.tenant, &row.email).await? {
            write.delete_invitation(invitation.id).await?;
        }
        let mut profile = write.profile(row.tenant).await?;
        let had = profile.contacts.len();
        profile.contacts.retain(|contact| contact.email != row.email);
        if profile.contacts.len() < had
            && let Some(tenant) = write.tenant(row.tenant).await?
        {
            write.put_profile(row.tenant, &profile).await?;
            self.put(write, &tenant.clone(), tenant).await?;
        }
        Ok(())
    }

    /// Takes more of somebody out of the ledger, where that was more than one transaction takes, until nothing is left.
    async fn go_on_erasing(&self, person: PersonId, chain: Option<TenantId>) -> Result<(), TenancyError> {
        loop {
            let mut write = self.store.write().await?;
            let erased = match chain {
                Some(tenant) => Erased { taken: erase_in(&mut write, person, tenant).await?, person: false },
                // Of somebody's member again nothing goes: what was promised is kept for when they are not.
                None => settle(&mut write, person).await?,
            };
            if !erased.taken.more {
                write.delete_erasure(person, chain).await?;
            }
            if erased.person {
                let detail = json!({ "values_erased": erased.taken.values });
                let entry = Actor::new("system").entry("person.erase", None, person, detail);
                return self.finish(write, entry, ()).await.map(drop);
            }
            write.commit().await?;
            if !erased.taken.more {
                return Ok(());
            }
        }
    }

    /// Erases a person at once, with the memberships that are over; how many values of the ledger went. (Of somebody who is
    /// in more lines than one transaction takes, the rest goes by and by, and the account with it.) The address is typed
    /// back. A member is not erased: whoever has them ends that first.
    pub async fn erase_person(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        email: &str,
    ) -> Result<Done<u64>, TenancyError> {
        let id = self.person(key).await?.id;
        let mut write = self.store.write().await?;
        let person = write.person(id).await?.ok_or_else(|| TenancyError::NotFound(Kind::Person, key.to_owned()))?;
        expect.check(person.revision)?;
        if email.trim().to_lowercase() != person.email.as_str() {
            let detail = "to have this person erased for ever, type their e-mail address";
            return Err(TenancyError::Invalid(vec![Fault::new("/email", "email-mismatch", detail)]));
        }
        let memberships = write.memberships_anywhere(id).await?;
        if let Some(active) = memberships.iter().find(|row| row.is_active()) {
            let detail = format!("they are a member of the tenant {}; remove them there first", active.tenant);
            return Err(TenancyError::conflict("", "still-member", detail));
        }
        for row in &memberships {
            write.delete_member(row.tenant, id).await?;
        }
        write.set_to_be_erased(id).await?;
        let erased = erase(&mut write, &person).await?.taken.values;
        let detail = json!({ "values_erased": erased, "memberships": memberships.len() });
        let entry = actor.entry("person.erase", None, id, detail);
        // Nothing that names them: that is what goes.
        let entry = entry.gone(json!({ "disabled": person.disabled, "default_tenant": person.default_tenant }));
        self.finish(write, entry, erased).await
    }
}

/// What one transaction erased.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Erased {
    /// Out of the ledger.
    pub taken: Taken,
    /// They are no person any more.
    pub person: bool,
}

/// Erases somebody who is to be erased and whom nobody has any more. Otherwise they stay.
pub(super) async fn settle(write: &mut Write, person: PersonId) -> Result<Erased, TenancyError> {
    if !write.is_to_be_erased(person).await? || write.is_member_anywhere(person).await? {
        return Ok(Erased::default());
    }
    match write.person(person).await? {
        Some(person) => erase(write, &person).await,
        None => Ok(Erased::default()),
    }
}

/// Erases a person, and what the ledger says of them first: it knows them by their address, which goes with them.
async fn erase(write: &mut Write, person: &Person) -> Result<Erased, TenancyError> {
    let taken = take_out(write, person, None).await?;
    if !taken.more {
        write.erase_person(person.id).await?;
    }
    Ok(Erased { taken, person: !taken.more })
}

/// Erases what one tenant's chain says of somebody who stays a person.
pub(super) async fn erase_in(write: &mut Write, person: PersonId, tenant: TenantId) -> Result<Taken, TenancyError> {
    match write.person(person).await? {
        Some(person) => take_out(write, &person, Some(tenant)).await,
        None => Ok(Taken::default()),
    }
}

/// As much as one transaction takes. That there is more is noted, and seen to by [`Tenancy::forget_members`].
async fn take_out(write: &mut Write, person: &Person, chain: Option<TenantId>) -> Result<Taken, TenancyError> {
    let id = person.id.to_string();
    let taken = write.erase_from_audit(&[&id, person.email.as_str()], chain).await?;
    if taken.more {
        write.put_erasure(person.id, chain).await?;
    }
    Ok(taken)
}

impl MemberExport {
    /// As it is handed out.
    pub fn to_json(&self) -> Value {
        let row = &self.member;
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                json!({ "id": line.id, "at": line.at, "actor": line.entry.actor, "action": line.entry.action,
                    "subject": line.entry.subject, "detail": line.entry.detail, "before": line.entry.before,
                    "after": line.entry.after, "from": line.entry.from })
            })
            .collect();
        json!({
            "format": "tenantry-member/1",
            "person": { "id": row.person, "email": row.email, "name": row.name },
            "membership": { "tenant": row.tenant, "state": row.state, "role": row.position.name(),
                "rank": row.position.rank, "unit": row.unit, "created": row.created, "updated": row.updated,
                "ended": row.ended },
            "audit": lines,
            "audit_truncated": self.truncated,
        })
    }
}
