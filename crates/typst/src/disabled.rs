//! The twin of `enabled` for builds without the compiler.

use super::{Compiled, Error, Options, Result};
use std::path::Path;

/// Whether this build can compile.
pub const AVAILABLE: bool = false;

/// Says that this build has no compiler.
///
/// # Errors
/// Always [`Error::Disabled`].
pub fn compile_with(main: &Path, _root: &Path, _options: &Options<'_>) -> Result<Compiled> {
    Err(Error::Disabled { main: main.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_way_out() {
        let error = compile_with(Path::new("a.typ"), Path::new("."), &Options::default()).unwrap_err();
        assert!(error.to_string().contains("typst compile"), "{error}");
    }
}
