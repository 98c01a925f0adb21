//! NVIDIA GPUs, through the program that comes with the driver. Asking takes a tenth of a second: never inside a measured
//! generation.

use std::process::Command;

/// A GPU at the moment. What the driver does not tell is missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Gpu {
    /// The driver's name for this one GPU.
    pub uuid: String,
    /// The model.
    pub name: String,
    /// Share of the last moments in which it computed, percent.
    pub utilization_percent: Option<f64>,
    /// Memory in use by everybody, bytes.
    pub memory_used_bytes: Option<u64>,
    /// Power, watts.
    pub power_watts: Option<f64>,
    /// Temperature, degrees Celsius.
    pub temperature_c: Option<f64>,
}

/// A process that computes on a GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct App {
    /// The process.
    pub pid: u32,
    /// The GPU.
    pub uuid: String,
    /// Its memory there, bytes.
    pub memory_bytes: Option<u64>,
}

/// Asks for all GPUs. `None` where there is no such program or no driver.
pub(crate) fn gpus() -> Option<Vec<Gpu>> {
    ask("--query-gpu=uuid,utilization.gpu,memory.used,power.draw,temperature.gpu,name").map(|text| parse_gpus(&text))
}

/// Asks for all processes that compute on them.
pub(super) fn apps() -> Vec<App> {
    ask("--query-compute-apps=pid,gpu_uuid,used_memory").map(|text| parse_apps(&text)).unwrap_or_default()
}

fn ask(query: &str) -> Option<String> {
    let ran = Command::new("nvidia-smi").args([query, "--format=csv,noheader,nounits"]).output().ok()?;
    ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).into_owned())
}

/// One line per GPU; the name comes last because nobody promises that it has no comma.
fn parse_gpus(text: &str) -> Vec<Gpu> {
    let line = |line: &str| {
        let mut cells = line.splitn(6, ',').map(str::trim);
        let uuid = cells.next().filter(|uuid| !uuid.is_empty())?.to_owned();
        let utilization_percent = number(cells.next()?);
        let memory_used_bytes = mebibytes(cells.next()?);
        let power_watts = number(cells.next()?);
        let temperature_c = number(cells.next()?);
        let name = cells.next()?.to_owned();
        Some(Gpu { uuid, name, utilization_percent, memory_used_bytes, power_watts, temperature_c })
    };
    text.lines().filter_map(line).collect()
}

fn parse_apps(text: &str) -> Vec<App> {
    let line = |line: &str| {
        let mut cells = line.split(',').map(str::trim);
        let pid = cells.next()?.parse().ok()?;
        Some(App { pid, uuid: cells.next()?.to_owned(), memory_bytes: mebibytes(cells.next()?) })
    };
    text.lines().filter_map(line).collect()
}

/// `[N/A]` and the like are missing.
fn number(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|value: &f64| value.is_finite())
}

fn mebibytes(cell: &str) -> Option<u64> {
    cell.parse::<u64>().ok()?.checked_mul(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_does_not_tell_is_missing() {
        let text = "GPU-1a, 87, 12345, 312.45, 64, NVIDIA H100 80GB HBM3\n\
            GPU-2b, [N/A], [N/A], [Not Supported], 40, NVIDIA A100-SXM4-40GB MIG, 1g.5gb\nNo devices were found\n";
        let all = parse_gpus(text);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].utilization_percent, all[0].power_watts), (Some(87.0), Some(312.45)));
        assert_eq!((all[0].memory_used_bytes, all[0].name.as_str()), (Some(12345 << 20), "NVIDIA H100 80GB HBM3"));
        assert_eq!((all[1].utilization_percent, all[1].memory_used_bytes, all[1].power_watts), (None, None, None));
        assert_eq!((all[1].temperature_c, all[1].name.as_str()), (Some(40.0), "NVIDIA A100-SXM4-40GB MIG, 1g.5gb"));
    }

    #[test]
    fn processes_are_read_with_their_memory() {
        let all = parse_apps("4242, GPU-1a, 2048\n77, GPU-1a, [N/A]\n[Not Found], GPU-1a, 5\n\n");
        let expected = [
            App { pid: 4242, uuid: "GPU-1a".into(), memory_bytes: Some(2 << 30) },
            App { pid: 77, uuid: "GPU-1a".into(), memory_bytes: None },
        ];
        assert_eq!(all, expected);
    }
}
