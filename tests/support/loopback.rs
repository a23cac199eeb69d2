//! A server on loopback: what the servers of the tests have in common.

use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use tokio::net::TcpListener;

/// Serves each request with `handle`; gives the address, as an endpoint is named. It ends with its runtime.
pub(crate) async fn serve<B, F>(handle: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> String
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    F: Future<Output = io::Result<Response<B>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket");
            let handle = handle.clone();
            tokio::spawn(async move {
                let served = hyper::server::conn::http1::Builder::new();
                // A connection that a script breaks, or whose client was killed, ends with an error, as it should.
                let _ = served.serve_connection(TokioIo::new(stream), service_fn(handle)).await;
            });
        }
    });
    url
}
