//! The paths: who may ask, how much, and who answers.

use crate::engine::Model;
use crate::error::{ApiError, json_response};
use crate::queue::{Queue, Wanted};
use crate::reply::{Head, Shape};
use crate::request::Asked;
use crate::server::Settings;
use crate::{chat, completions, stream, text};
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use subtle::ConstantTimeEq;

/// What all requests share.
pub struct Site {
    /// The settings.
    pub settings: Settings,
    /// What is served, once it answers.
    pub model: OnceLock<Model>,
    /// The way to the worker.
    pub queue: Queue,
    /// Whether nothing new is taken any more.
    pub stopping: AtomicBool,
    /// Requests for completions that were answered; one whose answer is streamed counts when that begins.
    pub answered: AtomicU64,
}

impl Site {
    /// The model, if requests can be taken now.
    fn model(&self) -> Result<&Model, ApiError> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(ApiError::unavailable("stopping", "the server is stopping"));
        }
        self.model.get().ok_or_else(|| ApiError::unavailable("loading", "the model is being loaded: try again later"))
    }

    /// Whether the client has the key, if one is asked for. How long this takes tells nothing of the key but its length.
    fn authorize(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(key) = &self.settings.api_key else { return Ok(()) };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let given = given.strip_prefix("Bearer ").unwrap_or_default().trim();
        match bool::from(given.as_bytes().ct_eq(key.as_bytes())) {
            true => Ok(()),
            false => {
                let message = "this server wants its API key as `Authorization: Bearer KEY`";
                Err(ApiError::request(401, Some("invalid_api_key"), None, message))
            }
        }
    }
}

/// All paths.
pub fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat_completions))
        .route("/v1/completions", post(text_completions))
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
        .route("/health", get(health))
        .route("/apply-template", post(apply_template))
        .route("/tokenizer_info", get(tokenizer_info))
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(site)
}

async fn chat_completions(State(site): State<Arc<Site>>, request: Request) -> Response {
    answered(&site, request, Shape::Chat).await.unwrap_or_else(IntoResponse::into_response)
}

async fn text_completions(State(site): State<Arc<Site>>, request: Request) -> Response {
    answered(&site, request, Shape::Text).await.unwrap_or_else(IntoResponse::into_response)
}

async fn apply_template(State(site): State<Arc<Site>>, request: Request) -> Result<Response, ApiError> {
    site.authorize(request.headers())?;
    let model = site.model()?;
    Ok(json_response(&text::apply_template(&body(&site, request).await?, model)?))
}

async fn tokenizer_info(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Response, ApiError> {
    site.authorize(&headers)?;
    Ok(json_response(&text::tokenizer_info(site.model()?)))
}

async fn tokenize(State(site): State<Arc<Site>>, request: Request) -> Result<Response, ApiError> {
    site.authorize(request.headers())?;
    let model = site.model()?;
    let body = body(&site, request).await?;
    Ok(json_response(&text::tokenize(&body, model, &site.queue).await?))
}

async fn detokenize(State(site): State<Arc<Site>>, request: Request) -> Result<Response, ApiError> {
    site.authorize(request.headers())?;
    site.model()?;
    let body = body(&site, request).await?;
    Ok(json_response(&text::detokenize(&body, &site.queue).await?))
}

async fn answered(site: &Site, request: Request, shape: Shape) -> Result<Response, ApiError> {
    site.authorize(request.headers())?;
    let model = site.model()?;
    let body = body(site, request).await?;
    let asked = Asked::read(&body)?;
    drop(body);
    asked.check_model(&site.settings.model)?;
    let wanted: Vec<Wanted> = match shape {
        Shape::Chat => chat::wanted(&asked, model)?,
        Shape::Text => completions::wanted(&asked)?,
    };
    check_room(wanted.len(), site.settings.queue)?;
    let tells_logprobs = wanted.iter().any(|wanted| wanted.top_logprobs.is_some());
    let head = Head::new(shape, &site.settings.model, &model.fingerprint, tells_logprobs);
    let streams = asked.streams();
    drop(asked);
    let tickets = wanted.into_iter().map(|wanted| site.queue.put(wanted)).collect::<Result<Vec<_>, _>>()?;
    let response = match streams {
        Some(tells_usage) => stream::streamed(head, tickets, tells_usage).await,
        None => stream::whole(head, tickets).await,
    };
    if response.is_ok() {
        site.answered.fetch_add(1, Ordering::SeqCst);
    }
    response
}

/// Whether so many prompts ever fit into the queue together. If not, trying again is of no use and the client is told so.
fn check_room(prompts: usize, queue: usize) -> Result<(), ApiError> {
    if prompts <= queue {
        return Ok(());
    }
    let message = format!(
        "{prompts} prompts are more than this server takes in one request: {queue} at most (--parallel-queue); send \
         several requests"
    );
    Err(ApiError::request(400, Some("too_many_prompts"), Some("prompt"), message))
}

/// The whole body, if it comes in time and is not too long.
async fn body(site: &Site, request: Request) -> Result<Bytes, ApiError> {
    let limit = site.settings.body_limit;
    let too_long = || {
        let message = format!("the body is longer than the {limit} bytes that this server takes");
        ApiError::request(413, Some("request_too_large"), None, message)
    };
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    match tokio::time::timeout(site.settings.body_time, to_bytes(request.into_body(), limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.to_string().contains("length limit") => Err(too_long()),
        Ok(Err(error)) => Err(ApiError::body(format!("the body cannot be read: {error}"))),
        Err(_) => {
            let seconds = site.settings.body_time.as_secs();
            let message = format!("the body did not come within {seconds} s");
            Err(ApiError::request(408, Some("request_timeout"), None, message))
        }
    }
}

async fn models(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    listed(&site, &headers, None).unwrap_or_else(IntoResponse::into_response)
}

async fn model(State(site): State<Arc<Site>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    listed(&site, &headers, Some(&id)).unwrap_or_else(IntoResponse::into_response)
}

/// The one model, as a list or by its id.
fn listed(site: &Site, headers: &HeaderMap, id: Option<&str>) -> Result<Response, ApiError> {
    site.authorize(headers)?;
    let model = site.model()?;
    let served = &site.settings.model;
    let entry: Value = json!({
        "id": served, "object": "model", "created": model.created, "owned_by": "tokometer",
        "max_model_len": model.ctx_tokens, "native_quantization": model.native, "parallel": model.sequences,
    });
    match id {
        None => Ok(json_response(&json!({"object": "list", "data": [entry]}))),
        Some(id) if id == served => Ok(json_response(&entry)),
        Some(id) => {
            let message = format!("the model {id:?} is not served here; {served:?} is");
            Err(ApiError::request(404, Some("model_not_found"), Some("model"), message))
        }
    }
}

/// 200 when the model has answered once and requests are taken. Needs no key.
async fn health(State(site): State<Arc<Site>>) -> Response {
    let (status, word) = match site.model() {
        Ok(_) => (StatusCode::OK, "ok"),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.code.unwrap_or("unavailable")),
    };
    let answered = site.answered.load(Ordering::SeqCst);
    let mut response = json_response(&json!({"status": word, "active": site.queue.active(), "answered": answered}));
    *response.status_mut() = status;
    response
}

async fn unknown(request: Request) -> ApiError {
    let message = format!(
        "there is no {} here; there are /v1/chat/completions, /v1/completions, /v1/models and /health",
        request.uri().path()
    );
    ApiError::request(404, Some("unknown_url"), None, message)
}

async fn wrong_method(request: Request) -> ApiError {
    let message = format!("{} is not answered by {}", request.method(), request.uri().path());
    ApiError::request(405, Some("method_not_allowed"), None, message)
}
