//! Build tools from PyPI in `.tokometer/env/build`, for machines on which nobody is root.

use super::needs::Need;
use crate::python::{Environment, Packages};
use anyhow::Result;

/// Whether the environment already holds all that is missing, so that the system need not be asked again.
pub fn has(missing: impl Iterator<Item = &'static Need>) -> bool {
    let missing: Vec<&Need> = missing.collect();
    let fillable = missing.iter().all(|need| need.private.is_some());
    fillable && environment().is_ready(&Packages::Listed(&packages(&missing)))
}

/// Makes the environment with what fills these gaps.
pub fn ensure(gaps: &[&Need]) -> Result<Environment> {
    let environment = environment();
    environment.ensure(&Packages::Listed(&packages(gaps)))?;
    Ok(environment)
}

fn environment() -> Environment {
    Environment::named("build")
}

fn packages(needs: &[&Need]) -> Vec<String> {
    needs.iter().filter_map(|need| need.private).map(|private| private.package.to_owned()).collect()
}
