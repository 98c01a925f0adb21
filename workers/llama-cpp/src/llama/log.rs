//! llama.cpp's log: everything goes to stderr (and so into the raw log); the last complaint and the facts that the
//! library tells nowhere else are kept.

use llama_cpp_sys_2 as sys;
use std::ffi::{c_char, c_void};
use std::io::Write;
use std::sync::Mutex;

#[derive(Default)]
struct Kept {
    error: Option<String>,
    flash_attn: Option<bool>,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { error: None, flash_attn: None });

/// Routes the library's log here. Called once.
pub fn install() {
    // SAFETY: `on_log` is a plain function that lives for ever and ignores its user data.
    unsafe { sys::llama_log_set(Some(on_log), std::ptr::null_mut()) };
}

unsafe extern "C" fn on_log(level: sys::ggml_log_level, message: *const c_char, _: *mut c_void) {
    if level == sys::GGML_LOG_LEVEL_DEBUG {
        return;
    }
    // SAFETY: llama.cpp passes a NUL-terminated string.
    let message = unsafe { super::text(message) };
    let _ = std::io::stderr().lock().write_all(message.as_bytes());
    let Ok(mut kept) = KEPT.lock() else { return };
    if level == sys::GGML_LOG_LEVEL_ERROR {
        kept.error = Some(message.trim().to_owned());
    }
    // What llama.cpp says while it makes a context (llama-context.cpp of the pinned version).
    if message.contains("Flash Attention enabled") || message.contains("enabling flash_attn") {
        kept.flash_attn = Some(true);
    }
    if message.contains("Flash Attention not supported") || message.contains("flash_attn is not compatible") {
        kept.flash_attn = Some(false);
    }
}

/// Takes the last error that the library logged.
pub fn last_error() -> Option<String> {
    KEPT.lock().ok()?.error.take()
}

/// Takes what the library decided about flash attention where it was left to it.
pub fn flash_attn_choice() -> Option<bool> {
    KEPT.lock().ok()?.flash_attn.take()
}
