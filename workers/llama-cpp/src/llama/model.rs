//! A loaded model and its vocabulary.

use super::{Pieces, Result, failure, text};
use llama_cpp_sys_2 as sys;
use std::ffi::{CString, c_void};
use std::ptr::NonNull;
use tokometer_protocol::FailureKind;

/// A model in memory; freed on drop.
pub struct Model {
    raw: NonNull<sys::llama_model>,
    path: String,
}

/// Called with the fraction that is loaded.
pub type OnProgress<'a> = &'a mut dyn FnMut(f32);

unsafe extern "C" fn on_progress(fraction: f32, user: *mut c_void) -> bool {
    // SAFETY: `user` is the closure that `Model::load` keeps alive during the call.
    let report = unsafe { &mut *user.cast::<OnProgress<'_>>() };
    report(fraction);
    true
}

impl Model {
    /// Loads a GGUF file. `device` is a name from the device list; `CPU` keeps every layer off the GPUs.
    pub fn load(
        path: &str,
        device: Option<&str>,
        gpu_layers: Option<i32>,
        mut progress: OnProgress<'_>,
    ) -> Result<Model> {
        let c_path = CString::new(path).map_err(|_| failure(FailureKind::Model, "the path holds a NUL byte"))?;
        // SAFETY: plain default values.
        let mut params = unsafe { sys::llama_model_default_params() };
        let mut chosen = match device {
            None => None,
            Some(name) if name.eq_ignore_ascii_case("cpu") => {
                params.n_gpu_layers = 0;
                Some(vec![std::ptr::null_mut()])
            }
            Some(name) => Some(vec![device_by_name(name)?, std::ptr::null_mut()]),
        };
        if let Some(list) = &mut chosen {
            params.devices = list.as_mut_ptr();
        }
        if let Some(layers) = gpu_layers {
            params.n_gpu_layers = layers;
        }
        params.progress_callback = Some(on_progress);
        params.progress_callback_user_data = (&raw mut progress).cast();
        // SAFETY: the path, the device list and the closure outlive the call.
        let raw = unsafe { sys::llama_model_load_from_file(c_path.as_ptr(), params) };
        let raw =
            NonNull::new(raw).ok_or_else(|| failure(FailureKind::Model, format!("llama.cpp could not load {path}")))?;
        Ok(Model { raw, path: path.to_owned() })
    }

    /// The raw pointer, for contexts.
    pub(super) fn raw(&self) -> *mut sys::llama_model {
        self.raw.as_ptr()
    }

    fn vocab(&self) -> *const sys::llama_vocab {
        // SAFETY: the model lives.
        unsafe { sys::llama_model_get_vocab(self.raw()) }
    }

    /// Number of token ids.
    pub fn vocab_size(&self) -> u32 {
        // SAFETY: the vocabulary lives as long as the model.
        unsafe { sys::llama_vocab_n_tokens(self.vocab()) as u32 }
    }

    /// The id that begins a text, if there is one.
    pub fn bos(&self) -> Option<u32> {
        // SAFETY: as above. Negative means none.
        u32::try_from(unsafe { sys::llama_vocab_bos(self.vocab()) }).ok()
    }

    /// Tokens of context that the model was trained for, where the file tells.
    pub fn ctx_train(&self) -> Option<u32> {
        // SAFETY: the model lives.
        u32::try_from(unsafe { sys::llama_model_n_ctx_train(self.raw()) }).ok().filter(|n| *n > 0)
    }

    /// Bytes of all tensors as stored.
    pub fn weights_bytes(&self) -> u64 {
        // SAFETY: the model lives.
        unsafe { sys::llama_model_size(self.raw()) }
    }

    /// Number of parameters.
    pub fn n_params(&self) -> u64 {
        // SAFETY: the model lives.
        unsafe { sys::llama_model_n_params(self.raw()) }
    }

    /// Bytes that a decode step reads: all but the token embedding where the output has a matrix of its own.
    /// `None` for a mixture of experts, which reads those that it picks.
    pub fn weights_read_bytes(&self) -> Option<u64> {
        let arch = self.meta("general.architecture")?;
        if self.meta(&format!("{arch}.expert_count")).is_some_and(|count| count != "0") {
            return None;
        }
        let c_path = CString::new(self.path.as_str()).ok()?;
        let params = sys::gguf_init_params { no_alloc: true, ctx: std::ptr::null_mut() };
        // SAFETY: only metadata is read; the context is freed before returning.
        unsafe {
            let file = sys::gguf_init_from_file(c_path.as_ptr(), params);
            if file.is_null() {
                return None;
            }
            let has_output = sys::gguf_find_tensor(file, c"output.weight".as_ptr()) >= 0;
            let embedding = sys::gguf_find_tensor(file, c"token_embd.weight".as_ptr());
            let embedding_bytes = if embedding >= 0 { sys::gguf_get_tensor_size(file, embedding) as u64 } else { 0 };
            sys::gguf_free(file);
            self.weights_bytes().checked_sub(if has_output { embedding_bytes } else { 0 })
        }
    }

    /// The file's quantization by llama.cpp's short name, as `Q4_K_M`.
    pub fn quantization(&self) -> String {
        // SAFETY: the model lives; the name is a static string.
        unsafe {
            let ftype = sys::llama_model_ftype(self.raw());
            match super::QUANTIZATIONS.iter().find(|(_, known)| *known == ftype) {
                Some((name, _)) => (*name).to_owned(),
                None => text(sys::llama_ftype_name(ftype)),
            }
        }
    }

    /// Layers, KV heads x head size of keys and of values; `None` where the cache does not follow that form.
    pub(super) fn kv_geometry(&self) -> Option<(u64, u64, u64)> {
        // SAFETY: the model lives.
        unsafe {
            if sys::llama_model_n_swa(self.raw()) > 0
                || sys::llama_model_is_recurrent(self.raw())
                || sys::llama_model_is_hybrid(self.raw())
            {
                return None;
            }
            let heads = u64::try_from(sys::llama_model_n_head(self.raw())).ok().filter(|n| *n > 0)?;
            let kv_heads = u64::try_from(sys::llama_model_n_head_kv(self.raw())).ok()?;
            let embedding = u64::try_from(sys::llama_model_n_embd(self.raw())).ok()?;
            let layers = u64::try_from(sys::llama_model_n_layer(self.raw())).ok()?;
            let arch = self.meta("general.architecture")?;
            let size = |what: &str| {
                self.meta(&format!("{arch}.attention.{what}_length"))
                    .and_then(|v| v.parse().ok())
                    .unwrap_or(embedding / heads)
            };
            Some((layers, kv_heads * size("key"), kv_heads * size("value")))
        }
    }

    fn meta(&self, key: &str) -> Option<String> {
        let key = CString::new(key).ok()?;
        let mut buffer = vec![0u8; 256];
        // SAFETY: the buffer's length is passed; the result is NUL-terminated within it.
        let length = unsafe {
            sys::llama_model_meta_val_str(self.raw(), key.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
        };
        let length = usize::try_from(length).ok()?.min(buffer.len() - 1);
        buffer.truncate(length);
        String::from_utf8(buffer).ok()
    }

    /// Text to ids; with `parse_special` the names of special tokens become those tokens.
    pub fn tokenize(&self, input: &str, add_special: bool, parse_special: bool) -> Result<Vec<u32>> {
        let length =
            i32::try_from(input.len()).map_err(|_| failure(FailureKind::Unsupported, "the text is over 2 GiB"))?;
        let mut tokens = vec![0i32; input.len() + 8];
        // SAFETY: buffer and lengths belong together; the call writes at most `tokens.len()` ids.
        let n = unsafe {
            sys::llama_tokenize(
                self.vocab(),
                input.as_ptr().cast(),
                length,
                tokens.as_mut_ptr(),
                tokens.len() as i32,
                add_special,
                parse_special,
            )
        };
        let n =
            usize::try_from(n).map_err(|_| failure(FailureKind::Engine, "llama.cpp could not tokenize the text"))?;
        tokens.truncate(n);
        Ok(tokens.into_iter().map(|t| t as u32).collect())
    }

    /// Whether this token ends a generation.
    pub fn ends(&self, token: u32) -> bool {
        // SAFETY: the vocabulary lives as long as the model; the id is inside of it.
        unsafe { sys::llama_vocab_is_eog(self.vocab(), token as i32) }
    }

    /// The ids that end a generation, the model's EOS first.
    pub fn eos(&self) -> Vec<u32> {
        // SAFETY: as above. Negative means none.
        let own = u32::try_from(unsafe { sys::llama_vocab_eos(self.vocab()) }).ok();
        let others = (0..self.vocab_size()).filter(|token| Some(*token) != own && self.ends(*token));
        own.into_iter().chain(others).collect()
    }

    /// The chat template that the file carries.
    pub fn chat_template(&self) -> Option<String> {
        // SAFETY: the model lives; null asks for the default template; the text is copied.
        let template = unsafe { text(sys::llama_model_chat_template(self.raw(), std::ptr::null())) };
        (!template.is_empty()).then_some(template)
    }

    /// The text of each token, special ones by their names; a character that spans tokens is given to the one that ends it.
    pub fn pieces(&self, tokens: &[u32]) -> Vec<String> {
        let mut pieces = Pieces::with_special();
        let mut texts: Vec<String> = tokens.iter().map(|token| pieces.push(self, *token)).collect();
        if let Some(last) = texts.last_mut() {
            last.push_str(&pieces.rest());
        }
        texts
    }

    /// The bytes of one token; of a special one its name or nothing.
    pub(super) fn piece_bytes(&self, token: u32, special: bool) -> Vec<u8> {
        let mut buffer = vec![0u8; 64];
        loop {
            // SAFETY: the buffer's length is passed; the call writes no more than that.
            let n = unsafe {
                sys::llama_token_to_piece(
                    self.vocab(),
                    token as i32,
                    buffer.as_mut_ptr().cast(),
                    buffer.len() as i32,
                    0,
                    special,
                )
            };
            if n >= 0 {
                buffer.truncate(n as usize);
                return buffer;
            }
            buffer.resize(n.unsigned_abs() as usize, 0);
        }
    }
}

fn device_by_name(name: &str) -> Result<sys::ggml_backend_dev_t> {
    let c_name =
        CString::new(name).map_err(|_| failure(FailureKind::Unsupported, "the device name holds a NUL byte"))?;
    // SAFETY: the name outlives the call.
    let device = unsafe { sys::ggml_backend_dev_by_name(c_name.as_ptr()) };
    if device.is_null() {
        let known: Vec<_> = super::devices().into_iter().map(|d| d.name).collect();
        return Err(failure(
            FailureKind::Unsupported,
            format!("llama.cpp has no device {name:?} here; it has {}", known.join(", ")),
        ));
    }
    Ok(device)
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the model any more: contexts borrow it.
        unsafe { sys::llama_model_free(self.raw()) };
    }
}
