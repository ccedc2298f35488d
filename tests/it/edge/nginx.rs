//! A backend that we have not written: nginx, as Debian ships it.

use std::net::SocketAddr;
use std::process::Stdio;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::forwarding::world;
use crate::support::client::{get, get_with, h1, h2, request, send_h1, send_h2};

const HOST: &str = "acme.connect.localhost";

struct Nginx {
    address: SocketAddr,
    _dir: TempDir,
    _process: Child,
}

impl Nginx {
    async fn start() -> Self {
        // Another process may take the port between our asking for it and nginx's: then once more.
        for _ in 0..10 {
            let dir = TempDir::new().unwrap();
            let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let root = dir.path().join("html");
            std::fs::create_dir_all(&root).unwrap();
            std::fs::write(root.join("large"), large()).unwrap();
            std::fs::write(dir.path().join("nginx.conf"), config(address)).unwrap();
            let mut process = Command::new("nginx")
                .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
                .arg(dir.path())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("nginx is installed by scripts/setup");
            loop {
                if TcpStream::connect(address).await.is_ok() {
                    return Self { address, _dir: dir, _process: process };
                }
                if process.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        panic!("nginx does not start");
    }
}

fn large() -> Vec<u8> {
    (0..4 << 20).map(|n: u32| (n ^ (n >> 8)) as u8).collect()
}

/// One process, all of its files under its prefix.
fn config(address: SocketAddr) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid;\n\
         events {{}}\n\
         http {{\n\
           access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;\n\
           scgi_temp_path s; client_max_body_size 8m; underscores_in_headers on; absolute_redirect off;\n\
           server {{\n\
             listen {address};\n\
             root html;\n\
             location /who {{\n\
               add_header X-Seen \"$http_x_tenant_slug|$http_x_tenant_via|$http_x_tenant_plan|$http_host|$http_x_forwarded_proto\";\n\
               return 200 \"$request_method $request_uri\";\n\
             }}\n\
             location /gone {{ return 410; }}\n\
             location /moved {{ return 301 /elsewhere; }}\n\
             location /large {{ gzip on; gzip_types *; gzip_proxied any; gzip_http_version 1.0; }}\n\
           }}\n\
         }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_behind_the_edge_knows_the_tenant_and_serves_its_files() {
    let nginx = Nginx::start().await;
    let world = world(&[nginx.address], "").await;
    // nginx folds dashes and underscores into one variable: ours must be the only one.
    let forged = [("x_tenant_slug", "forged"), ("x-tenant-slug", "forged"), ("x_tenant-via", "forged")];
    let who = get_with(&world, HOST, "/who?a=%2F", &forged).await;
    let authority = format!("{HOST}:{}", world.https().port());
    assert_eq!(who.header("x-seen"), format!("acme|subdomain|growth|{authority}|https"));
    assert_eq!(who.body, "GET /who?a=%2F");

    let large = Bytes::from(large());
    let ask = |method: Method| request(method, HOST, "/large");
    let (mut over_h1, mut over_h2) = (h1(&world, HOST).await, h2(&world, HOST).await);
    for _ in 0..2 {
        for answer in [
            send_h1(&mut over_h1, ask(Method::GET).body(Full::default()).unwrap()).await,
            send_h2(&mut over_h2, ask(Method::GET).body(Full::default()).unwrap()).await,
        ] {
            assert_eq!((answer.status, answer.body == large), (StatusCode::OK, true));
        }
        let part = ask(Method::GET).header("range", "bytes=1000-1999").body(Full::default()).unwrap();
        let part = send_h1(&mut over_h1, part).await;
        assert_eq!((part.status, &part.body), (StatusCode::PARTIAL_CONTENT, &large.slice(1000..2000)));
        let head = send_h1(&mut over_h1, ask(Method::HEAD).body(Full::default()).unwrap()).await;
        assert_eq!((head.header("content-length"), head.body.len()), (large.len().to_string().as_str(), 0));
        let fresh = ask(Method::GET).header("if-none-match", head.header("etag")).body(Full::default()).unwrap();
        assert_eq!(send_h1(&mut over_h1, fresh).await.status, StatusCode::NOT_MODIFIED);
        let zipped = ask(Method::GET).header("accept-encoding", "gzip").body(Full::default()).unwrap();
        let zipped = send_h2(&mut over_h2, zipped).await;
        assert_eq!((zipped.header("content-encoding"), &zipped.body[..2]), ("gzip", &[0x1f, 0x8b][..]));
    }
    assert_eq!(get(&world, HOST, "/gone").await.status, StatusCode::GONE);
    let moved = get(&world, HOST, "/moved").await;
    assert_eq!((moved.status, moved.header("location")), (StatusCode::MOVED_PERMANENTLY, "/elsewhere"));
    let upload = request(Method::POST, HOST, "/who").body(Full::from(large)).unwrap();
    assert_eq!(send_h2(&mut over_h2, upload).await.body, "POST /who");
}
