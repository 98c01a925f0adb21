//! Errors as OpenAI's API tells them: a status and an object with message, type, parameter and code.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokometer_core::engine::{Failed, Kind};

/// An error that a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The type: `invalid_request_error`, `server_error`, ...
    pub kind: &'static str,
    /// The code, where there is one that programs decide by.
    pub code: Option<&'static str>,
    /// The parameter that is wrong.
    pub param: Option<&'static str>,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl ApiError {
    /// Something in the request is wrong: 400.
    pub fn invalid(param: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::request(400, None, Some(param), message)
    }

    /// The body is no request: 400.
    pub fn body(message: impl Into<String>) -> ApiError {
        ApiError::request(400, None, None, message)
    }

    /// The client's fault.
    pub fn request(
        status: u16,
        code: Option<&'static str>,
        param: Option<&'static str>,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError { status, kind: "invalid_request_error", code, param, message: message.into() }
    }

    /// Prompt and generated tokens do not fit: 400, `context_length_exceeded`.
    pub fn too_long(param: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::request(400, Some("context_length_exceeded"), Some(param), message)
    }

    /// It cannot be served now: 503. Clients try again.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { status: 503, kind: "server_error", code: Some(code), param: None, message: message.into() }
    }

    /// What an engine's failure is to a client.
    pub fn engine(failed: &Failed) -> ApiError {
        let server =
            |status, code, message| ApiError { status, kind: "server_error", code: Some(code), param: None, message };
        match failed.kind {
            Kind::Unsupported => ApiError::request(400, Some("unsupported"), None, failed.reason.clone()),
            Kind::NotInstalled => {
                server(503, "engine_not_available", format!("the engine cannot be started: {}", failed.reason))
            }
            Kind::Error => server(500, "engine_error", format!("the engine failed: {}", failed.reason)),
            Kind::Crash | Kind::Hang | Kind::Garbage | Kind::OutOfMemory => {
                let message = format!("the engine failed and is started again for the next request: {failed}");
                server(500, "engine_failed", message)
            }
        }
    }

    /// The JSON object.
    pub fn object(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(&self.object());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.status == 401 {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A value as the whole response.
pub fn json_response(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_the_four_fields_that_clients_read() {
        let error = ApiError::too_long("messages", "too long");
        let wanted = json!({"error": {
            "message": "too long", "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"
        }});
        assert_eq!(error.object(), wanted);
        assert_eq!(error.into_response().status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn what_the_engine_cannot_do_is_the_clients_fault_and_a_crash_is_ours() {
        assert_eq!(ApiError::engine(&Failed::new(Kind::Unsupported, "no")).status, 400);
        let crash = ApiError::engine(&Failed::new(Kind::Crash, "signal 11"));
        assert_eq!((crash.status, crash.kind), (500, "server_error"));
        assert!(crash.message.contains("signal 11"), "{}", crash.message);
    }
}
