//! NVIDIA GPUs through the library that comes with the driver (NVML API reference: `nvmlDeviceGetTotalEnergyConsumption`
//! in mJ since the driver was loaded, Volta and newer; `nvmlDeviceGetPowerUsage` in mW). It is looked for when the program
//! runs, so that machines without the driver need nothing. A read takes microseconds, where `nvidia-smi` takes a tenth of
//! a second and has no counter.

use super::{Source, Told};
use libc::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ffi::CStr;

type Init = unsafe extern "C" fn() -> c_int;
type Count = unsafe extern "C" fn(*mut c_uint) -> c_int;
type Handle = unsafe extern "C" fn(c_uint, *mut *mut c_void) -> c_int;
type Name = unsafe extern "C" fn(*mut c_void, *mut c_char, c_uint) -> c_int;
type TotalEnergy = unsafe extern "C" fn(*mut c_void, *mut c_ulonglong) -> c_int;
type Power = unsafe extern "C" fn(*mut c_void, *mut c_uint) -> c_int;

/// What every function returns when it worked.
const SUCCESS: c_int = 0;
/// Room for a GPU's name (NVML_DEVICE_UUID_V2_BUFFER_SIZE).
const NAME_BYTES: usize = 96;

/// One GPU.
#[derive(Debug)]
pub(super) struct Gpu {
    /// The library's handle, kept as a number: it is only ever given back to the library, from any thread.
    handle: usize,
    uuid: String,
    total_energy: Option<TotalEnergy>,
    power: Option<Power>,
}

/// All GPUs that the driver shows; none where there is no driver.
pub(super) fn open() -> Vec<Gpu> {
    // SAFETY: the library is the driver's own; its name is a string that ends in NUL. It is never closed again.
    let library = unsafe { libc::dlopen(c"libnvidia-ml.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() {
        return Vec::new();
    }
    gpus(library).unwrap_or_default()
}

fn gpus(library: *mut c_void) -> Option<Vec<Gpu>> {
    // SAFETY: the types are those of the library's reference.
    let (init, count, handle, name) = unsafe {
        (
            function::<Init>(library, c"nvmlInit_v2")?,
            function::<Count>(library, c"nvmlDeviceGetCount_v2")?,
            function::<Handle>(library, c"nvmlDeviceGetHandleByIndex_v2")?,
            function::<Name>(library, c"nvmlDeviceGetUUID")?,
        )
    };
    // SAFETY: as above; these two may be missing from old drivers.
    let (total_energy, power) = unsafe {
        (
            function::<TotalEnergy>(library, c"nvmlDeviceGetTotalEnergyConsumption"),
            function::<Power>(library, c"nvmlDeviceGetPowerUsage"),
        )
    };
    let mut devices = 0;
    // SAFETY: initialization comes first, as the reference asks; the number is written to a place of its type.
    if unsafe { init() != SUCCESS || count(&raw mut devices) != SUCCESS } {
        return None;
    }
    let gpu = |index: c_uint| {
        let mut device: *mut c_void = std::ptr::null_mut();
        let mut text: [c_char; NAME_BYTES] = [0; NAME_BYTES];
        // SAFETY: both places are of the types that the library writes, and the text is as long as it is told.
        let failed = unsafe {
            handle(index, &raw mut device) != SUCCESS
                || name(device, text.as_mut_ptr(), NAME_BYTES as c_uint) != SUCCESS
        };
        let bytes: Vec<u8> = text.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
        let uuid = String::from_utf8_lossy(&bytes).into_owned();
        (!failed).then_some(Gpu { handle: device as usize, uuid, total_energy, power })
    };
    Some((0..devices).filter_map(gpu).collect())
}

/// A function of the library.
///
/// # Safety
/// `F` is the type of a pointer to that function.
unsafe fn function<F: Copy>(library: *mut c_void, name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the library is open and the name ends in NUL.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    // SAFETY: `F` is a pointer to this function, says the caller.
    (!address.is_null()).then(|| unsafe { std::mem::transmute_copy::<*mut c_void, F>(&address) })
}

impl Source for Gpu {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn gpu(&self) -> Option<&str> {
        Some(&self.uuid)
    }

    fn read(&mut self) -> Told {
        let device = self.handle as *mut c_void;
        let (mut energy, mut power) = (0, 0);
        // SAFETY: the handle came from the library, which stays open; the places are of the types that it writes.
        let (counted, told) = unsafe {
            (
                self.total_energy.is_some_and(|total| total(device, &raw mut energy) == SUCCESS),
                self.power.is_some_and(|now| now(device, &raw mut power) == SUCCESS),
            )
        };
        Told { joules: counted.then(|| energy as f64 / 1e3), watts: told.then(|| f64::from(power) / 1e3) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_the_driver_has_none_and_nothing_breaks() {
        for mut gpu in open() {
            assert!(!gpu.uuid.is_empty());
            let told = gpu.read();
            assert!(told.joules.is_none_or(|joules| joules >= 0.0) && told.watts.is_none_or(|watts| watts >= 0.0));
        }
    }

    #[test]
    fn a_function_that_is_not_there_is_none() {
        // SAFETY: no name opens the program itself.
        let program = unsafe { libc::dlopen(std::ptr::null(), libc::RTLD_NOW) };
        // SAFETY: nothing is called.
        let found = unsafe { function::<Init>(program, c"nvmlNoSuchFunction") };
        assert!(found.is_none() && gpus(program).is_none());
    }
}
