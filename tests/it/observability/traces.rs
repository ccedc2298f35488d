//! Spans as a collector gets them: read by OpenTelemetry's own definition of the messages.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

use super::until;
use crate::support::client::{get, h1, request, send_h1};
use crate::support::world::World;

const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A collector that keeps what it is told, and turns the first requests away.
struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>,
}

impl Collector {
    async fn start(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self { address: listener.local_addr().unwrap(), got: Arc::default() };
        let (got, left) = (Arc::clone(&collector.got), Arc::new(Mutex::new(refusals)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (got, left) = (Arc::clone(&got), Arc::clone(&left));
                let service = service_fn(move |request| take(request, Arc::clone(&got), Arc::clone(&left)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        collector
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        let resources = got.iter().flat_map(|(_, request)| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    fn settings(&self, more: &str) -> String {
        format!("[traces]\nendpoint = \"http://{}\"\none_in = 1\n{more}", self.address)
    }
}

async fn take(
    request: Request<Incoming>,
    got: Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>,
    left: Arc<Mutex<usize>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/v1/traces"));
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let refused = {
        let mut left = left.lock().unwrap();
        let refused = *left > 0;
        *left = left.saturating_sub(1);
        refused
    };
    let status = if refused { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    if !refused {
        got.lock().unwrap().push((head.headers, ExportTraceServiceRequest::decode(body).unwrap()));
    }
    Ok(Response::builder().status(status).body(Full::default()).unwrap())
}

fn attribute(span: &Span, key: &str) -> Option<Value> {
    span.attributes.iter().find(|pair| pair.key == key)?.value.clone()?.value
}

fn text(span: &Span, key: &str) -> String {
    match attribute(span, key) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key}: {other:?} in {span:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_told_of_in_spans_beneath_which_the_backends_are() {
    let collector = Collector::start(1).await;
    let headers = "[traces.headers]\nauthorization = \"Bearer k\"\n";
    let trusted = "[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let world = World::builder().settings(&collector.settings(headers)).settings(trusted).start().await;
    world.tenant("acme", "growth").await;
    let host = world.host("acme");
    let asked = request(Method::GET, &host, "/hello?token=s3cret").header("traceparent", GIVEN);
    let mut sender = h1(&world, &host).await;
    assert_eq!(send_h1(&mut sender, asked.body(Full::default()).unwrap()).await.status, 200);
    let spans = until("both spans", async || Some(collector.spans()).filter(|spans| spans.len() == 2)).await;
    let server = spans.iter().find(|span| span.kind == 2).unwrap();
    let client = spans.iter().find(|span| span.kind == 3).unwrap();
    let trace = hex::decode("0af7651916cd43dd8448eb211c80319c").unwrap();
    assert!(spans.iter().all(|span| span.trace_id == trace && span.status.is_none()), "{spans:?}");
    assert_eq!(server.parent_span_id, hex::decode("b7ad6b7169203331").unwrap());
    assert_eq!(client.parent_span_id, server.span_id);
    let told = world.backend.take()[0].header("traceparent").unwrap().to_owned();
    assert_eq!(told, format!("00-{}-{}-01", hex::encode(&trace), hex::encode(&client.span_id)));
    assert_eq!(server.name, "GET everything-else");
    assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
    assert!(client.start_time_unix_nano <= client.end_time_unix_nano);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/hello"),
        ("url.scheme", "https"),
        ("server.address", host.as_str()),
        ("network.protocol.version", "1.1"),
        ("tenantry.tenant", "acme"),
        ("tenantry.route", "everything-else"),
        ("tenantry.pool", "app"),
        ("tenantry.fault", "none"),
    ] {
        assert_eq!(text(server, key), value, "{key}");
    }
    assert_eq!(attribute(server, "http.response.status_code"), Some(Value::IntValue(200)));
    assert_eq!(attribute(server, "url.query"), None);
    let got = collector.got.lock().unwrap();
    assert!(got.iter().all(|(headers, _)| headers["authorization"] == "Bearer k"));
    let resource = got[0].1.resource_spans[0].resource.as_ref().unwrap();
    let service = resource.attributes.iter().find(|pair| pair.key == "service.name").unwrap();
    assert_eq!(service.value.clone().unwrap().value, Some(Value::StringValue("tenantry".into())));
    assert_eq!(world.running.metrics().trace_spans.with_label_values(&["exported"]).get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_last_is_sent_before_the_process_ends() {
    let collector = Collector::start(0).await;
    let world = World::builder().settings(&collector.settings("")).start().await;
    assert_eq!(get(&world, &world.host("nobody"), "/").await.status, 404);
    world.running.stop(Duration::from_secs(5)).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert!(spans[0].parent_span_id.is_empty(), "a stranger's trace begins here");
    assert_eq!(text(&spans[0], "tenantry.refusal"), "tenant-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_begins_here_is_sampled_as_configured_and_a_strangers_never_goes_on() {
    const ASKED: usize = 200;
    let collector = Collector::start(0).await;
    let settings = collector.settings("").replace("one_in = 1", "one_in = 4");
    let world = World::builder().settings(&settings).start().await;
    world.tenant("acme", "growth").await;
    let host = world.host("acme");
    let mut sender = h1(&world, &host).await;
    for _ in 0..ASKED {
        let asked = request(Method::GET, &host, "/").header("traceparent", GIVEN).body(Full::default()).unwrap();
        assert_eq!(send_h1(&mut sender, asked).await.status, 200);
    }
    let told: Vec<_> = world.backend.take().iter().map(|seen| seen.header("traceparent").unwrap().to_owned()).collect();
    assert!(told.iter().all(|told| !told.contains("0af76519") && (told.ends_with("-02") || told.ends_with("-03"))));
    let sampled = told.iter().filter(|told| told.ends_with("-03")).count();
    // A quarter, give or take six sigma.
    assert!((14..=86).contains(&sampled), "{sampled} of {ASKED}");
    // Each is the request's and its try's.
    until("their spans", async || (collector.spans().len() == 2 * sampled).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_not_sampled_is_told_of_by_nobody_and_a_dead_collector_stops_no_one() {
    let trusted = "[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let nobody = "[traces]\nendpoint = \"http://127.0.0.1:9\"\none_in = 1\nqueue = 64\n";
    let world = World::builder().settings(nobody).settings(trusted).start().await;
    world.tenant("acme", "growth").await;
    let host = world.host("acme");
    let mut sender = h1(&world, &host).await;
    let spans = &world.running.metrics().trace_spans;
    let count = || ["dropped", "failed"].map(|result| spans.with_label_values(&[result]).get()).iter().sum::<u64>();
    let quiet = request(Method::GET, &host, "/").header("traceparent", GIVEN.replace("-01", "-00"));
    assert_eq!(send_h1(&mut sender, quiet.body(Full::default()).unwrap()).await.status, 200);
    for _ in 0..200 {
        let asked = request(Method::GET, &host, "/").body(Full::default()).unwrap();
        assert_eq!(send_h1(&mut sender, asked).await.status, 200);
    }
    // Two spans for each request, but for the first: lost, counted, and nobody waited for them.
    until("the losses", async || (count() > 0).then_some(())).await;
    assert!(count() <= 400);
}
