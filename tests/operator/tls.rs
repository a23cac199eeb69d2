//! Certificates are verified, HTTP/2 is spoken where it is offered, and a proxy is used where it is named.

use super::server::{Act, Server, page};
use super::*;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::convert::Infallible;
use std::path::PathBuf;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

fn written(authority: &Authority, folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, authority.pem()).expect("written");
    path
}

/// A server for `host` that keeps the version and the key of each request.
async fn secure(
    authority: &Authority,
    host: &str,
    protocols: &[&str],
) -> (String, Arc<Mutex<Vec<(Version, bool)>>>) {
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec![host.to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, authority).expect("signed");
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a certificate");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ours = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&ours));
            tokio::spawn(async move {
                // A client that does not trust us hangs up here.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let handle = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let keyed = request.headers().contains_key("authorization");
                    seen.lock().expect("no panic").push((request.version(), keyed));
                    async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(page("0/0"))))) }
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), handle).await;
            });
        }
    });
    (format!("https://localhost:{port}/v1"), seen)
}

#[test]
fn http_2_is_spoken_where_it_is_offered_and_http_1_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let ca = authority();
    let file = written(&ca, folder.path(), "ca.pem");
    for (protocols, version) in
        [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"][..], Version::HTTP_11)]
    {
        let (url, seen) = runtime.block_on(secure(&ca, "localhost", protocols));
        let asked = EndpointSettings { ca_file: Some(file.clone()), timeout_seconds: 30.0, ..settings(&url) };
        let run = run_of(&asked, &folder.path().join(format!("{version:?}.redb").replace('/', "-")));
        assert_eq!(answered(&operate(&runtime, &run, 1, 1).expect("complete")), 1);
        assert_eq!(*seen.lock().expect("no panic"), [(version, true)]);
    }
}

#[test]
fn a_server_that_nobody_vouches_for_gets_no_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let (ca, other) = (authority(), authority());
    let (trusted, foreign) =
        (written(&ca, folder.path(), "ca.pem"), written(&other, folder.path(), "other.pem"));
    // Signed by somebody else, then for another host.
    for (at, (host, file)) in [("localhost", foreign), ("example.com", trusted)].into_iter().enumerate() {
        let (url, seen) = runtime.block_on(secure(&ca, host, &["h2", "http/1.1"]));
        let asked = EndpointSettings { ca_file: Some(file), timeout_seconds: 30.0, ..settings(&url) };
        let run = run_of(&asked, &folder.path().join(format!("{at}.redb")));
        let error = operate(&runtime, &run, 1, 5).expect_err("ended");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("endpoints.gpt.ca_file"), "{error}");
        assert_eq!(*seen.lock().expect("no panic"), []);
    }
}

#[test]
fn a_file_without_certificates_is_named_before_any_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("empty.pem");
    for write in [false, true] {
        if write {
            std::fs::write(&path, "no certificate").expect("written");
        }
        let asked = EndpointSettings { ca_file: Some(path.clone()), ..settings("https://localhost:9/v1") };
        let error = HttpEndpoint::open("gpt", &asked).expect_err("no certificates");
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains("gpt.ca_file"), "{error}");
    }
}

#[test]
fn a_named_proxy_is_used_and_none_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let proxy = runtime.block_on(Server::start(Duration::ZERO, |_, _| Act::Answer));
    let address = proxy.url.trim_end_matches("/v1").to_owned();
    // Nobody but the proxy knows this host.
    let through =
        EndpointSettings { proxy: address, timeout_seconds: 30.0, ..settings("http://model.invalid/v1") };
    let run = run_of(&through, &folder.path().join("through.redb"));
    assert_eq!(answered(&operate(&runtime, &run, 1, 20).expect("complete")), 20);
    assert_eq!(proxy.seen().asked.len(), 20);
    let direct = EndpointSettings { proxy: "none".to_owned(), ..settings(&proxy.url) };
    let run =
        run_of(&EndpointSettings { timeout_seconds: 30.0, ..direct }, &folder.path().join("direct.redb"));
    assert_eq!(answered(&operate(&runtime, &run, 1, 20).expect("complete")), 20);
}
