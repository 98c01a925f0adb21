//! A running `tokometer serve` and the little HTTP that its tests need, over plain sockets: what is sent is what is tested.

use crate::dir::{Dir, on_tiny};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on the tiny model; killed when dropped.
pub struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
    /// The line that it printed when it was ready.
    pub ready: Value,
}

/// An answer.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, put together where it came in chunks.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The events of a stream: JSON, or the word that ends it.
    pub fn events(&self) -> Vec<Value> {
        let events = self.body.split("\n\n").filter(|event| !event.is_empty());
        let data = events.map(|event| event.strip_prefix("data: ").unwrap_or_else(|| panic!("{}", self.body)));
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
    }

    /// The error's code.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Server {
    /// Starts one on the mock engine in this folder with these further arguments and waits until it is ready.
    pub fn start(dir: &Dir, more: &[&str]) -> Server {
        Server::start_on(dir, "mock", more)
    }

    /// The same on any engine.
    pub fn start_on(dir: &Dir, engine: &str, more: &[&str]) -> Server {
        let own = ["--port", "0", "--json", "--quiet"];
        let mut command = dir.command(&on_tiny("serve", engine, &[&own[..], more].concat()));
        let mut child = command.env_remove("TOKOMETER_API_KEY").stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let url = ready["url"].as_str().unwrap();
        let address = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/v1")).unwrap().to_owned();
        Server { child, out, address, ready }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The name of the model that is served.
    pub fn model(&self) -> &str {
        self.ready["model"].as_str().unwrap()
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        patient(TcpStream::connect(&self.address).unwrap())
    }

    /// The head of a request with a body of this length.
    pub fn head(path: &str, length: usize, more: &str) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{more}\r\n"
        )
    }

    /// Sends a body and returns the connection on which the answer comes.
    pub fn send(&self, path: &str, body: &str) -> TcpStream {
        send_on(self.connect(), path, body)
    }

    /// The same for a client that will read slowly: the system keeps so many bytes for it from the beginning, and no more.
    pub fn send_narrow(&self, path: &str, body: &str, bytes: usize) -> TcpStream {
        let address: SocketAddr = self.address.parse().unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect(&address.into()).unwrap();
        send_on(patient(socket.into()), path, body)
    }

    /// Asks and waits for the whole answer.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.send(path, &body.to_string()))
    }

    /// Asks for a completion with these further fields.
    pub fn complete(&self, more: Value) -> Answer {
        self.post("/v1/completions", &self.completion(more))
    }

    /// A request for a greedy completion with these further fields.
    pub fn completion(&self, more: Value) -> Value {
        let mut body = serde_json::json!({"model": self.model(), "prompt": "abc", "max_tokens": 4, "temperature": 0});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    /// Gets a path with further header lines.
    pub fn get(&self, path: &str, more: &str) -> Answer {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n").unwrap();
        answer(stream)
    }

    /// Waits until nothing waits or is computed.
    pub fn wait_until_idle(&self) {
        self.wait_for(|active| active == 0);
    }

    /// Waits until so many jobs wait or are computed.
    pub fn wait_for(&self, wanted: impl Fn(u64) -> bool) {
        while !wanted(self.get("/health", "").json()["active"].as_u64().unwrap()) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        // SAFETY: a plain system call; the process is ours and not reaped yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) }, 0);
    }

    /// Waits for its end: the exit code and what else it printed on stdout.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn send_on(mut stream: TcpStream, path: &str, body: &str) -> TcpStream {
    stream.write_all(Server::head(path, body.len(), "").as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

/// Reads an answer to its end.
pub fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let _ = stream.shutdown(Shutdown::Both);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head}"));
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    Answer { status, body: if chunked { unchunked(body) } else { body.to_owned() } }
}

/// Puts the chunks of a body together.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}
