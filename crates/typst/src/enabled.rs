//! The compilation itself: folder in, PDF out, the compiler's messages as text.

use super::world::Folder;
use super::{Compiled, Diagnostic, Error, Options, Result, clock, fonts};
use std::path::{Path, PathBuf};
use typst::diag::{SourceDiagnostic, Warned};
use typst::foundations::Smart;
use typst::syntax::{DiagSpan, FileId, RootedPath, VirtualPath, VirtualRoot};
use typst::{World, WorldExt};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, Timestamp};

/// Whether this build can compile.
pub const AVAILABLE: bool = true;

/// Compiles `main`, which may read files below `root`, with the given fonts and date.
///
/// # Errors
/// See [`Error`]; mistakes in the document carry file, line and column.
pub fn compile_with(main: &Path, root: &Path, options: &Options<'_>) -> Result<Compiled> {
    let (root, id) = locate(main, root)?;
    let world = Folder::new(root, id, fonts::all(options.fonts)?, options.epoch);
    let failed = |errors: &[SourceDiagnostic]| Error::Source {
        main: main.to_path_buf(),
        diagnostics: errors.iter().map(|error| describe(&world, error)).collect(),
    };
    let Warned { output, warnings } = typst::compile::<PagedDocument>(&world);
    let document = output.map_err(|errors| failed(&errors))?;
    let pdf = typst_pdf::pdf(&document, &pdf_options(id, options)).map_err(|errors| failed(&errors))?;
    Ok(Compiled {
        pdf,
        pages: document.pages().len(),
        warnings: warnings.iter().map(|warning| describe(&world, warning).to_string()).collect(),
    })
}

/// The canonical root, and the document as the compiler names it.
fn locate(main: &Path, root: &Path) -> Result<(PathBuf, FileId)> {
    let canonical =
        |path: &Path| std::fs::canonicalize(path).map_err(|why| Error::Open { path: path.to_path_buf(), why });
    let (real_root, real_main) = (canonical(root)?, canonical(main)?);
    let path = VirtualPath::virtualize(&real_root, &real_main)
        .map_err(|_| Error::Outside { main: main.to_path_buf(), root: root.to_path_buf() })?;
    Ok((real_root, RootedPath::new(VirtualRoot::Project, path).intern()))
}

fn pdf_options(main: FileId, options: &Options<'_>) -> PdfOptions {
    PdfOptions {
        // Depends on the name below the root only: the same document has the same identifier on every machine.
        ident: Smart::Custom(format!("tokometer {}", main.vpath().get_without_slash())),
        creator: Smart::Custom(Some(concat!("Tokometer ", env!("CARGO_PKG_VERSION")).to_owned())),
        timestamp: options.epoch.and_then(clock::utc).map(Timestamp::new_utc),
        ..PdfOptions::default()
    }
}

/// A message with its place in words.
fn describe(world: &Folder, diagnostic: &SourceDiagnostic) -> Diagnostic {
    let (file, line, column) = place(world, diagnostic.span);
    let trace = diagnostic.trace.iter().filter_map(|step| {
        let (file, line, column) = place(world, step.span.into());
        let at = Diagnostic { file, line, column, ..Diagnostic::default() }.place()?;
        Some(format!("{} ({at})", step.v))
    });
    // The compiler's own command line is not ours.
    let hints = diagnostic.hints.iter().map(|hint| hint.v.to_string()).filter(|hint| !hint.contains("--root"));
    Diagnostic {
        file,
        line,
        column,
        message: diagnostic.message.to_string(),
        hints: hints.collect(),
        trace: trace.collect(),
    }
}

/// File, line and column of a span, as far as it has them.
fn place(world: &Folder, span: DiagSpan) -> (Option<String>, Option<usize>, Option<usize>) {
    let Some(id) = span.id() else { return (None, None, None) };
    // Data files are text to the compiler as well: the place in a JSON file is found the same way.
    let start = world.range(span).map(|range| range.start);
    let found = start.and_then(|start| world.source(id).ok()?.lines().byte_to_line_column(start));
    let file = id.vpath().get_without_slash().to_owned();
    (Some(file), found.map(|(line, _)| line + 1), found.map(|(_, column)| column + 1))
}
