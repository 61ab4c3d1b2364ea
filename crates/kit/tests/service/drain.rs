use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Notify, Semaphore},
};
use triton_kit::serve::{self, Drained};

use crate::Service;

/// A handler that says when it has begun, and answers when it is let go.
fn held(begun: Arc<Notify>, let_go: Arc<Semaphore>) -> Router {
    let handler = async move || {
        begun.notify_one();
        let _permit = let_go.acquire().await;
        "whole"
    };
    Router::new().route("/held", get(handler))
}

#[tokio::test]
async fn running_request_is_answered_after_stop() {
    let (begun, let_go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let service = Service::start(held(Arc::clone(&begun), Arc::clone(&let_go))).await;
    let url = service.url("/held");
    let answer = tokio::spawn(async move { crate::client().get(url).send().await.unwrap().text().await.unwrap() });
    begun.notified().await;
    service.stop.cancel();
    // The port is closed while the request still runs.
    let address = service.origin.trim_start_matches("http://").to_owned();
    let refused = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.unwrap();
    let_go.add_permits(1);
    assert_eq!(answer.await.unwrap(), "whole");
    assert_eq!(service.served.await.unwrap().cut, 0);
}

#[tokio::test]
async fn endless_request_is_cut_at_the_deadline() {
    let (begun, let_go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let router = held(Arc::clone(&begun), let_go);
    let service = Service::start_with_drain(router, Duration::from_millis(50)).await;
    let url = service.url("/held");
    let answer = tokio::spawn(async move { crate::client().get(url).send().await });
    begun.notified().await;
    service.stop.cancel();
    assert_eq!(service.served.await.unwrap(), Drained { finished: 0, cut: 1 });
    assert!(answer.await.unwrap().is_err());
}

#[tokio::test]
async fn idle_connection_does_not_delay_the_stop() {
    let service = Service::start(Router::new()).await;
    let address = service.origin.trim_start_matches("http://").to_owned();
    let mut silent = TcpStream::connect(&address).await.unwrap();
    let mut used = TcpStream::connect(&address).await.unwrap();
    used.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(used.read_u8().await.unwrap(), b'H');
    service.stop.cancel();
    let drained = tokio::time::timeout(Duration::from_secs(3), service.served).await.unwrap().unwrap();
    assert_eq!(drained.cut, 0);
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0, "closed");
}

#[tokio::test]
async fn taken_port_is_refused_with_the_flag() {
    let first = serve::bind("--listen", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = serve::bind("--listen", first.local_addr().unwrap()).await.unwrap_err();
    assert!(error.to_string().starts_with("--listen: cannot listen on 127.0.0.1:"), "{error}");
}
