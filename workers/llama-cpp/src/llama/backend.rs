//! The library as such: start, version, build flags, devices.

use super::{log, text};
use llama_cpp_sys_2 as sys;
use std::collections::BTreeMap;
use tokometer_protocol::Device;

/// Version of the crate that carries the library; pinned in Cargo.toml.
const SYS_CRATE: &str = "0.1.161";

/// Starts the library; once per process.
pub fn init() {
    log::install();
    // SAFETY: called once, before anything else of the library.
    unsafe {
        sys::ggml_backend_load_all();
        sys::llama_backend_init();
    }
}

/// What the engine calls its version.
pub fn version() -> String {
    // SAFETY: returns a static string.
    let own = unsafe { text(sys::llama_version()) };
    format!("{own} (llama-cpp-sys-2 {SYS_CRATE})")
}

/// How the library was built: flags of the processor code, features, compiler options.
pub fn build_info() -> BTreeMap<String, String> {
    // SAFETY: all return static strings.
    let (system, ggml, commit) =
        unsafe { (text(sys::llama_print_system_info()), text(sys::ggml_version()), text(sys::ggml_commit())) };
    let features = [
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
        ("rocm", cfg!(feature = "rocm")),
        ("vulkan", cfg!(feature = "vulkan")),
    ];
    let features: Vec<_> = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    BTreeMap::from([
        ("system_info".into(), system.trim().to_owned()),
        ("ggml".into(), format!("{ggml} {commit}").trim().to_owned()),
        ("llama-cpp-sys-2".into(), SYS_CRATE.into()),
        ("gpu_features".into(), if features.is_empty() { "none".into() } else { features.join(",") }),
        ("openmp".into(), "off".into()),
    ])
}

/// The devices that the library can use, GPUs first.
pub fn devices() -> Vec<Device> {
    // SAFETY: indices below the count are valid; the strings live as long as the device, that is for ever.
    let mut all: Vec<_> =
        unsafe { (0..sys::ggml_backend_dev_count()).map(|i| describe(sys::ggml_backend_dev_get(i))) }.collect();
    all.sort_by_key(|device| device.kind == "cpu");
    all
}

/// # Safety
/// `device` comes from the library's device list.
unsafe fn describe(device: sys::ggml_backend_dev_t) -> Device {
    let (mut free, mut total) = (0, 0);
    // SAFETY: the caller's promise; the out-pointers are valid.
    unsafe {
        sys::ggml_backend_dev_memory(device, &mut free, &mut total);
        let kind = match sys::ggml_backend_dev_type(device) {
            sys::GGML_BACKEND_DEVICE_TYPE_CPU => "cpu",
            sys::GGML_BACKEND_DEVICE_TYPE_GPU | sys::GGML_BACKEND_DEVICE_TYPE_IGPU => "gpu",
            _ => "accel",
        };
        Device {
            name: text(sys::ggml_backend_dev_name(device)),
            description: text(sys::ggml_backend_dev_description(device)),
            kind: kind.into(),
            memory_bytes: (total > 0).then_some(total as u64),
        }
    }
}
