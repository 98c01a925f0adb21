//! What the runner asks of a worker: load, generate. An answer that is not what was asked for is a failure.

use super::{Job, Prompt};
use crate::engine::{Failed, Kind, ModelFormat, Worker};
use tokometer_protocol::{Answer, Generate, Generated, Load, Loaded, Progress, Request};

/// Loads the job's model; `tell` hears how far that is, in a few words.
pub(super) fn load(worker: &mut Worker, job: &Job, mut tell: impl FnMut(&str)) -> Result<Loaded, Failed> {
    let settings = &job.case.settings;
    let request = Load {
        model: job.model_path.display().to_string(),
        ctx_tokens: job.case.workload.ctx_tokens(),
        sequences: None,
        threads: settings.threads,
        batch: settings.batch,
        ubatch: settings.ubatch,
        flash_attn: settings.flash_attn,
        kv_type: settings.kv_type.clone(),
        device: settings.device.clone(),
        quantize: (job.engine.format != ModelFormat::Gguf).then(|| job.case.native.clone()),
        options: settings.options.clone(),
    };
    match worker.call(Request::Load(request), |progress| tell(&how_far(progress)))? {
        Answer::Loaded(loaded) => Ok(*loaded),
        other => Err(Failed::new(Kind::Garbage, format!("load was answered by {other:?}"))),
    }
}

/// `reading weights 40%`, or the stage alone where nobody knows how much there is.
fn how_far(progress: &Progress) -> String {
    match progress.total {
        Some(total) if total > 0 => {
            let percent = u128::from(progress.done.min(total)) * 100 / u128::from(total);
            format!("{} {percent}%", progress.stage)
        }
        _ => progress.stage.clone(),
    }
}

/// One pass of the workload, checked.
pub(super) fn generate(worker: &mut Worker, prompt: &Prompt, gen_tokens: u32) -> Result<Generated, Failed> {
    let request =
        Generate { prompt: prompt.prompt.clone(), context: prompt.context.clone(), gen_tokens, ..Generate::default() };
    match worker.call(Request::Generate(request), |_| ())? {
        Answer::Generated(generated) => check(generated, prompt, gen_tokens),
        other => Err(Failed::new(Kind::Garbage, format!("generate was answered by {other:?}"))),
    }
}

/// An engine that computed something else than was asked is not measured.
fn check(generated: Generated, prompt: &Prompt, gen_tokens: u32) -> Result<Generated, Failed> {
    let (n, steps) = (gen_tokens as usize, generated.done_ns.len());
    let wrong = |what: String| Err(Failed::new(Kind::Garbage, what));
    let (together, ids) = (generated.step_tokens.len(), generated.tokens.len());
    // Only an endpoint that tells the text alone, in chunks, may leave out the ids.
    let complete = generated.count() == n as u64 && (ids == n || (ids == 0 && together > 0));
    if !complete || (together != 0 && (together != steps || generated.step_tokens.contains(&0))) {
        return wrong(format!(
            "{n} tokens were asked for, {} tokens with {ids} ids in {steps} steps came back",
            generated.count()
        ));
    }
    if generated.prompt_tokens as usize != prompt.prompt.len()
        || generated.context_tokens as usize != prompt.context.len()
    {
        return wrong(format!(
            "a prompt of {} tokens after {} was to be computed, the engine says {} after {}: is its prefix cache on?",
            prompt.prompt.len(),
            prompt.context.len(),
            generated.prompt_tokens,
            generated.context_tokens
        ));
    }
    let optional = [
        ("enqueue times", generated.enqueued_ns.len()),
        ("byte counts", generated.engine_bytes.len()),
        ("pieces", generated.pieces.len()),
    ];
    if let Some((what, length)) = optional.into_iter().find(|(_, length)| *length != 0 && *length != steps) {
        return wrong(format!("{length} {what} came back for {steps} steps"));
    }
    if generated.done_ns.first() == Some(&0) || !generated.done_ns.is_sorted_by(|a, b| a < b) {
        return wrong("its times do not grow from step to step".into());
    }
    Ok(generated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> (Generated, Prompt) {
        let generated = Generated { prompt_tokens: 2, tokens: vec![1, 2], done_ns: vec![5, 9], ..Generated::default() };
        (generated, Prompt { context: vec![], prompt: vec![7, 8] })
    }

    #[test]
    fn progress_is_told_in_percent_where_the_whole_is_known() {
        let told = |done, total| how_far(&Progress { stage: "loading".into(), done, total });
        assert_eq!(told(u64::MAX / 2, Some(u64::MAX)), "loading 49%");
        assert_eq!(told(7, Some(5)), "loading 100%");
        assert_eq!((told(3, None), told(0, Some(0))), ("loading".to_owned(), "loading".to_owned()));
    }

    #[test]
    fn what_was_asked_is_accepted() {
        let (generated, prompt) = good();
        assert!(check(generated, &prompt, 2).is_ok());
    }

    #[test]
    fn fewer_tokens_a_cached_prefix_and_frozen_clocks_are_not() {
        let (generated, prompt) = good();
        assert!(check(generated.clone(), &prompt, 3).is_err());
        assert!(
            check(Generated { prompt_tokens: 1, ..generated.clone() }, &prompt, 2)
                .unwrap_err()
                .reason
                .contains("prefix cache")
        );
        assert!(check(Generated { done_ns: vec![5, 5], ..generated.clone() }, &prompt, 2).is_err());
        assert!(check(Generated { enqueued_ns: vec![1], ..generated }, &prompt, 2).is_err());
    }

    #[test]
    fn steps_of_several_tokens_must_add_up() {
        let (generated, prompt) = good();
        let chunks = Generated { tokens: vec![], step_tokens: vec![1, 3], ..generated };
        assert!(check(chunks.clone(), &prompt, 4).is_ok());
        assert!(check(chunks.clone(), &prompt, 5).is_err());
        assert!(check(Generated { step_tokens: vec![4], ..chunks.clone() }, &prompt, 4).is_err());
        assert!(check(Generated { step_tokens: vec![4, 0], ..chunks.clone() }, &prompt, 4).is_err());
        assert!(check(Generated { step_tokens: vec![], ..chunks }, &prompt, 2).is_err());
    }
}
