use super::*;

/// A server, how often control was asked, and the flag that ends it.
struct Running {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn new(limit: Duration) -> Self {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(local, limit).expect("a free port");
        let address = server.address().expect("an address");
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let handler: Handler = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Reply::Ok(Response::Metrics(Box::default()))
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || server.run(&handler, &stopped));
        Running {
            address,
            asked,
            stop,
            thread: Some(thread),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a timeout");
        stream
    }

    /// The whole answer to `text`; empty if there is none.
    fn say(&self, text: &[u8]) -> String {
        let mut stream = self.connect();
        // Whoever is refused sees it when writing or when reading.
        let _ = stream.write_all(text);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).expect("UTF-8")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn one_page_and_nothing_else() {
    let server = Running::new(Duration::from_secs(20));
    let page = server.say(b"GET /metrics?x=1 HTTP/1.1\r\nHost: here\r\n\r\n");
    let (head, body) = page.split_once("\r\n\r\n").expect("head and body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"));
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    assert!(body.starts_with("# HELP evenpath_build_info"));
    let only = server.say(b"HEAD /metrics HTTP/1.0\r\n\r\n");
    assert!(only.ends_with("\r\n\r\n") && only.contains(&format!("{}", body.len())));
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "404"),
        (b"GET /metrics/../etc HTTP/1.1\r\n\r\n", "404"),
        (
            b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
            "405",
        ),
        (b"\r\n\r\n", "400"),
        (b"GET /metrics\n\n", "400"),
        (b"GET /metrics SPDY/3\r\n\r\n", "400"),
        (b"\xff\xfe \0 \x80\r\n\r\n", "400"),
    ] {
        let answer = server.say(request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let long = [
        b"GET /metrics HTTP/1.1\r\nX: ".to_vec(),
        vec![b'x'; MAX_REQUEST_BYTES],
    ]
    .concat();
    assert!(server.say(&long).starts_with("HTTP/1.1 431 "));
    // Asked many times within a second, control is asked once, or twice over its end.
    assert!(server.asked.load(Ordering::Relaxed) <= 2);
}

#[test]
fn who_is_slow_is_cut_off_and_who_comes_too_much_is_refused() {
    let server = Running::new(Duration::from_secs(3));
    let mut idle: Vec<TcpStream> = (0..MAX_CLIENTS).map(|_| server.connect()).collect();
    // They trickle, and hold all places.
    for stream in &mut idle {
        stream.write_all(b"GET /metr").expect("a few bytes");
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.say(b"GET /metrics HTTP/1.1\r\n\r\n"), "");
    let begin = Instant::now();
    for mut stream in idle {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "cut off in time");
    // Their places are free again; a thread may take a moment to end.
    let asks = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        server
            .say(b"GET /metrics HTTP/1.1\r\n\r\n")
            .starts_with("HTTP/1.1 200")
    });
    assert!(asks);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let first = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = first.local_addr().expect("an address");
    let error = Server::bind(address, FRESH).expect_err("taken").to_string();
    assert!(
        error.starts_with(&format!("{address}: listen: ")),
        "{error}"
    );
    assert!(error.ends_with("; set [metrics] listen"), "{error}");
}
