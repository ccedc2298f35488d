//! Members of a tenant: listed, added, given another role or unit, removed, brought back. Whatever ends a membership ends
//! what that person is served of the tenant in the same transaction, and a tenant that has an owner keeps one.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::{Fault, Faults, Kind, TenancyError};
use super::people::check_email;
use super::tenants::current;
use super::{Actor, Done, Expect, Tenancy, TenantState, checks, shown};
use crate::config::Config;
use crate::model::{CapName, Email, MemberState, Person, PersonId, Position, Role, TenantId, UnitId};
use crate::store::{AuditEntry, Event, MemberFilter, MemberRow, Page, Write};

/// How long somebody who was removed can be brought back.
pub const RESTORABLE: Duration = Duration::from_secs(30 * 86_400);

/// Somebody who is to be a member at once, without being asked.
#[derive(Clone, Debug, Default)]
pub struct NewMember {
    /// The address of a person, known or new.
    pub email: String,
    /// What a person who is new is called. Otherwise not looked at.
    pub name: Option<String>,
    /// A built-in role, or one of the tenant's own.
    pub role: String,
    /// A unit's id.
    pub unit: Option<String>,
}

/// What is to change of a member. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct MemberChange {
    pub role: Option<String>,
    /// `Some(None)`: no unit any more.
    pub unit: Option<Option<String>>,
}

impl Tenancy {
    /// A tenant's members in the order that the filter's search gives.
    pub async fn members(
        &self,
        tenant: &str,
        filter: &MemberFilter,
        page: &Page,
    ) -> Result<Vec<MemberRow>, TenancyError> {
        let tenant = self.find(tenant).await?.id;
        Ok(self.store.members(tenant, filter, page).await?)
    }

    /// Those who are members of a tenant by being members of the operator's own: for operators.
    pub async fn shadow_members(
        &self,
        tenant: &str,
        filter: &MemberFilter,
        page: &Page,
    ) -> Result<Vec<MemberRow>, TenancyError> {
        let tenant = self.find(tenant).await?.id;
        match self.operator_tenant().await?.filter(|operator| operator.id != tenant) {
            None => Ok(Vec::new()),
            Some(operator) => Ok(self.store.members(operator.id, filter, page).await?),
        }
    }

    /// One member in whatever state, by the person's id or e-mail address.
    pub async fn member(&self, tenant: &str, who: &str) -> Result<MemberRow, TenancyError> {
        let tenant = self.find(tenant).await?.id;
        let row = self.store.member(tenant, self.who(who).await?).await?;
        row.ok_or_else(|| no_member(who))
    }

    /// Makes somebody a member without asking them: for operators. A person who is not known is made, and cannot sign in
    /// until they have a way to.
    pub async fn add_member(
        &self,
        actor: &Actor,
        tenant: &str,
        new: &NewMember,
    ) -> Result<Done<MemberRow>, TenancyError> {
        let mut faults = Faults::default();
        let email = faults.take(check_email("/email", &new.email));
        let name = new.name.as_deref().and_then(|name| faults.take(checks::name("/name", name)));
        let email = faults.or(email)?;
        let (mut write, state) = self.open_tenant(tenant).await?;
        let rights = self.rights_within(actor, &state.tenant).await?;
        let position = self.position(&mut write, &state, "/role", &new.role).await?;
        self.handle(&mut write, &rights, state.tenant.id, &position).await?;
        let unit = unit_named(&mut write, state.tenant.id, "/unit", new.unit.as_deref()).await?;
        let person = match write.person_by_email(&email).await? {
            Some(person) if person.verified => person,
            Some(_) => return Err(unverified(&email)),
            None => {
                let name = name.unwrap_or_else(|| email.as_str().chars().take(checks::NAME_MAX).collect());
                make_person(&mut write, email, name, true).await?
            }
        };
        let row = self.join(&mut write, &state, &person, position, unit).await?;
        let entry = entry(actor, "member.add", &row, json!({})).made(shown::member(&row));
        self.finish(write, entry, row).await
    }

    /// Gives a member another role or unit.
    pub async fn change_member(
        &self,
        actor: &Actor,
        tenant: &str,
        who: &str,
        expect: &Expect,
        change: &MemberChange,
    ) -> Result<Done<MemberRow>, TenancyError> {
        let (mut write, state, before) = self.open_member(actor, tenant, who, expect).await?;
        if before.state != MemberState::Active {
            return Err(not_active(&before));
        }
        let mut row = before.clone();
        if let Some(word) = &change.role {
            let rights = self.rights_within(actor, &state.tenant).await?;
            row.position = self.position(&mut write, &state, "/role", word).await?;
            self.handle(&mut write, &rights, row.tenant, &row.position).await?;
            if before.position.rank == Role::Owner && row.position.rank != Role::Owner {
                keep_an_owner(&mut write, &row).await?;
            }
        }
        if let Some(unit) = &change.unit {
            row.unit = unit_named(&mut write, row.tenant, "/unit", unit.as_deref()).await?;
        }
        let fell = match self.is_less(&mut write, row.tenant, &before.position, &row.position).await? {
            true => self.fall(&mut write, row.tenant, row.person).await?,
            false => 0,
        };
        let row = put(&mut write, row).await?;
        let detail = json!({ "tokens_revoked": fell });
        let entry = entry(actor, "member.change", &row, detail);
        self.finish_member(write, entry, shown::member(&before), row).await
    }

    /// Ends a membership at once. It can be brought back for 30 days.
    pub async fn remove_member(
        &self,
        actor: &Actor,
        tenant: &str,
        who: &str,
        expect: &Expect,
    ) -> Result<Done<MemberRow>, TenancyError> {
        let (mut write, _, mut row) = self.open_member(actor, tenant, who, expect).await?;
        if row.state != MemberState::Active {
            return Err(not_active(&row));
        }
        let before = shown::member(&row);
        keep_an_owner(&mut write, &row).await?;
        let now = write.now();
        (row.state, row.ended, row.due) = (MemberState::Removed, Some(now), Some(now + RESTORABLE));
        let row = self.end(&mut write, row).await?;
        let entry = entry(actor, "member.remove", &row, json!({ "restorable_until": row.due }));
        self.finish_member(write, entry, before, row).await
    }

    /// Ends somebody's own membership: nobody has to let them go, but the last owner stays. They can be brought back for 30
    /// days, by whoever may.
    pub async fn leave(&self, actor: &Actor, person: PersonId, tenant: &str) -> Result<Done<MemberRow>, TenancyError> {
        let not_theirs = || TenancyError::NotFound(Kind::Tenant, tenant.to_owned());
        let (mut write, state) = self.open_tenant(tenant).await?;
        let row = write.member(state.tenant.id, person).await?.filter(MemberRow::is_active);
        let before = row.ok_or_else(not_theirs)?;
        keep_an_owner(&mut write, &before).await?;
        let now = write.now();
        let (ended, due) = (Some(now), Some(now + RESTORABLE));
        let row = MemberRow { state: MemberState::Removed, ended, due, ..before.clone() };
        let row = self.end(&mut write, row).await?;
        let entry = entry(actor, "member.leave", &row, json!({ "restorable_until": row.due }));
        self.finish_member(write, entry, shown::member(&before), row).await
    }

    /// Brings back somebody who was removed, as what they were.
    pub async fn restore_member(
        &self,
        actor: &Actor,
        tenant: &str,
        who: &str,
        expect: &Expect,
    ) -> Result<Done<MemberRow>, TenancyError> {
        let (mut write, state, mut row) = self.open_member(actor, tenant, who, expect).await?;
        let in_time = row.due.is_none_or(|due| due > write.now());
        if row.state != MemberState::Removed || !in_time {
            let detail = "only somebody who was removed, in the last 30 days, can be brought back";
            return Err(TenancyError::conflict("", "not-removed", detail));
        }
        self.room(&mut write, &state).await?;
        let before = shown::member(&row);
        (row.state, row.ended, row.due) = (MemberState::Active, None, None);
        let row = put(&mut write, row).await?;
        write.event(&event("member.restored", &row)).await?;
        let entry = entry(actor, "member.restore", &row, json!({}));
        self.finish_member(write, entry, before, row).await
    }

    /// The tenancy that somebody's new sessions begin in; one of their own, or `None` for no such.
    pub async fn set_default_tenancy(
        &self,
        actor: &Actor,
        person: PersonId,
        tenant: Option<&str>,
    ) -> Result<Done<Person>, TenancyError> {
        let tenant = match tenant {
            Some(key) => Some((key, self.find(key).await?.id)),
            None => None,
        };
        let mut write = self.store.write().await?;
        let no_person = || TenancyError::NotFound(Kind::Person, person.to_string());
        let mut row = write.person(person).await?.ok_or_else(no_person)?;
        if let Some((key, tenant)) = tenant
            && !self.is_member(&mut write, person, tenant).await?
        {
            // What was asked for, and nothing of what it led to.
            return Err(TenancyError::NotFound(Kind::Tenant, key.to_owned()));
        }
        let before = shown::person(&row);
        row.default_tenant = tenant.map(|(_, tenant)| tenant);
        write.update_person(&row).await?;
        (row.updated, row.revision) = (write.now(), write.revision());
        let entry = actor.entry("person.default-tenancy", None, person, json!({}));
        let entry = entry.changed(before, shown::person(&row));
        self.finish(write, entry, row).await
    }

    /// Whether somebody is an active member, of the tenant or of the operator's own.
    pub(super) async fn is_member(
        &self,
        write: &mut Write,
        person: PersonId,
        tenant: TenantId,
    ) -> Result<bool, TenancyError> {
        let active = |row: Option<MemberRow>| row.is_some_and(|row| row.is_active());
        if active(write.member(tenant, person).await?) {
            return Ok(true);
        }
        match &self.config().tenancy.operator {
            None => Ok(false),
            Some(slug) => match write.tenant_by_slug(slug).await? {
                Some(operator) => Ok(active(write.member(operator.id, person).await?)),
                None => Ok(false),
            },
        }
    }

    /// Begins a write about a tenant, with what holds for it.
    pub(super) async fn open_tenant(&self, key: &str) -> Result<(Write, TenantState), TenancyError> {
        let id = self.find(key).await?.id;
        let mut write = self.store.write().await?;
        let tenant = current(&mut write, id, key).await?;
        let state = self.state_in(&mut write, tenant).await?;
        Ok((write, state))
    }

    /// Begins a write about a member whom the actor may decide about.
    pub(super) async fn open_member(
        &self,
        actor: &Actor,
        tenant: &str,
        who: &str,
        expect: &Expect,
    ) -> Result<(Write, TenantState, MemberRow), TenancyError> {
        let person = self.who(who).await?;
        let (mut write, state) = self.open_tenant(tenant).await?;
        let row = write.member(state.tenant.id, person).await?.ok_or_else(|| no_member(who))?;
        let rights = self.rights_within(actor, &state.tenant).await?;
        self.handle(&mut write, &rights, row.tenant, &row.position).await?;
        expect.check(row.revision)?;
        Ok((write, state, row))
    }

    /// Makes a person an active member, if there is room. Whoever was one, and was removed, is one again.
    pub(super) async fn join(
        &self,
        write: &mut Write,
        state: &TenantState,
        person: &Person,
        position: Position,
        unit: Option<UnitId>,
    ) -> Result<MemberRow, TenancyError> {
        self.room(write, state).await?;
        let now = write.now();
        let before = write.member(state.tenant.id, person.id).await?;
        let row = MemberRow {
            tenant: state.tenant.id,
            person: person.id,
            email: person.email.clone(),
            name: person.name.clone(),
            state: MemberState::Active,
            position,
            unit,
            ended: None,
            due: None,
            created: before.as_ref().map_or(now, |row| row.created),
            updated: now,
            revision: write.revision(),
        };
        match before {
            None => write.insert_member(&row).await?,
            Some(before) if before.state == MemberState::Removed => write.update_member(&row).await?,
            Some(before) if before.state == MemberState::Active => {
                let detail = format!("{} is a member already", person.email);
                return Err(TenancyError::conflict("/email", "member-exists", detail));
            }
            Some(before) => return Err(not_active(&before)),
        }
        write.event(&event("member.added", &row)).await?;
        Ok(row)
    }

    /// Refuses one more than the plan has room for. Nobody who is there is touched.
    pub(super) async fn room(&self, write: &mut Write, state: &TenantState) -> Result<(), TenancyError> {
        let Some(cap) = state.effective.caps.get(CapName::Members).number() else { return Ok(()) };
        match write.member_count(state.tenant.id).await? < cap {
            true => Ok(()),
            false => Err(over_cap(cap, &self.config())),
        }
    }

    /// Commits what has become of a membership, with the line that tells of it.
    pub(super) async fn finish_member(
        &self,
        write: Write,
        entry: AuditEntry,
        before: Value,
        row: MemberRow,
    ) -> Result<Done<MemberRow>, TenancyError> {
        let entry = entry.changed(before, shown::member(&row));
        self.finish(write, entry, row).await
    }

    /// Writes a membership that is over, and ends what that person is served of the tenant.
    pub(super) async fn end(&self, write: &mut Write, row: MemberRow) -> Result<MemberRow, TenancyError> {
        let row = put(write, row).await?;
        self.fall(write, row.tenant, row.person).await?;
        let tenant = write.tenant(row.tenant).await?;
        if tenant.is_some_and(|tenant| self.is_operators(&tenant)) {
            // They looked after every tenant: whatever they had open, wherever, is over.
            write.end_sessions_of(row.person, None).await?;
        } else {
            write.end_site_sessions_of(row.person, row.tenant).await?;
        }
        write.event(&event("member.removed", &row)).await?;
        Ok(row)
    }

    /// The id of somebody who is named by id or e-mail address.
    pub(super) async fn who(&self, who: &str) -> Result<PersonId, TenancyError> {
        if let Some(id) = PersonId::parse(who) {
            return Ok(id);
        }
        let person = match Email::parse(who) {
            Ok(email) => self.store.person_by_email(&email).await?,
            Err(_) => None,
        };
        person.map(|person| person.id).ok_or_else(|| no_member(who))
    }
}

/// A person who has no way to sign in yet.
pub(super) async fn make_person(
    write: &mut Write,
    email: Email,
    name: String,
    verified: bool,
) -> Result<Person, TenancyError> {
    let now = write.now();
    let (id, revision) = (PersonId::new(), write.revision());
    let (default_tenant, disabled) = (None, false);
    let person = Person { id, email, name, default_tenant, disabled, verified, created: now, updated: now, revision };
    write.insert_person(&person).await?;
    Ok(person)
}

/// The unit of that id, which is one of the tenant's.
pub(super) async fn unit_named(
    write: &mut Write,
    tenant: TenantId,
    pointer: &str,
    unit: Option<&str>,
) -> Result<Option<UnitId>, TenancyError> {
    let Some(text) = unit else { return Ok(None) };
    let units = write.units(tenant).await?;
    let found = UnitId::parse(text).filter(|id| units.iter().any(|unit| unit.node.id == *id));
    found.map(Some).ok_or_else(|| {
        let detail = format!("the tenant has no unit {text:?}; name one by its id");
        TenancyError::Invalid(vec![Fault::new(pointer, "unknown-unit", detail)])
    })
}

/// Refuses to leave a tenant without its last owner. Asked while nobody else can write.
pub(super) async fn keep_an_owner(write: &mut Write, row: &MemberRow) -> Result<(), TenancyError> {
    let Some(was) = write.member(row.tenant, row.person).await? else { return Ok(()) };
    let counts = was.is_active() && was.position.rank == Role::Owner;
    if !counts || write.has_other_owner(row.tenant, row.person).await? {
        return Ok(());
    }
    let detail = "this is the tenant's last owner; make somebody else an owner first";
    Err(TenancyError::conflict("", "last-owner", detail))
}

pub(super) async fn put(write: &mut Write, mut row: MemberRow) -> Result<MemberRow, TenancyError> {
    write.update_member(&row).await?;
    (row.updated, row.revision) = (write.now(), write.revision());
    Ok(row)
}

pub(super) fn event(kind: &str, row: &MemberRow) -> Event {
    let detail = json!({ "role": row.position.name(), "state": row.state });
    Event { kind: kind.to_owned(), tenant: Some(row.tenant), subject: row.person.to_string(), detail }
}

/// A line of the ledger about a member, who is in it by id alone.
pub(super) fn entry(actor: &Actor, action: &str, row: &MemberRow, detail: Value) -> AuditEntry {
    actor.entry(action, Some(row.tenant), row.person, detail)
}

/// Whoever has the account may not be whom the address belongs to.
fn unverified(email: &Email) -> TenancyError {
    let detail = format!(
        "the account of {email} was made by whoever held an invitation, and nobody has shown that the address is theirs; \
         verify it, or invite them"
    );
    TenancyError::conflict("/email", "unverified", detail)
}

pub(super) fn no_member(who: &str) -> TenancyError {
    TenancyError::NotFound(Kind::Member, who.to_owned())
}

pub(super) fn not_active(row: &MemberRow) -> TenancyError {
    let detail = match row.state {
        MemberState::Active => "they are a member".to_owned(),
        MemberState::Removed => "they were removed; bring them back first".to_owned(),
        MemberState::Purging => "they are to be erased; call that off first".to_owned(),
    };
    TenancyError::conflict("", "not-active", detail)
}

fn over_cap(cap: u64, config: &Config) -> TenancyError {
    let catalogue = &config.catalogue;
    let more = catalogue.plans.iter().filter(|plan| plan.members.is_none_or(|members| members > cap));
    let plans = more.map(|plan| plan.name.clone()).collect();
    TenancyError::OverCap { cap, plans, upgrade_url: catalogue.upgrade_url.clone() }
}
