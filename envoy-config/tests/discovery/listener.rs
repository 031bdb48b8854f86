//! A small HTTP server: what a kube-apiserver or Peerway's loopback listener would answer.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

/// Answers each request with the status, Content-Type and body that `answer` makes of its head;
/// returns its URL.
pub(crate) fn listener(
    answer: impl Fn(&str) -> (u16, &'static str, Vec<u8>) + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let (status, content_type, body) = answer(&head);
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: {content_type}\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n"
            );
            // The reader may have left, which is its right.
            let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    url
}

/// Path of the request with this head.
pub(crate) fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}
