//! Who calls, and whether they may. Each route is registered with what it needs, [`needs`] writes that into the description
//! and puts the check before the handler, and nothing is decided about it anywhere else. What a principal may do where is
//! not known here.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, MatchedPath, Query, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::UtoipaMethodRouter;

use super::AdminState;
use super::cookies;
use super::idempotency;
use super::layers::RequestId;
use super::problem::{Code, Problem};
use crate::audit::events;
use crate::model::{Rights, Scope};
use crate::tenancy::{Actor, Principal, SessionState};

/// What a route asks of its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// The scope, in the tenant that `{tenant}` in the path names. To whom that tenant is not theirs it does not exist.
    Tenant(Scope),
    /// The scope in the tenant that the query names with `tenant`; where it names none, wherever the caller is at home: for
    /// people the tenancy that they have picked. The handler narrows what it shows by [`Caller::whose`].
    Scoped(Scope),
    /// The same where it is the body that names the tenant: for people the handler decides, by [`Caller::named`].
    Body(Scope),
    /// The scope, as an operator.
    Installation(Scope),
    /// To be known, and nothing more.
    Anyone,
    /// Nothing: the route looks after itself.
    Public,
}

/// Registers routes with what they need.
pub fn needs(
    need: Need,
    (schemas, mut paths, router): UtoipaMethodRouter<AdminState>,
) -> UtoipaMethodRouter<AdminState> {
    for operation in paths.paths.values_mut().flat_map(operations) {
        need.describe(operation);
    }
    let router = router.route_layer(from_fn(
        move |params: Result<RawPathParams, RawPathParamsRejection>, request: Request, next: Next| async move {
            match params {
                Ok(params) => {
                    let tenant = params.iter().find(|(name, _)| *name == "tenant").map(|(_, value)| value.to_owned());
                    check(need, tenant, request, next).await
                }
                Err(malformed) => {
                    Problem::new(StatusCode::BAD_REQUEST, "bad-request", malformed.body_text()).into_response()
                }
            }
        },
    ));
    (schemas, paths, router)
}

impl Need {
    fn scope(self) -> Option<Scope> {
        match self {
            Self::Tenant(scope) | Self::Scoped(scope) | Self::Body(scope) | Self::Installation(scope) => Some(scope),
            Self::Anyone | Self::Public => None,
        }
    }

    /// As it is written in the description: `x-needs`, and OpenAPI's own requirement.
    fn describe(self, operation: &mut Operation) {
        let of = match self {
            Self::Tenant(_) => "tenant",
            Self::Scoped(_) | Self::Body(_) => "caller",
            Self::Installation(_) => "installation",
            Self::Anyone => "anyone",
            Self::Public => "public",
        };
        let needs = json!({ "of": of, "scope": self.scope().map(Scope::as_str) });
        let extensions = operation.extensions.take().unwrap_or_default();
        let mut needed = ExtensionsBuilder::new().add("x-needs", needs).build();
        needed.merge(extensions);
        operation.extensions = Some(needed);
        operation.security = Some(match self {
            Self::Public => vec![SecurityRequirement::default()],
            _ => ["token", "session"]
                .map(|scheme| SecurityRequirement::new::<_, _, &str>(scheme, self.scope().map(Scope::as_str)))
                .to_vec(),
        });
    }
}

/// Every operation of a path.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// Who calls, once [`recognise`] has looked at what they presented.
#[derive(Clone)]
struct Recognised {
    principal: Option<Principal>,
    /// Something was presented, whether it was worth anything or not.
    presented: bool,
    /// It is a cookie, and nothing shows that its owner meant the call.
    forged: bool,
    state: AdminState,
}

/// Around every guarded route: looks who calls, and refuses nobody.
pub async fn recognise(State(state): State<AdminState>, mut request: Request, next: Next) -> Response {
    let (headers, mut forged) = (request.headers(), false);
    let token = headers.contains_key(header::AUTHORIZATION);
    let secret = cookies::cookie(headers, cookies::SESSION).filter(|_| !token).map(str::to_owned);
    let found = match (bearer(headers), &secret) {
        (Some(token), _) => state.tenancy.authenticate(token).await,
        (None, Some(secret)) => {
            forged = !cookies::is_meant(request.method(), headers, request.uri(), secret);
            state.tenancy.session(secret).await.map(|known| known.map(|known| Principal::Person(Box::new(known))))
        }
        (None, None) => Ok(None),
    };
    let principal = match found {
        Ok(principal) => principal,
        Err(error) => return Problem::from(error).into_response(),
    };
    let presented = token || secret.is_some();
    if let (Some(Principal::Person(known)), Some(secret)) = (&principal, secret) {
        let state = known.as_ref().clone();
        request.extensions_mut().insert(Presented { state, secret });
    }
    request.extensions_mut().insert(Recognised { principal, presented, forged, state });
    next.run(request).await
}

/// A session that works, as it was presented.
#[derive(Clone)]
pub struct Presented {
    pub state: SessionState,
    pub secret: String,
}

/// Before every handler: 401 for whom nobody knows, 404 where they have no business, 403 where they may not.
async fn check(need: Need, tenant: Option<String>, mut request: Request, next: Next) -> Response {
    let (extensions, tenant) = (request.extensions(), tenant.as_deref());
    // What is told apart here, and not the request: its body cannot be looked at from two threads.
    let recognised = extensions.get::<Recognised>().cloned();
    let request_id = extensions.get::<RequestId>().map(|id| id.0.clone());
    let from = extensions.get::<Peer>().map(|peer| peer.0);
    let route = extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let told = recognised.as_ref().filter(|who| who.presented).cloned().zip(request_id.clone());
    let named = match need {
        Need::Scoped(_) => named_in(request.uri()),
        _ => None,
    };
    match judge(need, tenant.or(named.as_deref()), recognised)
        .await
        .map(|known| known.map(|(actor, state)| (Actor { request_id, from, ..actor }, state)))
    {
        Ok(Some((actor, state))) => {
            request.extensions_mut().insert(actor.clone());
            let response = idempotency::once(&state, &actor, request, next).await;
            note_refused(&state, &actor, &response, &route);
            response
        }
        Ok(None) => next.run(request).await,
        Err(problem) => {
            if let Some((who, request_id)) = told {
                who.note_refusal(&problem, &route, from, request_id);
            }
            problem.into_response()
        }
    }
}

impl Recognised {
    /// Whoever presented something and was refused is named in the ledger; a flood of them is summed up.
    fn note_refusal(&self, problem: &Problem, route: &str, from: Option<IpAddr>, request_id: String) {
        if !matches!(problem.code(), "unauthorized" | "insufficient-scope" | "csrf" | "tenant-not-found") {
            return;
        }
        let nobody = || Actor::new("nobody");
        let actor = self.principal.as_ref().map_or_else(nobody, |known| known.actor(Rights::all()));
        let tenant = match &self.principal {
            Some(Principal::Tenant(holder)) => Some(holder.tenant),
            _ => None,
        };
        let actor = Actor { from, request_id: Some(request_id), ..actor };
        // The route as it is written, not what was asked for: that may be anything.
        self.state.tenancy.note(actor.entry(events::ACCESS_REFUSED, tenant, route, json!({ "code": problem.code() })));
    }
}

/// What a handler refused: by rank, for one; or somebody bound to a tenant named another.
fn note_refused(state: &AdminState, actor: &Actor, response: &Response, route: &str) {
    let Some(Code(code)) = response.extensions().get::<Code>() else { return };
    let own = actor.rights.only();
    let elsewhere = *code == "tenant-not-found" && own.is_some();
    if response.status() == StatusCode::FORBIDDEN || elsewhere {
        state.tenancy.note(actor.entry(events::ACCESS_REFUSED, own, route, json!({ "code": code })));
    }
}

async fn judge(
    need: Need,
    tenant: Option<&str>,
    who: Option<Recognised>,
) -> Result<Option<(Actor, AdminState)>, Problem> {
    if need == Need::Public {
        return Ok(None);
    }
    let recognised = who.ok_or_else(|| Problem::unauthorized(false))?;
    let principal = recognised.principal.as_ref().ok_or_else(|| Problem::unauthorized(recognised.presented))?;
    if recognised.forged {
        return Err(Problem::forged());
    }
    let place = if matches!(need, Need::Tenant(_) | Need::Scoped(_)) { tenant } else { None };
    let rights = recognised.state.tenancy.rights(principal, place).await?;
    let at_home = !matches!(need, Need::Installation(_)) || rights.only().is_none();
    if matches!((need, principal), (Need::Body(_), Principal::Person(_))) {
        return Ok(Some((principal.actor(rights), recognised.state)));
    }
    if let Some(scope) = need.scope().filter(|scope| !at_home || !rights.has(*scope)) {
        return Err(Problem::insufficient(&[scope]));
    }
    Ok(Some((principal.actor(rights), recognised.state)))
}

/// The tenant that a query names. What is wrong with the query otherwise is the handler's to say.
fn named_in(uri: &Uri) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        tenant: Option<String>,
    }
    Query::<Named>::try_from_uri(uri).ok()?.0.tenant
}

/// The caller's address.
#[derive(Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Who calls: they have been recognised, and may use the route.
pub struct Caller(pub Actor);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Actor>().cloned().map(Self).ok_or_else(|| Problem::unauthorized(false))
    }
}

impl Caller {
    /// The caller of a [`Need::Body`], as what they are in the tenant that the body names. 404 where it is not theirs, 403
    /// where they lack the scope.
    pub async fn named(
        self,
        state: &AdminState,
        known: Option<Extension<Presented>>,
        tenant: Option<&str>,
        scope: Scope,
    ) -> Result<Self, Problem> {
        let Some(Extension(known)) = known else { return Ok(self) };
        let rights = state.tenancy.rights_of_session(&known.state, tenant).await?;
        match rights.has(scope) {
            true => Ok(Self(Actor { rights, ..self.0 })),
            false => Err(Problem::insufficient(&[scope])),
        }
    }

    /// Whose things are meant: what the caller names, or for one who is bound to a tenant that one and no other. To them
    /// there is no other.
    pub async fn whose(&self, state: &AdminState, named: Option<String>) -> Result<Option<String>, Problem> {
        let Some(own) = self.0.rights.only() else { return Ok(named) };
        if let Some(named) = named {
            let own_key = state.tenancy.show(&own.to_string()).await?;
            if named != own.to_string() && named != own_key.tenant.slug.as_str() {
                return Err(Problem::no_tenant(&named));
            }
        }
        Ok(Some(own.to_string()))
    }
}

/// The token of `Authorization: Bearer <token>` (RFC 6750 §2.1), from exactly one such header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
