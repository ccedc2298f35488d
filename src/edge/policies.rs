//! What a tenant has set for its own hosts, applied to a request before it is routed: CORS, then standing and maintenance,
//! then redirects between its hosts. The steps stand in files of their own; this one only puts them in order.

use std::net::IpAddr;
use std::sync::Arc;

use pingora_http::RequestHeader;

use super::answer::Answer;
use super::canonical::lapsed;
use super::context::RequestContext;
use super::cors;
use super::gates::check_standing;
use super::maintenance;
use super::pipeline::Edge;
use super::rejection::Rejection;
use crate::config::Config;
use crate::directory::{Via, View};
use crate::model::Hostname;

impl Edge {
    /// The answer that takes the place of routing, if there is one. Who may read what follows is noted first, so that a
    /// front end of the tenant's can read refusals too.
    pub(super) async fn apply_policies(
        &self,
        request: &RequestHeader,
        ctx: &mut RequestContext,
        config: &Config,
        client: IpAddr,
    ) -> Result<Option<Answer>, Rejection> {
        let (Some((view, via)), Some(host)) = (ctx.tenant.clone(), ctx.host.clone()) else { return Ok(None) };
        // A session's tenant has no say over the operator's main site.
        let at_home = via != Via::Session;
        if at_home && let Some(answer) = self.share(request, ctx, &host, &view, config, client).await {
            return Ok(Some(answer));
        }
        check_standing(&view)?;
        maintenance::check(&view, client)?;
        if via == Via::CustomDomain && view.effective.domains_lapsed {
            let canonical = lapsed(request, &view, config)?;
            ctx.policy = Some(canonical.reason);
            return Ok(Some(canonical.answer));
        }
        // A script that may read the answer is not sent elsewhere: browsers forget its origin on the way.
        if !at_home || ctx.readers.as_ref().is_some_and(cors::Readers::is_shared) {
            return Ok(None);
        }
        let Some(canonical) = self.canonical(request, &host, &view, config).await? else { return Ok(None) };
        ctx.policy = Some(canonical.reason);
        Ok(Some(canonical.answer))
    }

    /// Notes who may read the answer, and answers preflights.
    async fn share(
        &self,
        request: &RequestHeader,
        ctx: &mut RequestContext,
        host: &Hostname,
        view: &Arc<View>,
        config: &Config,
        client: IpAddr,
    ) -> Option<Answer> {
        let cors = view.effective.edge.cors.as_ref()?;
        let readers = ctx.readers.insert(self.readers(request, cors, host, view, config, client).await);
        let answer = cors::preflight(request, cors, readers)?;
        ctx.policy = Some("cors-preflight");
        Some(answer)
    }
}
