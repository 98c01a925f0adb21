//! From events to an answer: all at once, or as server-sent events while they come.

use crate::error::{ApiError, json_response};
use crate::queue::{Chunk, Event, Ticket};
use crate::reply::{Head, Usage};
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_core::Stream;
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Bytes that go out together. What is left waits in the queue, where it is bounded.
const TOGETHER: usize = 64 << 10;

/// Waits for all prompts of a request and answers at once.
///
/// # Errors
/// One of them failed.
pub async fn whole(head: Head, tickets: Vec<Ticket>) -> Result<Response, ApiError> {
    let (mut choices, mut usage) = (Vec::new(), Usage::default());
    for (index, mut ticket) in tickets.into_iter().enumerate() {
        let mut all = Chunk::default();
        let finish = loop {
            match ticket.events.recv().await {
                Some(Event::Begun { prompt_tokens }) => usage.prompt += u64::from(prompt_tokens),
                Some(Event::Chunk(chunk)) => {
                    all.text.push_str(&chunk.text);
                    all.tokens.extend(chunk.tokens);
                }
                Some(Event::Ended { completion_tokens, finish }) => {
                    usage.completion += u64::from(completion_tokens);
                    break finish;
                }
                Some(Event::Failed(error)) => return Err(error),
                Some(Event::Tokens(_) | Event::Text(_)) | None => return Err(lost()),
            }
        };
        choices.push(head.choice(index, &all, finish));
    }
    Ok(json_response(&head.whole(choices, usage)))
}

/// Answers with a stream as soon as the first prompt is accepted.
///
/// # Errors
/// It was refused.
pub async fn streamed(head: Head, mut tickets: Vec<Ticket>, tells_usage: bool) -> Result<Response, ApiError> {
    let mut usage = Usage::default();
    if let Some(first) = tickets.first_mut() {
        match first.events.recv().await {
            Some(Event::Begun { prompt_tokens }) => usage.prompt += u64::from(prompt_tokens),
            Some(Event::Failed(error)) => return Err(error),
            Some(_) | None => return Err(lost()),
        }
    }
    let events = Events { head, tickets: tickets.into(), index: 0, offset: None, usage, tells_usage, over: false };
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn lost() -> ApiError {
    ApiError::unavailable("engine_not_available", "the engine is gone: the server must be started again")
}

/// The events of a request's prompts, one prompt after the other. Dropped when the client leaves.
struct Events {
    head: Head,
    tickets: VecDeque<Ticket>,
    /// Of the choice that is being told.
    index: usize,
    /// Characters of it that were told; `None` before its first chunk.
    offset: Option<usize>,
    usage: Usage,
    tells_usage: bool,
    over: bool,
}

impl Events {
    /// What is sent of an event; appended to what goes out together.
    fn tell(&mut self, event: Event, out: &mut Vec<u8>) {
        match event {
            Event::Begun { prompt_tokens } => self.usage.prompt += u64::from(prompt_tokens),
            Event::Chunk(chunk) => {
                let delta = self.head.delta(self.index, &chunk, self.offset, None);
                self.offset = Some(self.offset.unwrap_or(0) + chunk.text.chars().count());
                self.chunk(vec![delta], out);
            }
            Event::Ended { completion_tokens, finish } => {
                self.usage.completion += u64::from(completion_tokens);
                let delta = self.head.delta(self.index, &Chunk::default(), self.offset, Some(finish));
                self.chunk(vec![delta], out);
                self.tickets.pop_front();
                (self.index, self.offset) = (self.index + 1, None);
            }
            // Nobody streams these.
            Event::Tokens(_) | Event::Text(_) => (),
            Event::Failed(error) => {
                write(out, &error.object());
                self.over = true;
            }
        }
    }

    fn chunk(&self, choices: Vec<Value>, out: &mut Vec<u8>) {
        write(out, &self.head.chunk(choices, self.tells_usage.then_some(None)));
    }

    /// The end of a stream in which nothing went wrong.
    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.tells_usage {
            write(out, &self.head.chunk(Vec::new(), Some(Some(self.usage))));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        self.over = true;
    }
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    /// What is there goes out together, as long as it is not much.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let mut out = Vec::new();
        while !this.over && out.len() < TOGETHER {
            let Some(ticket) = this.tickets.front_mut() else {
                this.finish(&mut out);
                break;
            };
            let event = match out.is_empty() {
                true => ready!(ticket.events.poll_recv(context)),
                false => match ticket.events.try_recv() {
                    Ok(event) => Some(event),
                    // Nothing more for now, or for ever: the next poll tells which.
                    Err(_) => break,
                },
            };
            this.tell(event.unwrap_or_else(|| Event::Failed(lost())), &mut out);
        }
        match out.is_empty() {
            true => Poll::Ready(None),
            false => Poll::Ready(Some(Ok(Bytes::from(out)))),
        }
    }
}

/// One server-sent event.
fn write(out: &mut Vec<u8>, value: &Value) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(value.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Queue;
    use crate::queue::tests::wanted;
    use crate::reply::Shape;
    use tokometer_protocol::Finish;

    /// The body of a streamed answer to these events.
    fn body(events: Vec<Event>, tells_usage: bool) -> Result<String, ApiError> {
        let (queue, jobs) = Queue::new(1, crate::queue::KEPT);
        let ticket = queue.put(wanted("a")).unwrap();
        let job = jobs.recv().unwrap();
        for event in events {
            job.tell(event);
        }
        drop(job);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let response = streamed(Head::new(Shape::Text, "m", "f", false), vec![ticket], tells_usage).await?;
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            Ok(String::from_utf8(bytes.to_vec()).unwrap())
        })
    }

    fn chunk(text: &str) -> Event {
        Event::Chunk(Chunk { text: text.into(), tokens: Vec::new() })
    }

    #[test]
    fn a_stream_ends_with_usage_and_done() {
        let ended = Event::Ended { completion_tokens: 2, finish: Finish::Length };
        let text = body(vec![Event::Begun { prompt_tokens: 3 }, chunk("a"), chunk("b"), ended], true).unwrap();
        let events: Vec<&str> = text.split("\n\n").filter(|event| !event.is_empty()).collect();
        assert_eq!(events.len(), 5, "{text}");
        assert!(events[0].contains(r#""text":"a""#) && events[0].contains(r#""usage":null"#), "{text}");
        assert!(events[2].contains(r#""finish_reason":"length""#), "{text}");
        assert!(events[3].contains(r#""total_tokens":5"#) && events[3].contains(r#""choices":[]"#), "{text}");
        assert_eq!(events[4], "data: [DONE]");
    }

    #[test]
    fn a_failure_before_the_first_token_is_a_status_and_later_an_event() {
        let error = ApiError::unavailable("x", "gone");
        assert_eq!(body(vec![Event::Failed(error.clone())], false).unwrap_err(), error);
        let text = body(vec![Event::Begun { prompt_tokens: 3 }, chunk("a"), Event::Failed(error)], false).unwrap();
        assert!(text.contains(r#""message":"gone""#) && !text.contains("[DONE]"), "{text}");
        // A thread that ends without a word is a failure, too.
        let text = body(vec![Event::Begun { prompt_tokens: 3 }, chunk("a")], false).unwrap();
        assert!(text.contains("the engine is gone") && !text.contains("[DONE]"), "{text}");
    }
}
