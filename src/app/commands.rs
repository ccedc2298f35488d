//! What is done to the store of an installation without serving from it. Nothing here binds a socket.

use serde_json::json;
use zeroize::Zeroizing;

use super::{App, AppError, Roles};
use crate::audit::events;
use crate::clock::Clock;
use crate::config::Config;
use crate::model::Person;
use crate::seal::KeyId;
use crate::signin::{SignIn, generate_password};
use crate::store::Resealed;
use crate::tenancy::{Actor, NewToken};

/// Makes an operator's token in the store itself, in the ledger as `cli`: the way to the first one.
pub async fn create_token(config: Config, clock: Clock, name: &str) -> Result<String, AppError> {
    let app = App::open(config, clock, Roles::ADMIN).await?;
    let issued = app
        .tenancy()
        .create_token(&Actor::new("cli"), None, &NewToken { name: name.to_owned(), ..NewToken::default() })
        .await?;
    app.store.close().await;
    Ok(issued.value.secret.to_string())
}

/// Makes an operator who signs in with this password, in the store itself, in the ledger as `cli`: the way to the first one. Of
/// somebody who is there already it changes the password, ends the sessions, and sees to it that they are an operator. Without
/// a password one is made, and is in the answer.
pub async fn create_operator(
    config: Config,
    clock: Clock,
    email: &str,
    name: &str,
    password: Option<Zeroizing<String>>,
) -> Result<(Person, Option<Zeroizing<String>>), AppError> {
    let app = App::open(config, clock.clone(), Roles::ADMIN).await?;
    let (tenancy, actor) = (app.tenancy(), Actor::new("cli"));
    let signin = SignIn::new(tenancy.clone(), &app.config, clock)?;
    tenancy.operator_tenant_or_new(&actor).await?;
    let generated = if password.is_none() { Some(generate_password()?) } else { None };
    let password = password.as_ref().or(generated.as_ref()).map_or("", |password| password.as_str());
    let person = signin.person_with_password(&actor, email, name, password).await?;
    tenancy.make_operator(&actor, person.id).await?;
    app.store.close().await;
    Ok((person, generated))
}

/// Puts every secret in the store under the newest key-encryption key, and says which that is.
pub async fn reseal(config: Config, clock: Clock, batch: u32) -> Result<(Resealed, KeyId), AppError> {
    let app = App::open(config, clock, Roles::ADMIN).await?;
    let mut reseal = app.store.reseal(batch);
    while !reseal.step().await? {}
    let (done, key) = (reseal.done(), app.store.key_id());
    let detail = json!({ "key": key.to_string(), "secrets": done.secrets, "certificates": done.certificates,
        "orders": done.orders });
    let entry = Actor::new("cli").entry(events::STORE_RESEAL, None, "store", detail);
    let mut write = app.store.write().await?;
    write.audit(&entry).await?;
    write.commit().await?;
    app.store.close().await;
    Ok((done, key))
}
