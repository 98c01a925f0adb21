//! llama.cpp's log: everything goes to stderr (and so into the raw log); the last complaint and the facts that the
//! library tells nowhere else are kept.

use llama_cpp_sys_2 as sys;
use std::ffi::{c_char, c_void};
use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

#[derive(Default)]
struct Kept {
    error: Option<String>,
    flash_attn: Option<bool>,
    /// Hears of tensors that are quantized.
    tensors: Option<Sender<(u64, u64)>>,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { error: None, flash_attn: None, tensors: None });

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
    if let (Some(tensors), Some(place)) = (&kept.tensors, place(&message)) {
        // Nobody listens any more: then nobody is told.
        let _ = tensors.send(place);
    }
    // What llama.cpp says while it makes a context (llama-context.cpp of the pinned version).
    if message.contains("Flash Attention enabled") || message.contains("enabling flash_attn") {
        kept.flash_attn = Some(true);
    }
    if message.contains("Flash Attention not supported") || message.contains("flash_attn is not compatible") {
        kept.flash_attn = Some(false);
    }
}

/// Which tensor of how many a line of the quantizer begins with: `[   3/ 147] blk.0.attn_k.weight - ...` (llama-quant.cpp of the
/// pinned version).
fn place(message: &str) -> Option<(u64, u64)> {
    let (done, total) = message.trim_start().strip_prefix('[')?.split_once(']')?.0.split_once('/')?;
    let (done, total) = (done.trim().parse().ok()?, total.trim().parse().ok()?);
    (done <= total).then_some((done, total))
}

/// Tells from now on which tensor of how many is quantized, until [`no_more_tensors`].
pub fn tensors() -> Receiver<(u64, u64)> {
    let (sender, receiver) = channel();
    if let Ok(mut kept) = KEPT.lock() {
        kept.tensors = Some(sender);
    }
    receiver
}

/// Ends what [`tensors`] began.
pub fn no_more_tensors() {
    if let Ok(mut kept) = KEPT.lock() {
        kept.tensors = None;
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

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_line_of_the_quantizer_tells_how_far_it_is() {
        assert_eq!(place("[   3/ 147] blk.0.attn_k.weight                  - [ 2048,   512], "), Some((3, 147)));
        assert_eq!(place("[1234/1234] output.weight - "), Some((1234, 1234)));
        for other in ["converting to q4_K .. ", "size = 4.00 MiB", "[] [1/x]", "[9/3] x", "[2048, 512]", ""] {
            assert_eq!(place(other), None, "{other}");
        }
    }
}
