//! llama.cpp's own sampling: temperature, then top-p, then a draw.

use super::{Result, failure};
use llama_cpp_sys_2 as sys;
use std::ptr::NonNull;
use tokometer_protocol::FailureKind;

/// A chain of samplers; freed on drop.
pub struct Sampler(NonNull<sys::llama_sampler>);

impl Sampler {
    /// Draws at a temperature above 0 from the most probable tokens that reach `top_p` together.
    pub fn new(temperature: f32, top_p: f32, seed: u32) -> Result<Sampler> {
        // The largest number asks llama.cpp for a seed of its own choice.
        let seed = seed.min(u32::MAX - 1);
        // SAFETY: the chain takes what is added to it; nothing else refers to the samplers.
        let chain = unsafe {
            let mut params = sys::llama_sampler_chain_default_params();
            params.no_perf = true;
            let chain = sys::llama_sampler_chain_init(params);
            if !chain.is_null() {
                sys::llama_sampler_chain_add(chain, sys::llama_sampler_init_temp(temperature));
                if top_p < 1.0 {
                    sys::llama_sampler_chain_add(chain, sys::llama_sampler_init_top_p(top_p, 1));
                }
                sys::llama_sampler_chain_add(chain, sys::llama_sampler_init_dist(seed));
            }
            chain
        };
        NonNull::new(chain)
            .map(Sampler)
            .ok_or_else(|| failure(FailureKind::Engine, "llama.cpp could not make a sampler"))
    }

    /// The raw pointer, for contexts.
    pub(super) fn raw(&mut self) -> *mut sys::llama_sampler {
        self.0.as_ptr()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // SAFETY: ours alone; its parts go with it.
        unsafe { sys::llama_sampler_free(self.0.as_ptr()) };
    }
}
