//! stub
#![allow(missing_docs)]
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Error;
pub struct Plot {
    pub name: &'static str,
}
pub const PLOTS: &[Plot] = &[];
pub struct Figure {
    pub name: &'static str,
    pub svg: Vec<u8>,
    pub png: Vec<u8>,
    pub missing: Option<String>,
}
pub fn render(_: &Plot, _: &crate::analyze::Analysis) -> Result<Figure, Error> {
    Err(Error)
}
pub fn render_all(_: &crate::analyze::Analysis) -> Result<Vec<Figure>, Error> {
    Ok(vec![])
}
