//! Ordinary requests: connections that live on, sign-in, early answers, the end of the server.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use sealdav::config::Network;
use sealdav::dav::{Body, Request};
use sealdav::http::Bounds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_keeps_alive_and_says_little() {
    let running = start(echo, Bounds::default(), Some("keep"));
    let mut stream = running.connect_tls(b"http/1.1").await;
    let group = stream
        .get_ref()
        .1
        .negotiated_key_exchange_group()
        .unwrap()
        .name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    for path in ["/a?b=c", "/%2e%2e/%zz", "/d"] {
        stream.write_all(get(path).as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.ends_with(&format!("\r\n\r\nGET {path} 0")),
            "{answer}"
        );
        let head = answer.to_ascii_lowercase();
        for header in [
            "\r\nx-request-id: ",
            "\r\ndate: ",
            "\r\nstrict-transport-security: max-age=63072000\r\n",
        ] {
            assert!(head.contains(header), "{answer}");
        }
        assert!(!head.contains("\r\nserver:"), "{answer}");
    }
}

/// P8: the greeting of a client that knows no TLS above 1.0 or 1.1 is answered with the alert
/// protocol_version (RFC 8446 section 6.2); the same greeting with TLS 1.2 in it goes on.
#[tokio::test]
async fn tls_below_1_2_is_refused() {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const PROTOCOL_VERSION: u8 = 70;
    let server = start(echo, Bounds::default(), Some("versions"));
    for (minor, expected) in [(1, ALERT), (2, ALERT), (3, HANDSHAKE)] {
        let mut stream = server.connect().await;
        stream.write_all(&client_hello(minor)).await.unwrap();
        let mut first = [0; 7];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(first[0], expected, "TLS 1.{}: {first:?}", minor - 1);
        if expected == ALERT {
            assert_eq!(first[6], PROTOCOL_VERSION, "{first:?}");
        }
    }
}

/// The greeting of a client whose best version is 3.`minor`, with what rustls needs to go on: a
/// suite of TLS 1.2 and one of before, curves, points and signatures.
fn client_hello(minor: u8) -> Vec<u8> {
    let extensions: &[&[u8]] = &[
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4],
        &[0, 23, 0, 0],
    ];
    let extensions = extensions.concat();
    let two = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let body = [
        &[3, minor][..],
        &[7; 32],
        &[0],
        &[0, 6, 0xc0, 0x2b, 0xc0, 0x09, 0x00, 0x2f],
        &[1, 0],
        &two(extensions.len()),
        &extensions,
    ]
    .concat();
    let message = [&[1, 0][..], &two(body.len()), &body].concat();
    [&[22, 3, 1][..], &two(message.len()), &message].concat()
}

#[tokio::test]
async fn sign_in() {
    let running = start(echo, Bounds::default(), None);
    for (header, expected, mark) in [
        (
            String::new(),
            "401",
            "www-authenticate: Basic realm=\"sealdav\", charset=\"UTF-8\"\r\n",
        ),
        (basic("alice:no"), "401", "www-authenticate: Basic"),
        (format!("{AUTH}{AUTH}"), "401", "www-authenticate: Basic"),
        (basic("alice:often"), "429", "retry-after: 7\r\n"),
        (basic("alice:down"), "503", "retry-after: "),
        (basic("böb:new"), "200", "GET / 0"),
        (AUTH.to_owned(), "200", "GET / 0"),
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n");
        let answer = running.exchange(&text).await;
        assert_eq!(status(&answer), expected, "{header}{answer}");
        let nosniff = "\r\nx-content-type-options: nosniff\r\n";
        assert!(answer.contains(nosniff), "{answer}");
        assert!(answer.contains(mark), "{answer}");
    }
    let answer = running
        .exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "200");
    let answer = running
        .exchange("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[tokio::test]
async fn a_panic_is_one_500() {
    let handler = |request: Request| {
        if request.target == "/boom" {
            panic!("content")
        } else {
            echo(request)
        }
    };
    let running = start(handler, Bounds::default(), None);
    let mut stream = running.connect().await;
    stream.write_all(get("/boom").as_bytes()).await.unwrap();
    let failed = answer(&mut stream).await;
    assert_eq!(status(&failed), "500");
    assert!(!failed.contains("content\n"), "{failed}");
    stream.write_all(get("/next").as_bytes()).await.unwrap();
    assert_eq!(status(&answer(&mut stream).await), "200");
}

#[tokio::test]
async fn a_short_unwanted_body_costs_no_connection() {
    let running = start(echo, Bounds::default(), None);
    let mut stream = running.connect().await;
    stream
        .write_all(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&[b'x'; 50_000]).await.unwrap();
    assert_eq!(status(&answer(&mut stream).await), "401");
    stream.write_all(get("/b").as_bytes()).await.unwrap();
    assert_eq!(status(&answer(&mut stream).await), "200");
}

#[tokio::test]
async fn expect_is_refused_before_the_body() {
    let running = start(echo, Bounds::default(), None);
    for (header, length, expected) in [("", 5, "401"), (AUTH, LIMIT + 1, "413")] {
        let text = format!(
            "PUT / HTTP/1.1\r\nHost: a\r\n{header}Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        let answer = running.exchange(&text).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{answer}"
        );
    }
    let mut stream = running.connect().await;
    let text = format!(
        "PUT / HTTP/1.1\r\nHost: a\r\n{AUTH}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(status(&answer(&mut stream).await), "100");
    stream.write_all(b"hello").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("PUT / 5"));
}

#[tokio::test]
async fn a_failed_step_cuts_the_answer() {
    let handler = |_: Request| {
        let parts = vec![
            Ok(Bytes::from_static(b"part")),
            Err(sealdav::vault::VaultError::Missing),
        ];
        respond(StatusCode::OK, Body::Stream(Box::new(parts.into_iter())))
    };
    let running = start(handler, Bounds::default(), None);
    let answer = running.exchange(&get("/")).await;
    assert!(
        !answer.ends_with("0\r\n\r\n"),
        "it must not look whole: {answer}"
    );
}

/// A stream may say its length beforehand, and then is sent under it; one that is cut falls short.
#[tokio::test]
async fn a_stream_of_known_length_is_sent_or_cut() {
    let handler = |request: Request| {
        let mut parts = vec![Ok(Bytes::from_static(b"part"))];
        parts.push(match request.target.as_str() {
            "/whole" => Ok(Bytes::from_static(b"and more")),
            _ => Err(sealdav::vault::VaultError::Missing),
        });
        let body = Body::Stream(Box::new(parts.into_iter()));
        let length = http::header::CONTENT_LENGTH;
        respond(StatusCode::OK, body).with(length, "12")
    };
    let running = start(handler, Bounds::default(), None);
    let whole = running.exchange(&closing("/whole")).await;
    assert!(whole.contains("content-length: 12\r\n"), "{whole}");
    assert!(!whole.contains("transfer-encoding"), "{whole}");
    assert!(whole.ends_with("\r\n\r\npartand more"), "{whole}");
    // The connection lives on after a whole answer, and ends with one that is cut: this returns.
    let cut = running.exchange(&get("/cut")).await;
    let body = cut.split("\r\n\r\n").nth(1).unwrap_or_default();
    assert!(body.len() < 12, "{cut}");
}

#[tokio::test]
async fn stopping_lets_requests_end() {
    let handler = |request: Request| {
        std::thread::sleep(Duration::from_millis(300));
        echo(request)
    };
    let mut running = start(handler, Bounds::default(), None);
    let mut quiet = running.connect().await;
    let mut busy = running.connect().await;
    busy.write_all(get("/last").as_bytes()).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    running.stop.take().unwrap().send(()).unwrap();
    assert!(to_end(&mut busy).await.ends_with("GET /last 0"));
    assert_eq!(to_end(&mut quiet).await, "");
    drop((busy, quiet));
    timeout(Duration::from_secs(5), &mut running.task)
        .await
        .expect("the server ends")
        .unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn quiet_connections_are_closed() {
    let running = start(echo, short(), None);
    let mut stream = running.connect().await;
    stream.write_all(get("/").as_bytes()).await.unwrap();
    assert!(to_end(&mut stream).await.ends_with("GET / 0"));
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_client() {
    let handler = |request: Request| {
        let text = format!("https={} {:?}", request.https, request.authorities);
        respond(StatusCode::OK, Body::Full(text.into()))
    };
    let proxy = || Network::try_from("127.0.0.0/8".to_owned()).unwrap();
    let both = "[\"localhost\", \"cal.example.org\"]";
    for (proxies, https, authorities) in [
        (vec![proxy()], true, both),
        (Vec::new(), false, "[\"localhost\"]"),
    ] {
        let running = start_behind(proxies, handler, Bounds::default(), None);
        let text = closing("/").replace(
            "Host",
            "X-Forwarded-Proto: https\r\nX-Forwarded-Host: cal.example.org\r\nHost",
        );
        let answer = running.exchange(&text).await;
        let expected = format!("https={https} {authorities}");
        assert!(answer.ends_with(&expected), "{answer}");
        assert_eq!(answer.contains("strict-transport-security"), https);
    }
}

#[tokio::test]
async fn connections_are_capped() {
    let running = start(
        echo,
        Bounds {
            connections: 1,
            ..Bounds::default()
        },
        None,
    );
    let mut first = running.connect().await;
    first.write_all(get("/1").as_bytes()).await.unwrap();
    assert!(answer(&mut first).await.ends_with("GET /1 0"));
    let mut second = running.connect().await;
    second.write_all(get("/2").as_bytes()).await.unwrap();
    let early = timeout(Duration::from_millis(300), second.read_u8()).await;
    assert!(early.is_err(), "the second waits for a slot");
    drop(first);
    assert!(answer(&mut second).await.ends_with("GET /2 0"));
}

/// H17: a browser that was signed in once sends its credentials for every page.
#[tokio::test]
async fn h17_other_sites_change_nothing() {
    let running = start(echo, Bounds::default(), None);
    for (method, site, expected) in [
        ("POST", "cross-site", "403"),
        ("PUT", "same-site", "403"),
        ("POST", "same-origin", "200"),
        ("PUT", "none", "200"),
        ("GET", "cross-site", "200"),
    ] {
        let head = format!("{method} / HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: {site}\r\n");
        let answer = running
            .exchange(&format!("{head}Connection: close\r\n{AUTH}\r\n"))
            .await;
        assert_eq!(status(&answer), expected, "{method} {site}");
    }
}

/// P19: where networks are named, nobody signs in from another, with the right secret either.
#[tokio::test]
async fn one_signs_in_from_the_named_networks_only() {
    let network = |text: &str| vec![Network::try_from(text.to_owned()).unwrap()];
    let ask = format!("GET / HTTP/1.1\r\nHost: a\r\n{AUTH}Connection: close\r\n\r\n");
    for (networks, expected) in [
        (network("127.0.0.0/8"), "200"),
        (network("10.0.0.0/8"), "403"),
        (Vec::new(), "200"),
    ] {
        let running = start_for(networks, echo);
        assert_eq!(status(&running.exchange(&ask).await), expected);
    }
}
