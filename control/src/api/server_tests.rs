use super::super::client::{Client as Asking, ClientError};
use super::super::message::{Port, Route, RouteQuery, Routes};
use super::*;
use std::io::{BufRead, BufReader};

/// A server on a socket of its own, gone with the value.
struct Running {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("evenpath-api-{}-{name}.sock", std::process::id()))
}

fn limits() -> Limits {
    Limits {
        request: Duration::from_millis(400),
        idle: Duration::from_secs(20),
        answer: Duration::from_millis(200),
    }
}

fn run(name: &str, handler: Handler) -> Running {
    let path = path(name);
    let server = Server::bind(&path, limits()).expect("bind");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || server.run(&handler, &stopped));
    Running {
        path,
        stop,
        thread: Some(thread),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("server ends");
        }
        assert!(!self.path.exists(), "the socket's file stays behind");
    }
}

fn ports() -> Handler {
    Arc::new(|request| match request {
        Request::ShowPort => Reply::Ok(Response::Port(Vec::<Port>::new())),
        _ => error("test", "answer", "not that", None),
    })
}

fn raw(path: &Path) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(path).expect("connect");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("timeout");
    BufReader::new(stream)
}

fn say(client: &mut BufReader<UnixStream>, bytes: &[u8]) {
    client.get_mut().write_all(bytes).expect("write");
}

fn hear(client: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).expect("read");
    line
}

const NO_PORTS: &str = "{\"ok\":{\"port\":[]}}\n";

#[test]
fn a_line_is_answered_by_a_line_and_the_socket_is_the_groups() {
    let server = run("line", ports());
    let mode = std::fs::metadata(&server.path)
        .expect("socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut client = raw(&server.path);
    // Whole, in pieces, several at once.
    say(&mut client, b"{\"request\":\"show-port\"}\n");
    assert_eq!(hear(&mut client), NO_PORTS);
    say(&mut client, b"{\"request\":");
    std::thread::sleep(Duration::from_millis(50));
    say(
        &mut client,
        b"\"show-port\"}\n{\"request\":\"show-port\"}\n",
    );
    assert_eq!([hear(&mut client), hear(&mut client)], [NO_PORTS; 2]);
    let refused = Asking::connect(&server.path)
        .expect("connect")
        .ask(&Request::ShowFpm);
    let refused = refused.expect_err("refused").to_string();
    assert_eq!(refused, "test: answer: not that");
}

#[test]
fn garbage_is_answered_and_the_next_request_too() {
    let server = run("garbage", ports());
    let mut client = raw(&server.path);
    for garbage in [
        &b"\n"[..],
        b"hello\n",
        b"{\"request\":\"shw\"}\n",
        b"\xff\xfe\0\n",
        b"[]\n",
    ] {
        say(&mut client, garbage);
        let answer = hear(&mut client);
        assert!(
            answer.starts_with("{\"error\":{\"object\":\"request\",\"operation\":\"read\""),
            "{answer}"
        );
        assert!(answer.contains("one JSON object a line"), "{answer}");
    }
    say(&mut client, b"{\"request\":\"show-port\"}\n");
    assert_eq!(hear(&mut client), NO_PORTS);
}

#[test]
fn oversized_and_slow_clients_are_cut_off_and_others_served() {
    let server = run("slow", ports());
    let mut big = raw(&server.path);
    let _ = big
        .get_mut()
        .write_all(&vec![b'x'; MAX_REQUEST_BYTES + 8192]);
    assert!(hear(&mut big).contains("longer than 65536 bytes"));
    let mut slow = raw(&server.path);
    say(&mut slow, b"{");
    let start = Instant::now();
    assert!(hear(&mut slow).contains("not complete after"));
    assert!(start.elapsed() >= Duration::from_millis(390));
    assert_eq!(hear(&mut slow), "", "closed");
    let mut quick = raw(&server.path);
    say(&mut quick, b"{\"request\":\"show-port\"}\n");
    assert_eq!(hear(&mut quick), NO_PORTS);
}

#[test]
fn a_client_that_does_not_read_its_answers_holds_up_nobody() {
    let handler: Handler = Arc::new(|_| error("x", "y", "z".repeat(1 << 20), None));
    let server = run("deaf", handler);
    let mut deaf = raw(&server.path);
    say(&mut deaf, b"{\"request\":\"show-port\"}\n");
    let mut other = raw(&server.path);
    say(&mut other, b"{\"request\":\"show-port\"}\n");
    assert!(hear(&mut other).len() > 1 << 20);
    // Meanwhile the deaf one has been given up: its answer ends before its end.
    std::thread::sleep(Duration::from_millis(700));
    let answer = hear(&mut deaf);
    assert!(
        !answer.ends_with('\n') && answer.len() < 1 << 20,
        "{}",
        answer.len()
    );
}

#[test]
fn only_so_many_clients_at_a_time() {
    let server = run("many", ports());
    let mut clients: Vec<_> = (0..MAX_CLIENTS).map(|_| raw(&server.path)).collect();
    for client in &mut clients {
        say(client, b"{\"request\":\"show-port\"}\n");
        assert_eq!(hear(client), NO_PORTS);
    }
    let mut beyond = raw(&server.path);
    assert!(hear(&mut beyond).contains("16 clients are connected"));
    clients.clear();
    let start = Instant::now();
    loop {
        let mut client = raw(&server.path);
        let sent = client.get_mut().write_all(b"{\"request\":\"show-port\"}\n");
        if sent.is_ok() && hear(&mut client) == NO_PORTS {
            break;
        }
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "places do not come back"
        );
    }
}

#[test]
fn a_socket_in_use_is_an_error_and_a_stale_one_is_replaced() {
    let server = run("use", ports());
    let error = Server::bind(&server.path, limits())
        .expect_err("in use")
        .to_string();
    assert!(
        error.ends_with("listen: another evenpath listens there; stop it, or set [api] socket"),
        "{error}"
    );
    let stale = path("stale");
    drop(UnixListener::bind(&stale).expect("bind"));
    assert!(stale.exists());
    drop(Server::bind(&stale, limits()).expect("replaced"));
    let file = path("file");
    std::fs::write(&file, "precious").expect("write");
    let error = Server::bind(&file, limits())
        .expect_err("no socket")
        .to_string();
    assert!(
        error.contains("something that is no socket is there"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "precious");
    std::fs::remove_file(&file).expect("remove");
    let error = Server::bind(Path::new("/dev/null/a.sock"), limits())
        .expect_err("nowhere")
        .to_string();
    assert!(
        error.starts_with("/dev/null/a.sock: make its directory: "),
        "{error}"
    );
}

#[test]
fn control_answers_or_is_said_not_to() {
    let (events, control) = std::sync::mpsc::channel();
    let handler = ask_control(events, limits(), Counters::default);
    let thread = std::thread::spawn(move || {
        let Ok(Event::Request(request, reply)) = control.recv() else {
            panic!("a request");
        };
        assert_eq!(request, Request::FpmRelease);
        reply.send(Reply::Ok(Response::Released(7))).expect("send");
        control
    });
    assert_eq!(
        handler(Request::FpmRelease),
        Reply::Ok(Response::Released(7))
    );
    let control = thread.join().expect("thread");
    let silent = error("control", "answer", "no answer; it is busy or ends", None);
    assert_eq!(handler(Request::ShowPort), silent);
    drop(control);
    assert_eq!(handler(Request::ShowPort), silent);
}

#[test]
fn a_change_that_takes_long_is_waited_for() {
    let (events, control) = std::sync::mpsc::channel();
    let handler = ask_control(events, limits(), Counters::default);
    let busy = std::thread::spawn(move || {
        let Ok(Event::Request(Request::FpmRelease, reply)) = control.recv() else {
            panic!("a request");
        };
        std::thread::sleep(limits().answer * 2);
        reply.send(Reply::Ok(Response::Released(7))).expect("heard");
        let Ok(ended) = control.recv() else {
            panic!("a request");
        };
        drop(ended);
    });
    let released = handler(Request::FpmRelease);
    assert_eq!(released, Reply::Ok(Response::Released(7)));
    let silent = error("control", "answer", "no answer; it is busy or ends", None);
    assert_eq!(handler(Request::FpmRelease), silent, "it ends");
    busy.join().expect("thread");
}

#[test]
fn counters_are_the_workers_and_in_part_controls() {
    let workers = || Counters {
        punted: 7,
        ..Counters::default()
    };
    let (events, control) = std::sync::mpsc::channel();
    let handler = ask_control(events, limits(), workers);
    let own = Counters {
        failover: Some(Box::default()),
        fpm_answers: Some(Box::default()),
        ..Counters::default()
    };
    let all = Counters {
        punted: 7,
        ..own.clone()
    };
    let thread = std::thread::spawn(move || {
        let Ok(Event::Request(Request::ShowCounters, reply)) = control.recv() else {
            panic!("a request");
        };
        let answer = Reply::Ok(Response::Counters(own));
        reply.send(answer).expect("send");
    });
    let counters = handler(Request::ShowCounters);
    assert_eq!(counters, Reply::Ok(Response::Counters(all)));
    thread.join().expect("thread");
    let counters = handler(Request::ShowCounters);
    assert_eq!(
        counters,
        Reply::Ok(Response::Counters(workers())),
        "it ends"
    );
}

#[test]
fn long_tables_are_asked_for_in_parts() {
    let route = |n: u32| Route {
        prefix: format!("10.0.{n}.0/24").parse().expect("prefix"),
        source: "static".into(),
        protocol: None,
        selected: true,
        kind: "blackhole".into(),
        group: None,
        nexthops: Vec::new(),
        note: None,
    };
    let handler: Handler = Arc::new(move |request| {
        let Request::ShowRoute(RouteQuery { after, .. }) = request else {
            return error("test", "answer", "not that", None);
        };
        let first = (0..7)
            .find(|n| after.is_none_or(|a| route(*n).prefix > a))
            .unwrap_or(7);
        let last = (first + 3).min(7);
        Reply::Ok(Response::Route(Routes {
            routes: (first..last).map(route).collect(),
            next: (last < 7).then(|| route(last - 1).prefix),
        }))
    });
    let server = run("parts", handler);
    let mut client = Asking::connect(&server.path).expect("connect");
    let all = client
        .ask_all(&Request::ShowRoute(RouteQuery::default()))
        .expect("routes");
    let Response::Route(Routes { routes, next: None }) = all else {
        panic!("routes");
    };
    assert_eq!(routes, (0..7).map(route).collect::<Vec<_>>());
}

#[test]
fn without_a_server_the_client_says_what_to_look_at() {
    let error = Asking::connect(&path("nobody")).expect_err("nobody");
    assert!(matches!(error, ClientError::Connect { .. }));
    assert!(
        error.to_string().contains("is `evenpath run` running"),
        "{error}"
    );
}
