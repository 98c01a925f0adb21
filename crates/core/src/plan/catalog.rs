//! What is built in: the checkpoints that `--size` names. `[sizes]` in `tokometer.toml` overrides it.

/// Size labels of the Llama 3 Instruct checkpoints on the Hugging Face Hub.
pub const SIZES: &[(&str, &str)] = &[
    ("1B", "hf:meta-llama/Llama-3.2-1B-Instruct"),
    ("3B", "hf:meta-llama/Llama-3.2-3B-Instruct"),
    ("8B", "hf:meta-llama/Llama-3.1-8B-Instruct"),
    ("70B", "hf:meta-llama/Llama-3.1-70B-Instruct"),
    ("405B", "hf:meta-llama/Llama-3.1-405B-Instruct"),
];

/// The model that a size names, in the configuration first.
///
/// # Errors
/// The size is unknown; the text names the nearest.
pub fn checkpoint_for(size: &str, config: &super::Config) -> super::Result<super::ModelRef> {
    let own = config.sizes.iter().map(|(name, model)| (name.as_str(), model.as_str()));
    let all = own.chain(SIZES.iter().copied());
    let found = all.clone().find(|(name, _)| name.eq_ignore_ascii_case(size));
    match found {
        Some((_, model)) => model.parse(),
        None => {
            let hint = crate::nearest::hint(size, all.map(|(name, _)| name));
            Err(super::Error::Invalid(format!(
                "there is no built-in checkpoint of size {size:?}{hint}; --model names any other"
            )))
        }
    }
}
