//! What is done to the store of an installation without serving from it. Nothing here binds a socket.

use super::{App, AppError, Roles};
use crate::clock::Clock;
use crate::config::Config;
use crate::seal::KeyId;
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

/// Puts every secret in the store under the newest key-encryption key, and says which that is.
pub async fn reseal(config: Config, clock: Clock, batch: u32) -> Result<(Resealed, KeyId), AppError> {
    let app = App::open(config, clock, Roles::ADMIN).await?;
    let mut reseal = app.store.reseal(batch);
    while !reseal.step().await? {}
    app.store.close().await;
    Ok((reseal.done(), app.store.key_id()))
}
