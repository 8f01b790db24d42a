//! What both executables say of themselves: a usage that they do not know, and a defect.

use crate::system::exit::Exit;
use crate::system::output;

/// A panic is a defect: it is told in one line, whatever the environment asks for.
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

/// Tells what clap has found: help or version, or in one line what is wrong.
#[must_use]
pub(crate) fn usage(program: &str, error: &clap::Error) -> Exit {
    let text = error.render().to_string();
    if error.use_stderr() {
        // The first paragraph: what is wrong, and with which arguments.
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
