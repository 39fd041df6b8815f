//! The HTTP server of yardsticks: takes bodies, and answers 202 when they are taken.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Serves calls. `take` tells whether a body is stored; if not, the answer is 500.
pub(super) async fn serve<F>(listener: TcpListener, take: impl Fn(Bytes) -> F + Clone + Send + 'static) -> anyhow::Result<()>
where
    F: Future<Output = bool> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let take = take.clone();
        let serve = move |request| answer(request, take.clone());
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(serve)));
    }
}

async fn answer<F: Future<Output = bool>>(
    request: Request<Incoming>,
    take: impl Fn(Bytes) -> F,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    if let Ok(body) = request.into_body().collect().await
        && take(body.to_bytes()).await
    {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}
