//! A server that is started for a benchmark, and one streamed completion with the time of its tokens, over a plain socket.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to load its model.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server; killed when dropped.
pub struct Endpoint {
    child: Child,
    /// Host and port.
    pub address: String,
}

/// What a streamed completion took.
#[derive(Debug, Clone, Copy)]
pub struct Streamed {
    /// From the request to the first text, seconds.
    pub first_s: f64,
    /// From the first text to the end, seconds.
    pub rest_s: f64,
    /// Events with text.
    pub events: usize,
}

impl Endpoint {
    /// Starts a server that prints one line with its address when it is ready.
    pub fn announced(mut command: Command) -> Result<(Endpoint, Value)> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the server")?;
        let stdout = child.stdout.take().ok_or_else(|| anyhow!("the server has no stdout"))?;
        let mut endpoint = Endpoint { child, address: String::new() };
        let line = first_line(stdout)?;
        let ready: Value =
            serde_json::from_str(&line).with_context(|| format!("the server printed no JSON: {line:?}"))?;
        let url = ready["url"].as_str().unwrap_or_default();
        let address = url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        endpoint.address = address.ok_or_else(|| anyhow!("the server told no address: {ready}"))?.to_owned();
        Ok((endpoint, ready))
    }

    /// Starts a server on this port and waits until `/health` is 200.
    pub fn on_port(mut command: Command, port: u16) -> Result<Endpoint> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot start the server")?;
        let mut endpoint = Endpoint { child, address: format!("127.0.0.1:{port}") };
        let deadline = Instant::now() + PATIENCE;
        while !endpoint.is_healthy() {
            if let Some(status) = endpoint.child.try_wait()? {
                bail!("the server ended with {status}");
            }
            if Instant::now() > deadline {
                bail!("the server was not ready after {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(endpoint)
    }

    fn is_healthy(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        let mut answer = String::new();
        let asked = write!(stream, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
    }

    /// One streamed completion. The clock is read when bytes have come, and nothing else is done meanwhile.
    pub fn complete(&self, body: &Value) -> Result<Streamed> {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).context("cannot connect to the server")?;
        stream.set_nodelay(true)?;
        let request = format!(
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut arrived: Vec<(f64, Vec<u8>)> = Vec::with_capacity(1024);
        let mut buffer = vec![0; 1 << 16];
        let begun = Instant::now();
        stream.write_all(request.as_bytes())?;
        loop {
            match stream.read(&mut buffer)? {
                0 => break,
                n => arrived.push((begun.elapsed().as_secs_f64(), buffer[..n].to_vec())),
            }
        }
        read(&arrived)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_line(stdout: impl Read) -> Result<String> {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).context("cannot read what the server prints")?;
    Ok(line)
}

/// The times of text in what arrived. An event counts when its last byte was there.
fn read(arrived: &[(f64, Vec<u8>)]) -> Result<Streamed> {
    let (mut pending, mut texts, mut ended) = (String::new(), Vec::new(), None);
    for (seconds, bytes) in arrived {
        pending.push_str(&String::from_utf8_lossy(bytes));
        while let Some((line, rest)) = pending.split_once('\n').map(|(line, rest)| (line.to_owned(), rest.to_owned())) {
            pending = rest;
            let Some(data) = line.trim_end().strip_prefix("data: ") else { continue };
            let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
            if !event["error"].is_null() {
                bail!("the server answered {event}");
            }
            if event["choices"][0]["text"].as_str().is_some_and(|text| !text.is_empty()) {
                texts.push(*seconds);
            }
            if event["choices"][0]["finish_reason"].is_string() {
                ended = Some(*seconds);
            }
        }
    }
    match (texts.first(), ended) {
        (Some(first), Some(end)) => Ok(Streamed { first_s: *first, rest_s: end - first, events: texts.len() }),
        _ => bail!("the stream brought no text or did not end: {:.300}", pending),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_timed_by_their_last_byte() {
        let part = |seconds: f64, text: &str| (seconds, text.as_bytes().to_vec());
        let event = |text: &str, finish: &str| {
            format!("data: {{\"choices\":[{{\"text\":\"{text}\",\"finish_reason\":{finish}}}]}}\n\n")
        };
        let (first, last) = (event("a", "null"), event("", "\"length\""));
        let arrived =
            [part(0.5, &first[..20]), part(1.0, &first[20..]), part(3.0, &event("b", "null")), part(3.5, &last)];
        let streamed = read(&arrived).unwrap();
        assert_eq!((streamed.first_s, streamed.rest_s, streamed.events), (1.0, 2.5, 2));
        assert!(read(&arrived[..2]).is_err());
    }
}
