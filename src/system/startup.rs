//! Reporting panics and usage errors, for both programs.

use crate::system::exit::Exit;
use crate::system::output;

/// Reports a panic in one line, whatever RUST_BACKTRACE is, and exits.
pub(crate) fn report_panics(program: &'static str) {
    std::panic::set_hook(Box::new(move |info| {
        let at = info.location().map_or_else(String::new, |location| {
            format!(" at {}:{}", location.file(), location.line())
        });
        output::error_line_of(
            program,
            &format!("internal error{at}: please report this bug"),
        );
        std::process::exit(Exit::Software.code().into());
    }));
}

/// Prints help or the version, or a usage error in one line.
#[must_use]
pub(crate) fn usage(program: &str, error: &clap::Error) -> Exit {
    let text = error.render().to_string();
    if error.use_stderr() {
        // The first paragraph has the error and the arguments.
        let paragraph: Vec<&str> = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.is_empty())
            .collect();
        let paragraph = paragraph.join(" ");
        let what = paragraph
            .strip_prefix("error: ")
            .unwrap_or("no command was given");
        output::error_line_of(program, &format!("usage: {what} (see {program} --help)"));
        return Exit::Usage;
    }
    match output::answer(text.as_bytes()) {
        Ok(()) => Exit::Ok,
        Err(_) => Exit::Io,
    }
}
